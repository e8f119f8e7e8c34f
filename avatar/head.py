"""A linear-blend-skinned head in FLAME's formulation.

    T(β, ψ, θ) = template + shape_basis·β + expression_basis·ψ + pose_basis·(R(θ) − I)
    vertices   = LBS(T, joint_regressor·(template + shape_basis·β), θ, skinning_weights)

Source: Li, Bolkart, Black, Li, Romero, "Learning a model of facial shape and expression from 4D scans", 2017, eq. 1–4;
skinning and pose correctives after Loper et al., "SMPL", 2015, eq. 2–9.
"""

from dataclasses import dataclass, field, fields
from enum import IntEnum
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from avatar.blendshapes import ARKIT, INDEX
from avatar.config import BLENDSHAPE_COUNT, LANDMARK_COUNT
from avatar.jit import kernel

EYE_TURN_RAD = np.deg2rad(30.0)
"""Rotation of an eyeball at an eyeLook coefficient of 1."""

SPARSE_BELOW = 0.25
"""A basis with a smaller share of non-zero entries than this is multiplied as a sparse matrix."""

Float = NDArray[np.float32]


class Part(IntEnum):
    """What a triangle belongs to: the values of `Head.part` and of the rasterizer's `MASK`."""

    BACKGROUND = 0
    SKIN = 1
    EYES = 2
    TEETH = 3
    TONGUE = 4
    MOUTH = 5
    LASHES = 6
    HAIR = 7
    CLOTHES = 8


class Joint(IntEnum):
    """Rows of the joint regressor, FLAME's order."""

    ROOT = 0
    NECK = 1
    JAW = 2
    LEFT_EYE = 3
    RIGHT_EYE = 4


def rotation_matrices(axis_angles: ArrayLike) -> Float:
    """Rodrigues' formula.

    Args:
        axis_angles: [N, 3], rad.

    Returns:
        [N, 3, 3] float32 rotation matrices that act on column vectors.
    """
    axis_angles = np.asarray(axis_angles, np.float64).reshape(-1, 3)
    angle = np.linalg.norm(axis_angles, axis=1)
    axis = axis_angles / np.maximum(angle, 1e-12)[:, None]
    cross = np.zeros((len(axis), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return (np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)).astype(np.float32)


def _operator(basis: Float) -> Float | sparse.csr_matrix:
    """The basis [V, 3, K] as a matrix [3·V, K], all x before all y before all z, that multiplies a vector fast."""
    matrix = np.ascontiguousarray(basis.transpose(1, 0, 2), np.float32).reshape(3 * len(basis), basis.shape[2])
    if matrix.size and np.count_nonzero(matrix) < SPARSE_BELOW * matrix.size:
        return sparse.csr_matrix(matrix)
    return matrix


@kernel
def _skin(points, joint, weight, transforms, vertices):
    """Blend the transforms of each vertex's joints and apply them.

    Args:
        points: [3, V] float32, rest positions, m.
        joint: [V, K] int64, the joints that move each vertex; weight: [V, K] float32, their shares, 0 for spare places.
        transforms: [J, 12] float32, rows of the joints' 3x4 matrices.
        vertices: [V, 3] float32, written, m.
    """
    for vertex in range(vertices.shape[0]):
        x, y, z = points[0, vertex], points[1, vertex], points[2, vertex]
        for row in range(3):
            total = np.float32(0)
            for place in range(joint.shape[1]):
                own = np.uint64(joint[vertex, place])
                moved = transforms[own, 4 * row] * x + transforms[own, 4 * row + 1] * y
                moved += transforms[own, 4 * row + 2] * z + transforms[own, 4 * row + 3]
                total += weight[vertex, place] * moved
            vertices[vertex, row] = total


@dataclass(frozen=True, eq=False)
class Head:
    """One identity-and-expression model with its surface. V vertices, F triangles, J joints; metres.

    Attributes:
        template: [V, 3] float32, rest vertices.
        shape_basis: [V, 3, S] float32, identity directions.
        expression_basis: [V, 3, E] float32, expression directions; ARKit's 52 in Apple's order for `pose`.
        pose_basis: [V, 3, 9·(J−1)] float32 pose correctives, or [V, 3, 0].
        joint_regressor: [J, V] float32, joints from the shaped template.
        skinning_weights: [V, J] float32, rows sum to 1.
        parents: [J] int32, −1 for the root; a parent comes before its children.
        faces: [F, 3] int32, counter-clockwise from outside.
        uv: [V, 2] float32 in [0, 1], origin top left of the texture.
        part: [F] uint8, values of `Part`.
        landmark_faces: [68] int32, triangle of each iBUG landmark.
        landmark_barycentric: [68, 3] float32, its place in that triangle.
    """

    template: Float
    shape_basis: Float
    expression_basis: Float
    pose_basis: Float
    joint_regressor: Float
    skinning_weights: Float
    parents: NDArray[np.int32]
    faces: NDArray[np.int32]
    uv: Float
    part: NDArray[np.uint8]
    landmark_faces: NDArray[np.int32]
    landmark_barycentric: Float
    _expression: Float | sparse.csr_matrix = field(init=False, repr=False)
    _pose: Float | sparse.csr_matrix = field(init=False, repr=False)
    _joints: Float = field(init=False, repr=False)
    _template: Float = field(init=False, repr=False)
    _joint: NDArray[np.int64] = field(init=False, repr=False)
    _weight: Float = field(init=False, repr=False)

    def __post_init__(self):
        vertex_count, joint_count, face_count = len(self.template), len(self.parents), len(self.faces)
        expected = {
            "template": (vertex_count, 3),
            "shape_basis": (vertex_count, 3, self.shape_basis.shape[-1]),
            "expression_basis": (vertex_count, 3, self.expression_basis.shape[-1]),
            "joint_regressor": (joint_count, vertex_count),
            "skinning_weights": (vertex_count, joint_count),
            "faces": (face_count, 3),
            "uv": (vertex_count, 2),
            "part": (face_count,),
            "landmark_faces": (LANDMARK_COUNT,),
            "landmark_barycentric": (LANDMARK_COUNT, 3),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}; rebuild the head file")
        if self.pose_basis.shape not in ((vertex_count, 3, 0), (vertex_count, 3, 9 * (joint_count - 1))):
            raise ValueError(
                f"pose_basis must have 0 or 9·(J−1) = {9 * (joint_count - 1)} columns, got {self.pose_basis.shape}"
            )
        if self.faces.min(initial=0) < 0 or self.faces.max(initial=0) >= vertex_count:
            raise ValueError(f"faces must index {vertex_count} vertices, got up to {self.faces.max()}")
        object.__setattr__(self, "_expression", _operator(self.expression_basis))
        object.__setattr__(self, "_pose", _operator(self.pose_basis))
        object.__setattr__(self, "_joints", self.joint_regressor @ self.template)
        object.__setattr__(self, "_template", np.ascontiguousarray(self.template.T))
        # Most vertices follow one or two joints.
        places = max(1, int(np.count_nonzero(self.skinning_weights, axis=1).max(initial=0)))
        joint = np.argsort(self.skinning_weights == 0, axis=1, kind="stable")[:, :places]
        object.__setattr__(self, "_joint", np.ascontiguousarray(joint))
        object.__setattr__(self, "_weight", np.take_along_axis(self.skinning_weights, joint, axis=1))

    @classmethod
    def load(cls, path: str | PathLike) -> "Head":
        """Read a `head.npz` as described in docs/architecture.md.

        Raises:
            KeyError: an array is missing.
            ValueError: shapes do not fit each other.
        """
        with np.load(path, allow_pickle=False) as arrays:
            return cls.from_arrays({name: arrays[name] for name in arrays.files})

    @classmethod
    def from_arrays(cls, arrays: dict[str, ArrayLike]) -> "Head":
        """Convert arrays under the names of the attributes to the types that the model computes with."""
        types = {"parents": np.int32, "faces": np.int32, "part": np.uint8, "landmark_faces": np.int32}
        names = [item.name for item in fields(cls) if item.init]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise KeyError(f"a head needs the arrays {names}; missing: {missing}")
        return cls(**{name: np.ascontiguousarray(arrays[name], types.get(name, np.float32)) for name in names})

    def joints(self, shape: ArrayLike | None = None) -> Float:
        """Rest joints [J, 3] of an identity `shape` [≤ S]."""
        return self._joints if shape is None else self.joint_regressor @ self._shaped(shape)

    def vertices(
        self,
        expression: ArrayLike,
        rotations: ArrayLike | None = None,
        translation: ArrayLike = (0.0, 0.0, 0.0),
        shape: ArrayLike | None = None,
    ) -> Float:
        """Pose the model.

        Args:
            expression: [E] coefficients ψ.
            rotations: [J, 3] axis-angle of each joint against its parent, rad.
            translation: [3], m, added last.
            shape: [≤ S] identity coefficients β.

        Returns:
            [V, 3] float32, m.
        """
        joint_count = len(self.parents)
        rotation = rotation_matrices(np.zeros((joint_count, 3)) if rotations is None else rotations)
        if len(rotation) != joint_count:
            raise ValueError(f"rotations must have one row per joint, {joint_count}, got {len(rotation)}")
        offsets = self._expression @ np.asarray(expression, np.float32)
        if self.pose_basis.shape[2]:
            offsets += self._pose @ (rotation[1:] - np.eye(3, dtype=np.float32)).ravel()
        points = offsets.reshape(3, -1)
        points += self._template if shape is None else self._shaped(shape).T
        transforms = self._transforms(rotation, self.joints(shape))
        transforms[:, :, 3] += np.asarray(translation, np.float32)
        vertices = np.empty((len(self.template), 3), np.float32)
        _skin(points, self._joint, self._weight, transforms.reshape(len(transforms), 12), vertices)
        return vertices

    def pose(self, blendshapes: ArrayLike, pose: ArrayLike) -> Float:
        """Vertices for the pipeline's controls.

        Args:
            blendshapes: [52] ARKit coefficients in [0, 1].
            pose: [6], rotation of the head about the neck joint (axis-angle x y z, rad), then translation (m).

        Returns:
            [V, 3] float32, m.

        Raises:
            ValueError: the model has no ARKit basis, or the sizes are wrong.
        """
        blendshapes, pose = np.asarray(blendshapes, np.float32), np.asarray(pose, np.float32)
        if self.expression_basis.shape[2] != BLENDSHAPE_COUNT:
            raise ValueError(
                f"a head driven by ARKit coefficients needs {BLENDSHAPE_COUNT} expression directions, got "
                f"{self.expression_basis.shape[2]}; pass an expression_map when loading it"
            )
        if blendshapes.shape != (BLENDSHAPE_COUNT,) or pose.shape != (6,):
            raise ValueError(f"blendshapes must be [52] and pose [6], got {blendshapes.shape} and {pose.shape}")
        rotations = np.zeros((len(self.parents), 3), np.float32)
        rotations[Joint.NECK] = pose[:3]
        rotations[Joint.LEFT_EYE], rotations[Joint.RIGHT_EYE] = eye_rotations(blendshapes)
        return self.vertices(blendshapes, rotations, pose[3:])

    def landmarks(self, vertices: Float) -> Float:
        """The iBUG-68 points [68, 3] on posed `vertices` [V, 3]."""
        corners = vertices[self.faces[self.landmark_faces]]
        return np.einsum("nk,nkd->nd", self.landmark_barycentric, corners)

    def _shaped(self, shape: ArrayLike) -> Float:
        shape = np.asarray(shape, np.float32)
        return self.template + self.shape_basis[:, :, : len(shape)] @ shape

    def _transforms(self, rotation: Float, joints: Float) -> Float:
        """[J, 3, 4]: where each joint takes a rest point, after forward kinematics over `parents`."""
        world = np.zeros((len(joints), 3, 4), np.float32)
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                world[joint, :, :3], world[joint, :, 3] = rotation[joint], joints[joint]
            else:
                world[joint, :, :3] = world[parent, :, :3] @ rotation[joint]
                world[joint, :, 3] = world[parent, :, :3] @ (joints[joint] - joints[parent]) + world[parent, :, 3]
        world[:, :, 3] -= np.einsum("jab,jb->ja", world[:, :, :3], joints)
        return world


def eye_rotations(blendshapes: ArrayLike) -> tuple[Float, Float]:
    """Axis-angle [3] of the left and the right eyeball in the head's frame, rad.

    The axis lies in the plane across the straight gaze, so the eye does not roll (Listing's law).

    Args:
        blendshapes: [52] ARKit coefficients.
    """
    value = {name: float(np.asarray(blendshapes)[INDEX[name]]) for name in ARKIT if name.startswith("eyeLook")}
    return tuple(
        np.float32(
            [
                EYE_TURN_RAD * (value[f"eyeLookDown{side}"] - value[f"eyeLookUp{side}"]),
                EYE_TURN_RAD * outward * (value[f"eyeLookOut{side}"] - value[f"eyeLookIn{side}"]),
                0.0,
            ]
        )
        for side, outward in (("Left", 1.0), ("Right", -1.0))
    )
