"""What the baked look cannot know: how open mouth and eyes are, where the corneas mirror the key light, and where hair
is seen edge-on."""

import math
from dataclasses import dataclass

import numpy as np

from avatar.head import Head, Joint, Part, rotation_matrices
from avatar.jit import kernel

MOUTH_PARTS = (Part.TEETH, Part.TONGUE, Part.MOUTH)
INNER_LIPS = slice(60, 68)
"""iBUG landmarks of the inner lips: 60 and 64 are the corners, 61-63 the upper lip, 67-65 the lower one below them."""

BAKED_OPENING_M = 0.007
DARKEST = 0.25
"""Factor on the baked light inside a closed mouth."""

UPPER_LIDS = ((43, 44), (37, 38))
"""iBUG landmarks on the edge of the left and the right upper lid."""

LID_SHADOW_M = 0.005
LID_SHADE = 0.5
"""Factor on the baked light of the eye at the edge of its upper lid; it rises to 1 over the distance above."""

CORNEA_RADIUS, CORNEA_CENTER = 0.65, 0.39
"""Radius of the cornea, and its center in front of the eye's, in eye radii; Gullstrand's schematic eye (1909)."""

SPOT_ANGLE_RAD = 0.16
"""Half the angle that the mirrored light spans on the cornea: half of what a soft box spans in the room, and its
blur."""

SPOT_LEVELS = 80.0
CORNEA_RIM_COSINES = math.cos(math.radians(50)), math.cos(math.radians(38))
"""Between these angles from the gaze the highlight fades: the cornea ends there."""


@kernel
def _open_mouth(vertices, index, lips, rotation, baked_half_height, darkest, light):
    """Share of the light through the lips that reaches each vertex, against that at the opening of the bake.

    A point at distance d behind a uniformly bright disk of radius r gets r² / (r² + d²) of the light in the open
    (Siegel and Howell, "Thermal radiation heat transfer", configuration factor of a disk on its axis); the lips'
    opening stands for the disk.

    Args:
        vertices: [V, 3] float32. index: [M] int32, the vertices inside the mouth. lips: [8, 3] float32, landmarks
            60-67.
        rotation: [3, 3] float32 of the head. baked_half_height: m. darkest: least factor. light: [V] float32, written
            at `index`.
    """
    center = np.zeros(3, np.float32)
    for corner in range(8):
        for axis in range(3):
            center[axis] += lips[corner, axis] / np.float32(8)
    half_width = half_height = np.float32(0)
    for axis in range(3):
        half_width += (lips[4, axis] - lips[0, axis]) ** 2
    half_width = np.float32(0.5) * math.sqrt(half_width)
    for pair in range(1, 4):
        height_squared = np.float32(0)
        for axis in range(3):
            height_squared += (lips[pair, axis] - lips[8 - pair, axis]) ** 2
        half_height += math.sqrt(height_squared) / np.float32(6)
    now, baked = half_width * half_height, half_width * baked_half_height
    for entry in range(index.shape[0]):
        vertex = index[entry]
        x, y, z = vertices[vertex, 0] - center[0], vertices[vertex, 1] - center[1], vertices[vertex, 2] - center[2]
        up = rotation[0, 1] * x + rotation[1, 1] * y + rotation[2, 1] * z
        forward = rotation[0, 2] * x + rotation[1, 2] * y + rotation[2, 2] * z
        behind = max(-forward, np.float32(0))
        beside, baked_beside = (
            max(abs(up) - half_height, np.float32(0)),
            max(abs(up) - baked_half_height, np.float32(0)),
        )
        ratio = now * (baked + behind * behind + baked_beside * baked_beside)
        ratio /= baked * (now + behind * behind + beside * beside) + np.float32(1e-12)
        light[vertex] = min(max(ratio, darkest), np.float32(1))


@kernel
def _shade_by_lid(vertices, index, lid, lid_beside, rotation, light):
    """Write the factor `light` [V] of the eye vertices `index` [M]: darker towards the upper lid, which lies halfway
    between `lid` [3] and `lid_beside` [3], m."""
    for entry in range(index.shape[0]):
        vertex = index[entry]
        below = np.float32(0)
        for axis in range(3):
            middle = (lid[axis] + lid_beside[axis]) * np.float32(0.5)
            below += rotation[axis, 1] * (middle - vertices[vertex, axis])
        share = min(max(below / np.float32(LID_SHADOW_M), np.float32(0)), np.float32(1))
        light[vertex] = np.float32(LID_SHADE) + np.float32(1 - LID_SHADE) * share


FADE_COSINES = 0.10, 0.35
"""Hair with nothing solid behind it fades in between these cosines of sight and normal: a shell ends abruptly where
strands thin out."""


FIN_COSINES = math.cos(math.radians(15)), math.cos(math.radians(6))
"""Likewise the fin at the hair's outline, between cosines of sight and the sight for which it was made: it stands where
the shell is edge-on from there."""


@kernel
def _fade_edge_on(vertices, index, normals, rotation, camera, low, high, light):
    """Write the factor `light` [V] of the hair's vertices `index` [M]: 0 where it is seen edge-on, 1 where it faces the
    camera or turns its back to it.

    Args:
        vertices: [V, 3] float32. index: [M] int32. normals: [M, 3] float32, unit length, at rest. rotation: [3, 3]
            float32 of the head, with which the hair turns as a whole. camera: [3] float32, m. low, high: float32,
            cosines between which the factor rises. light: [V] float32.
    """
    for entry in range(index.shape[0]):
        vertex = index[entry]
        along = length = np.float32(0)
        for axis in range(3):
            sight = camera[axis] - vertices[vertex, axis]
            normal = np.float32(0)
            for other in range(3):
                normal += rotation[axis, other] * normals[entry, other]
            along += sight * normal
            length += sight * sight
        share = (abs(along) / math.sqrt(length) - low) / (high - low)
        share = min(max(share, np.float32(0)), np.float32(1))
        light[vertex] = share * share * (np.float32(3) - np.float32(2) * share)


@kernel
def add_spot(color, mask, part, x_px, y_px, radius_px, levels):
    """Add a soft white spot to the pixels of one part.

    Args:
        color: [H, W, 4], levels of 255, updated. mask: [H, W] uint8.
        part: the part that shows the spot.
        x_px, y_px, radius_px: center and radius in pixels; brightness falls to 1/e at the radius.
        levels: at the center.
    """
    height, width = mask.shape
    reach = 2.2 * radius_px
    for row in range(max(int(y_px - reach), 0), min(int(y_px + reach) + 1, height)):
        for column in range(max(int(x_px - reach), 0), min(int(x_px + reach) + 1, width)):
            if mask[row, column] == part:
                distance = ((column + 0.5 - x_px) ** 2 + (row + 0.5 - y_px) ** 2) / (radius_px * radius_px)
                gain = levels * math.exp(-distance * distance)
                for channel in range(3):
                    color[row, column, channel] = min(color[row, column, channel] + gain, 255.0)


@dataclass(frozen=True, slots=True)
class Spot:
    """A highlight on the picture: center, radius (pixels) and brightness (levels of 255)."""

    x_px: float
    y_px: float
    radius_px: float
    levels: float


class Light:
    """Light on a head that depends on its pose.

    Args:
        head: the head.
        camera_position: [3], m.
        key_direction: [3], from the head towards the key light.
    """

    def __init__(self, head: Head, camera_position, key_direction):
        self._mouth = np.unique(head.faces[np.isin(head.part, MOUTH_PARTS)]).astype(np.int32)
        self._camera = np.asarray(camera_position, np.float64)
        self._key = np.asarray(key_direction, np.float64) / np.linalg.norm(key_direction)
        eyes = np.unique(head.faces[head.part == Part.EYES])
        hair = head.faces[head.part == Part.HAIR]
        self._hair = np.unique(hair).astype(np.int32)
        self._hair_normals = _normals(head.template, hair)[self._hair]
        self._fin = np.unique(head.faces[head.part == Part.HAIR_FIN]).astype(np.int32)
        sight = self._camera - head.template[self._fin]
        self._fin_normals = (sight / np.linalg.norm(sight, axis=1, keepdims=True)).astype(np.float32)
        self._eyes = []
        self._lids = []
        for joint, lid in zip((Joint.LEFT_EYE, Joint.RIGHT_EYE), UPPER_LIDS, strict=True):
            own = eyes[head.skinning_weights[eyes, joint] > 0.5]
            self._lids.append((own.astype(np.int32), lid))
            if len(own) >= 4:
                center = head.joints()[joint].astype(np.float64)
                radius_m = np.linalg.norm(head.template[own] - center, axis=1).mean()
                front = center + (0, 0, CORNEA_CENTER * radius_m)
                own = own[
                    np.unique([side(head.template[own, axis]) for side in (np.argmin, np.argmax) for axis in range(3)])
                ]
                weights = _fixed_points(head.template[own], np.stack([center, front]))
                self._eyes.append((own, weights, CORNEA_RADIUS * radius_m))

    def factors(self, vertices: np.ndarray, landmarks: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Factor on the texture at each vertex.

        Args:
            vertices: [V, 3] float32, posed, m. landmarks: [68, 3] float32, iBUG-68 on them.
            pose: [6], turns the head.

        Returns:
            [V] float32; 1 outside mouth, eyes and hair. Of the hair it is the share of color and opacity that is left
            where nothing solid lies behind.
        """
        light = np.ones(len(vertices), np.float32)
        rotation = rotation_matrices(pose[:3])[0]
        for own, (first, second) in self._lids:
            _shade_by_lid(vertices, own, landmarks[first], landmarks[second], rotation, light)
        if len(self._mouth):
            _open_mouth(
                vertices, self._mouth, landmarks[INNER_LIPS], rotation, np.float32(BAKED_OPENING_M / 2),
                np.float32(DARKEST), light,
            )  # fmt: skip
        camera = self._camera.astype(np.float32)
        for index, normals, cosines in (
            (self._hair, self._hair_normals, FADE_COSINES), (self._fin, self._fin_normals, FIN_COSINES),
        ):  # fmt: skip
            if len(index):
                _fade_edge_on(vertices, index, normals, rotation, camera, *map(np.float32, cosines), light)
        return light

    def spots(self, vertices: np.ndarray, matrix: np.ndarray, size_px: int) -> list[Spot]:
        """Where the corneas at posed `vertices` mirror the key light to the camera; matrix: [4, 4], world to clip
        space."""
        spots = []
        for own, weights, radius_m in self._eyes:
            center, front = weights @ vertices[own]
            gaze, to_camera = _unit(front - center), _unit(self._camera - front)
            mirror = _unit(self._key + to_camera)
            faint, full = CORNEA_RIM_COSINES
            share = min(max((float(mirror @ gaze) - faint) / (full - faint), 0.0), 1.0)
            point = front + radius_m * mirror
            x, y, _, w = (matrix[:, :3] @ point + matrix[:, 3]).tolist()
            if share > 0 and w > 0:
                radius_px = SPOT_ANGLE_RAD * radius_m * abs(float(matrix[1, 1])) / w * size_px / 2
                x_px, y_px = (x / w + 1) * size_px / 2, (y / w + 1) * size_px / 2
                if max(abs(x_px), abs(y_px)) < 1e6 and radius_px < size_px:
                    spots.append(Spot(x_px, y_px, radius_px, SPOT_LEVELS * share))
        return spots


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / math.hypot(*vector.tolist())


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] float32, unit length, averaged over the faces by area; 0 where there is none."""
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    result = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(result, faces[:, corner], np.cross(b - a, c - a))
    return (result / np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _fixed_points(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights [P, N] with which rigidly moving `vertices` [N, 3] carry `points` [P, 3] along."""
    system = np.column_stack([vertices, np.ones(len(vertices))]).T.astype(np.float64)
    target = np.column_stack([points, np.ones(len(points))]).T
    return np.linalg.lstsq(system, target, rcond=None)[0].T
