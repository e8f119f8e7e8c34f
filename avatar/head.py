"""A linear-blend-skinned head in FLAME's formulation.

    T(β, ψ, θ) = template + shape_basis·β + expression_basis·ψ + pose_basis·(R(θ) − I)
    vertices   = LBS(T, joint_regressor·(template + shape_basis·β), θ, skinning_weights)

Source: Li, Bolkart, Black, Li, Romero, "Learning a model of facial shape and expression from 4D scans", 2017, eq. 1–4;
skinning and pose correctives after Loper et al., "SMPL", 2015, eq. 2–9.
"""

import math
from dataclasses import dataclass, field, fields
from enum import IntEnum
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar.blendshapes import INDEX
from avatar.config import BLENDSHAPE_COUNT, FACE_MESH_COUNT, LANDMARK_COUNT
from avatar.jit import kernel

EYE_TURN_RAD = np.deg2rad(30.0)
"""Rotation of an eyeball at an eyeLook coefficient of 1."""

_EYE_LOOKS = tuple(
    tuple(INDEX[f"eyeLook{way}{side}"] for way in ("Down", "Up", "Out", "In")) for side in ("Left", "Right")
)
"""Places of the coefficients that turn the left and the right eye down, up, out and in."""

LANES = 16
"""Vertices that are posed together."""

Float = NDArray[np.float32]


class Part(IntEnum):
    """What a triangle belongs to: the values of `Head.part` and, but for the last, of the rasterizer's `MASK`."""

    BACKGROUND = 0
    SKIN = 1
    EYES = 2
    TEETH = 3
    TONGUE = 4
    MOUTH = 5
    LASHES = 6
    HAIR = 7
    CLOTHES = 8
    HAIR_FIN = 9
    """Loose ends of strands at the hair's outline; `HAIR` in `MASK`."""


class Joint(IntEnum):
    """Rows of the joint regressor, FLAME's order."""

    ROOT = 0
    NECK = 1
    JAW = 2
    LEFT_EYE = 3
    RIGHT_EYE = 4


@kernel
def _rotate(axis_angles, matrices):
    """`rotation_matrices` of [N, 3] float64, written to [N, 3, 3] float32."""
    for index in range(axis_angles.shape[0]):
        x, y, z = axis_angles[index, 0], axis_angles[index, 1], axis_angles[index, 2]
        angle = math.sqrt(x * x + y * y + z * z)
        scale = 1 / max(angle, 1e-12)
        x, y, z = x * scale, y * scale, z * scale
        sine, rest = math.sin(angle), 1 - math.cos(angle)
        matrix = matrices[index]
        matrix[0, 0], matrix[1, 1], matrix[2, 2] = (
            1 - rest * (y * y + z * z),
            1 - rest * (x * x + z * z),
            1 - rest * (x * x + y * y),
        )
        matrix[0, 1], matrix[1, 0] = rest * x * y - sine * z, rest * x * y + sine * z
        matrix[0, 2], matrix[2, 0] = rest * x * z + sine * y, rest * x * z - sine * y
        matrix[1, 2], matrix[2, 1] = rest * y * z - sine * x, rest * y * z + sine * x


def rotation_matrices(axis_angles: ArrayLike) -> Float:
    """Rodrigues' formula.

    Args:
        axis_angles: [N, 3], rad.

    Returns:
        [N, 3, 3] float32 rotation matrices that act on column vectors.
    """
    axis_angles = np.ascontiguousarray(axis_angles, np.float64).reshape(-1, 3)
    matrices = np.empty((len(axis_angles), 3, 3), np.float32)
    _rotate(axis_angles, matrices)
    return matrices


def _in_blocks(values: Float) -> Float:
    """[V, N] as [B, N, LANES] blocks of vertices, the last one filled up with zeros."""
    count, width = values.shape
    filled = np.zeros((-(-count // LANES) * LANES, width), np.float32)
    filled[:count] = values
    return np.ascontiguousarray(filled.reshape(-1, LANES, width).transpose(0, 2, 1))


@dataclass(frozen=True, eq=False)
class _Blocks:
    """What moves the vertices of each block, so that `_pose` reads nothing that is zero for all of them.

    Attributes:
        starts: [B + 1] int64, range of each block in the two below.
        direction: [N] int64, directions that move any vertex of the block. offset: [N, 3 LANES] float32, by how much.
        joint_starts, joint, share: likewise the joints that any vertex follows, and [M, LANES] their weights.
    """

    starts: NDArray[np.int64]
    direction: NDArray[np.int64]
    offset: Float
    joint_starts: NDArray[np.int64]
    joint: NDArray[np.int64]
    share: Float

    @classmethod
    def build(cls, basis: Float, skinning_weights: Float) -> "_Blocks":
        """basis: [V, 3, D]. skinning_weights: [V, J]."""
        count, _, directions = basis.shape
        offsets = _in_blocks(basis.reshape(count, 3 * directions)).reshape(-1, 3, directions, LANES)
        shares = _in_blocks(skinning_weights)
        block, direction = np.nonzero(offsets.any(axis=(1, 3)))
        of_joint, joint = np.nonzero(shares.any(axis=2))
        edges = np.arange(len(shares) + 1)
        return cls(
            starts=np.searchsorted(block, edges),
            direction=direction,
            offset=np.ascontiguousarray(offsets[block, :, direction]).reshape(-1, 3 * LANES),
            joint_starts=np.searchsorted(of_joint, edges),
            joint=joint,
            share=np.ascontiguousarray(shares[of_joint, joint]),
        )


@kernel
def _pose(template, starts, direction, offset, joint_starts, joint, share, coefficients, transforms, vertices):
    """Blend the directions, then the transforms of each vertex's joints, and apply them.

    Args:
        template: [B, 3 LANES] float32, rest vertices in blocks, m.
        starts, direction, offset, joint_starts, joint, share: of `_Blocks`.
        coefficients: [D] float32. transforms: [J, 12] float32, rows of the joints' 3x4 matrices.
        vertices: [V, 3] float32, written, m.
    """
    rest, posed = np.empty(3 * LANES, np.float32), np.empty(3 * LANES, np.float32)
    for block in range(template.shape[0]):
        for lane in range(3 * LANES):
            rest[lane] = template[block, lane]
            posed[lane] = 0
        for entry in range(starts[block], starts[block + 1]):
            coefficient = coefficients[direction[entry]]
            if coefficient != 0:
                for lane in range(3 * LANES):
                    rest[lane] += coefficient * offset[entry, lane]
        for entry in range(joint_starts[block], joint_starts[block + 1]):
            moved, weight = transforms[joint[entry]], share[entry]
            for row in range(3):
                along_x, along_y, along_z, shift = (
                    moved[4 * row],
                    moved[4 * row + 1],
                    moved[4 * row + 2],
                    moved[4 * row + 3],
                )
                for lane in range(LANES):
                    x, y, z = rest[lane], rest[LANES + lane], rest[2 * LANES + lane]
                    posed[row * LANES + lane] += weight[lane] * (along_x * x + along_y * y + along_z * z + shift)
        first = block * LANES
        for lane in range(min(LANES, vertices.shape[0] - first)):
            for axis in range(3):
                vertices[first + lane, axis] = posed[axis * LANES + lane]


@kernel
def _joint_transforms(rotation, joints, parents, translation, world):
    """Where each joint takes a rest point: forward kinematics over `parents`.

    Args:
        rotation: [J, 3, 3] float32 of each joint against its parent. joints: [J, 3] float32, rest positions, m.
        parents: [J] int32, -1 for the root. translation: [3] float32, added last, m.
        world: [J, 12] float32, written: rows of 3x4 matrices.
    """
    place = np.empty((joints.shape[0], 3), np.float32)
    for joint in range(joints.shape[0]):
        parent = parents[joint]
        for row in range(3):
            place[joint, row] = joints[joint, row]
            for column in range(3):
                world[joint, 4 * row + column] = rotation[joint, row, column]
            if parent < 0:
                continue
            place[joint, row] = place[parent, row]
            for column in range(3):
                bone = joints[joint, column] - joints[parent, column]
                place[joint, row] += world[parent, 4 * row + column] * bone
                turned = np.float32(0)
                for inner in range(3):
                    turned += world[parent, 4 * row + inner] * rotation[joint, inner, column]
                world[joint, 4 * row + column] = turned
    for joint in range(joints.shape[0]):
        for row in range(3):
            shift = place[joint, row] + translation[row]
            for column in range(3):
                shift -= world[joint, 4 * row + column] * joints[joint, column]
            world[joint, 4 * row + 3] = shift


@kernel
def _mix_corners(vertices, faces, chosen, weights, points):
    """Points [N, 3] float32, written, of the triangles `chosen` [N] by barycentric weights [N, 3]."""
    for index in range(points.shape[0]):
        for axis in range(3):
            total = np.float32(0)
            for corner in range(3):
                total += weights[index, corner] * vertices[faces[chosen[index], corner], axis]
            points[index, axis] = total


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
        face_mesh_faces: [478] int32, triangle of each point of MediaPipe's face mesh.
        face_mesh_barycentric: [478, 3] float32, its place in that triangle; NaN where the head has no such points.
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
    face_mesh_faces: NDArray[np.int32]
    face_mesh_barycentric: Float
    _blocks: _Blocks = field(init=False, repr=False)
    _template: Float = field(init=False, repr=False)
    _joints: Float = field(init=False, repr=False)

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
            "face_mesh_faces": (FACE_MESH_COUNT,),
            "face_mesh_barycentric": (FACE_MESH_COUNT, 3),
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
        basis = np.concatenate([self.expression_basis, self.pose_basis], axis=2)
        object.__setattr__(self, "_blocks", _Blocks.build(basis, self.skinning_weights))
        object.__setattr__(self, "_template", _in_blocks(self.template).reshape(-1, 3 * LANES))
        object.__setattr__(self, "_joints", self.joint_regressor @ self.template)

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
        types = dict.fromkeys(("parents", "faces", "landmark_faces", "face_mesh_faces"), np.int32) | {"part": np.uint8}
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
        coefficients = np.asarray(expression, np.float32)
        if coefficients.shape != self.expression_basis.shape[2:]:
            raise ValueError(f"expression must be [{self.expression_basis.shape[2]}], got {list(coefficients.shape)}")
        if self.pose_basis.shape[2]:
            correctives = (rotation[1:] - np.eye(3, dtype=np.float32)).ravel()
            coefficients = np.concatenate([coefficients, correctives])
        transforms = np.empty((joint_count, 12), np.float32)
        _joint_transforms(rotation, self.joints(shape), self.parents, np.asarray(translation, np.float32), transforms)
        template, blocks = self._template, self._blocks
        if shape is not None:
            template = _in_blocks(self._shaped(shape)).reshape(template.shape)
        vertices = np.empty((len(self.template), 3), np.float32)
        _pose(
            template, blocks.starts, blocks.direction, blocks.offset, blocks.joint_starts, blocks.joint, blocks.share,
            coefficients, transforms, vertices,
        )  # fmt: skip
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
        points = np.empty((LANDMARK_COUNT, 3), np.float32)
        _mix_corners(vertices, self.faces, self.landmark_faces, self.landmark_barycentric, points)
        return points

    def face_mesh(self, vertices: Float) -> Float:
        """The points of MediaPipe's face mesh [478, 3] float32 on posed `vertices` [V, 3], m."""
        points = np.empty((FACE_MESH_COUNT, 3), np.float32)
        _mix_corners(vertices, self.faces, self.face_mesh_faces, self.face_mesh_barycentric, points)
        return points

    def _shaped(self, shape: ArrayLike) -> Float:
        shape = np.asarray(shape, np.float32)
        return self.template + self.shape_basis[:, :, : len(shape)] @ shape


def eye_rotations(blendshapes: ArrayLike) -> tuple[Float, Float]:
    """Axis-angle [3] of the left and the right eyeball in the head's frame, rad.

    The axis lies in the plane across the straight gaze, so the eye does not roll (Listing's law).

    Args:
        blendshapes: [52] ARKit coefficients.
    """
    value = np.asarray(blendshapes, np.float32)
    return tuple(
        np.array(
            [EYE_TURN_RAD * (value[down] - value[up]), EYE_TURN_RAD * outward * (value[out] - value[into]), 0.0],
            np.float32,
        )
        for (down, up, out, into), outward in zip(_EYE_LOOKS, (1.0, -1.0), strict=True)
    )
