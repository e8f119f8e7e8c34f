"""Reads the official FLAME files (flame.is.tue.mpg.de; a registration is needed) into `avatar.head.Head`."""

import pickle
from collections.abc import Mapping
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar.config import FACE_MESH_COUNT, LANDMARK_COUNT
from avatar.head import Head, Part

SHAPE_COUNT = 300
EXPRESSION_COUNT = 100


class _Chumpy:
    """Stands in for chumpy's array class, which the official pickles name but whose package is unmaintained."""

    def __setstate__(self, state):
        self.value = state["x"] if isinstance(state, Mapping) else state

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype)


class _FlameUnpickler(pickle.Unpickler):
    """Admits array classes alone, so that a model file cannot run code."""

    _ALLOWED = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
    _PYTHON_2_BYTES = ("_codecs", "encode")
    _NAMES = ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer")

    def find_class(self, module: str, name: str):
        if module.split(".")[0] == "chumpy":
            return _Chumpy
        if module.startswith("scipy.sparse") and name.endswith(("_matrix", "_array")):
            from scipy import sparse

            return getattr(sparse, name)
        if (module, name) == self._PYTHON_2_BYTES or (module in self._ALLOWED and name in self._NAMES):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"a FLAME file holds arrays only, got {module}.{name}; use the official file")


def read_flame_pickle(path: str | PathLike) -> dict:
    """The dictionary of an official `generic_model.pkl` (FLAME 2019, 2020 or 2023).

    Raises:
        pickle.UnpicklingError: the file names anything but arrays.
    """
    with open(path, "rb") as file:
        return _FlameUnpickler(file, encoding="latin1").load()


def head_from_flame(
    model: Mapping[str, ArrayLike],
    expression_map: NDArray | None = None,
    landmark_faces: ArrayLike | None = None,
    landmark_barycentric: ArrayLike | None = None,
    face_mesh_faces: ArrayLike | None = None,
    face_mesh_barycentric: ArrayLike | None = None,
) -> Head:
    """Build a head from FLAME's arrays.

    Args:
        model: `v_template` [V, 3], `shapedirs` [V, 3, 400] (300 shape, then 100 expression), `posedirs` [V, 3, 36],
            `J_regressor` [5, V] dense or sparse, `weights` [V, 5], `kintree_table` [2, 5], `f` [F, 3].
        expression_map: [100, 52], FLAME expression coefficients of each ARKit coefficient; without it the head keeps
            FLAME's own 100 expression directions.
        landmark_faces: [68], triangles of FLAME's static landmark embedding.
        landmark_barycentric: [68, 3], places in those triangles.
        face_mesh_faces: [478], triangles of the points of MediaPipe's face mesh; without them the points are NaN.
        face_mesh_barycentric: [478, 3], places in those triangles.

    Raises:
        KeyError: an array is missing.
        ValueError: the number of directions is not FLAME's.
    """
    directions = np.asarray(model["shapedirs"], np.float32)
    if directions.shape[-1] != SHAPE_COUNT + EXPRESSION_COUNT:
        raise ValueError(
            f"shapedirs must have {SHAPE_COUNT + EXPRESSION_COUNT} directions, got {directions.shape[-1]}; "
            "use FLAME 2019, 2020 or 2023"
        )
    expression = directions[:, :, SHAPE_COUNT:]
    if expression_map is not None:
        expression = expression @ np.asarray(expression_map, np.float32)
    regressor = model["J_regressor"]
    regressor = regressor.toarray() if hasattr(regressor, "toarray") else np.asarray(regressor)
    parents = np.asarray(model["kintree_table"])[0].astype(np.int64)
    parents[0] = -1
    faces = np.asarray(model["f"]).astype(np.int32)
    vertex_count = len(directions)
    if landmark_faces is None:
        landmark_faces = np.zeros(LANDMARK_COUNT)
        landmark_barycentric = np.tile([1.0, 0.0, 0.0], (LANDMARK_COUNT, 1))
    if face_mesh_faces is None:
        face_mesh_faces = np.zeros(FACE_MESH_COUNT)
        face_mesh_barycentric = np.full((FACE_MESH_COUNT, 3), np.nan)
    return Head.from_arrays(
        {
            "template": np.asarray(model["v_template"]),
            "shape_basis": directions[:, :, :SHAPE_COUNT],
            "expression_basis": expression,
            "pose_basis": np.asarray(model["posedirs"]),
            "joint_regressor": regressor,
            "skinning_weights": np.asarray(model["weights"]),
            "parents": parents,
            "faces": faces,
            "uv": np.zeros((vertex_count, 2)),
            "part": np.full(len(faces), Part.SKIN),
            "landmark_faces": landmark_faces,
            "landmark_barycentric": landmark_barycentric,
            "face_mesh_faces": face_mesh_faces,
            "face_mesh_barycentric": face_mesh_barycentric,
        }
    )
