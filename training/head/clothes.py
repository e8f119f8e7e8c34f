"""A knitted top: a smoothed shell over the torso and a ribbed collar around the neck."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.head import Part
from training.head.hair import strip_faces
from training.head.surface import Surface, boundary_loops, clipped, relaxed, vertex_normals

THICKNESS_M = 0.007
COLLAR_HEIGHT_M = 0.014
COLLAR_POINTS = 64
HEM_M = -0.29
"""The cloth ends at this height, below the portrait."""

UNDER_COLLAR_M = 0.018
"""Skin reaches this far under the cloth."""


@dataclass(frozen=True)
class Neckline:
    """Where the cloth begins.

    Attributes:
        front_height_m, front_z_m: a point of it in front.
        slope: climb toward the back.
        rise_per_m: climb toward the shoulders with the square of x.
    """

    front_height_m: float = -0.150
    front_z_m: float = 0.027
    slope: float = 0.44
    rise_per_m: float = 2.0

    def depth_m(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Depth of each point [N, 3] below the neckline."""
        x, y, z = position.T
        return self.front_height_m + (self.front_z_m - z) * self.slope + self.rise_per_m * x**2 - y


def dress(skin: Surface, neckline: Neckline) -> dict[str, Surface]:
    """The garment, UV projected from the front, and its collar, UV around the neck, over the refined `skin`."""
    covered = neckline.depth_m(skin.position)[skin.faces].max(1) > -0.01
    below = skin.kept(covered & (skin.position[skin.faces][:, :, 1].max(1) > HEM_M))
    cloth = clipped(below, neckline.depth_m(below.position))
    rim = boundary_loops(cloth.faces)
    neck = max(rim, key=lambda loop: cloth.position[loop, 1].mean())
    inner = np.ones(len(cloth.position), bool)
    inner[np.concatenate(rim)] = False
    normal = relaxed(cloth.faces, vertex_normals(cloth.position, cloth.faces), 4)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    position = relaxed(cloth.faces, cloth.position + THICKNESS_M * normal, 12, inner)
    flat = position[:, :2] * [1, -1]
    garment = replace(
        cloth,
        position=position,
        uv=(flat - flat.min(0)) / np.ptp(flat, axis=0),
        part=np.full(len(cloth.faces), Part.CLOTHES, np.uint8),
        origin=np.full(len(position), -1),
    )
    return {"garment": garment, "collar": _collar(garment, neck, normal)}


def _collar(garment: Surface, loop: NDArray[np.int64], normal: NDArray) -> Surface:
    """A rolled band along the neckline: over the cloth's edge, up the neck and back inside to the skin."""
    center = garment.position[loop].mean(0)
    angle = np.arctan2(*(garment.position[loop] - center)[:, [0, 2]].T)
    loop = loop[np.argsort(angle)]
    angle = np.sort(angle)
    stations = np.arange(COLLAR_POINTS) * 2 * np.pi / COLLAR_POINTS - np.pi

    def ring(values: NDArray) -> NDArray:
        wrapped = np.stack([np.interp(stations, angle, column, period=2 * np.pi) for column in values.T], 1)
        kernel = np.hanning(9)[1:-1] / np.hanning(9)[1:-1].sum()
        padded = np.concatenate([wrapped[-3:], wrapped, wrapped[:3]])
        return np.stack([np.convolve(column, kernel, "valid") for column in padded.T], 1)

    edge, outward = ring(garment.position[loop]), ring(normal[loop])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    along = np.roll(edge, -1, axis=0) - np.roll(edge, 1, axis=0)
    up = np.cross(along, outward)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    up *= np.sign((up[:, 1] - 0.0).mean())
    height, out = COLLAR_HEIGHT_M, 0.0015
    profile = [(-0.4, out), (-0.1, 1.5 * out), (0.4, 1.5 * out), (0.75, 0.8 * out),
               (0.95, -0.4 * out), (1.0, -1.8 * out), (0.8, -3.2 * out), (0.1, -4.0 * out)]  # fmt: skip
    closed = np.append(np.arange(COLLAR_POINTS), 0)
    rows = [(edge + share * height * up + offset * outward)[closed] for share, offset in profile]
    faces = strip_faces(len(rows), COLLAR_POINTS + 1)
    position = np.concatenate(rows)
    corners = position[faces[:COLLAR_POINTS]]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if (facing * outward).sum() < 0:
        faces = faces[:, [0, 2, 1]]
    weights = ring(garment.weights[loop])[closed]
    expression = ring(garment.expression[loop].reshape(len(loop), -1)).reshape(COLLAR_POINTS, 3, -1)[closed]
    repeat = len(rows)
    across, along = np.meshgrid(np.linspace(0, 1, COLLAR_POINTS + 1), np.linspace(1, 0, repeat))
    return Surface(
        position,
        np.tile(expression, (repeat, 1, 1)),
        np.tile(weights / weights.sum(1, keepdims=True), (repeat, 1)),
        np.stack([across.ravel(), along.ravel()], 1),
        faces,
        np.full(len(faces), Part.CLOTHES, np.uint8),
        np.full(len(position), -1),
    )
