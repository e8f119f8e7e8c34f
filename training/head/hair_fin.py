"""The hair's outline as a fin: a strip that stands where the portrait sees the hair's shell edge-on, and that shows the
loose ends of strands against the background.

Source: Lengyel, Praun, Finkelstein and Hoppe, "Real-time fur over arbitrary surfaces", 2001, section 4: shells alone
show no hairs at a silhouette, fins do.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from avatar.head import Joint, Part
from avatar.rasterizer.camera import Camera
from training.head.hair import strip_faces
from training.head.surface import Surface

PICTURE_PX = 2048
"""Size of the picture in which the outline is searched: a quarter of a served frame's pixels."""

INSIDE_PX, OUTSIDE_PX = 72, 56
"""The fin reaches so far to either side of the outline: inside to where the shell is opaque (`light.FADE_COSINES`),
outside beyond the longest ends."""

STEP_PX = 24
SMOOTH_PX = 32
"""Distance of the fin's columns, and what the outline is smoothed over so that its offsets do not fold."""

NEAR_PX = 24
"""Vertices of the shell this near the outline tell how far away it is."""

ROWS = (0.0, OUTSIDE_PX / (INSIDE_PX + OUTSIDE_PX), 1.0)
"""Share of the way from the outer to the inner edge."""


def hair_fin(hair: Surface, solid: list[Surface], portrait: Camera) -> Surface:
    """The fin of a `hair` shell before the `portrait`; UV along the outline and from the outer edge in, in the unit
    square.

    Args:
        hair: the shell at rest.
        solid: what else has an outline in the picture: skin and clothes.
        portrait: the avatar's camera.
    """
    outline = _outline(_covered(hair, portrait), *(_covered(surface, portrait) for surface in solid))
    smooth = gaussian_filter1d(outline, SMOOTH_PX, axis=0, mode="nearest")
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(smooth, axis=0), axis=1))])
    places = np.linspace(0, length[-1], round(length[-1] / STEP_PX) + 1)
    line = np.stack([np.interp(places, length, smooth[:, axis]) for axis in (0, 1)], 1)
    along = np.gradient(line, axis=0)
    outward = np.stack([along[:, 1], -along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    pixels, depth = _projected(hair.position, portrait)
    near = cKDTree(pixels)
    around = near.query_ball_point(line, NEAR_PX)
    known = [index for index, found in enumerate(around) if found]
    depth_m = np.interp(np.arange(len(line)), known, [np.mean(depth[around[index]]) for index in known])
    depth_m = gaussian_filter1d(depth_m, SMOOTH_PX / STEP_PX, mode="nearest")
    offsets = [OUTSIDE_PX - row * (INSIDE_PX + OUTSIDE_PX) for row in ROWS]
    position = np.concatenate([_unprojected(line + offset * outward, depth_m, portrait) for offset in offsets])
    share = places / length[-1]
    uv = np.concatenate([np.stack([share, np.full(len(share), row)], 1) for row in ROWS])
    faces = strip_faces(len(ROWS), len(line))[:, ::-1]
    count = len(position)
    return Surface(
        position,
        np.zeros((count, 3, hair.expression.shape[2])),
        np.tile(np.eye(hair.weights.shape[1])[Joint.NECK], (count, 1)),
        uv,
        faces,
        np.full(len(faces), Part.HAIR_FIN, np.uint8),
        np.full(count, -1),
    )


def _basis(camera: Camera) -> tuple[NDArray, float]:
    """Right, down and forward [3, 3] as rows, and the focal length in pixels of `PICTURE_PX`."""
    forward = np.subtract(camera.target, camera.position)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    focal_px = PICTURE_PX / 2 / np.tan(np.deg2rad(camera.fov_deg) / 2)
    return np.stack([right, np.cross(forward, right), forward]), focal_px


def _projected(points: NDArray, camera: Camera) -> tuple[NDArray, NDArray]:
    """Pixels [N, 2] and distance along the sight [N], m, of points [N, 3]."""
    axes, focal_px = _basis(camera)
    seen = (points - np.asarray(camera.position)) @ axes.T
    return PICTURE_PX / 2 + focal_px * seen[:, :2] / seen[:, 2:], seen[:, 2]


def _unprojected(pixels: NDArray, depth_m: NDArray, camera: Camera) -> NDArray:
    """Points [N, 3] at pixels [N, 2] in a distance [N] along the sight."""
    axes, focal_px = _basis(camera)
    across = (pixels - PICTURE_PX / 2) / focal_px * depth_m[:, None]
    return np.column_stack([across, depth_m]) @ axes + camera.position


def _covered(surface: Surface, camera: Camera) -> NDArray[np.uint8]:
    """Pixels [`PICTURE_PX`, `PICTURE_PX`] that a surface covers."""
    pixels, _ = _projected(surface.position, camera)
    mask = np.zeros((PICTURE_PX, PICTURE_PX), np.uint8)
    for face in np.round(pixels[surface.triangulated().faces] * 16 - 8).astype(np.int32):
        cv2.fillConvexPoly(mask, face, 1, shift=4)
    return mask


def _outline(hair: NDArray[np.uint8], *solid: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The longest piece [N, 2] of the picture's outline, clockwise, that is the hair's."""
    whole = np.maximum.reduce([hair, *solid])
    contours, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    line = max(contours, key=len)[:, 0].astype(np.float64)
    if cv2.contourArea(line.astype(np.float32), oriented=True) < 0:
        line = line[::-1]
    column, row = line.astype(int).T
    own = hair[row, column] > 0
    if own.all() or not own.any():
        raise ValueError(
            f"the hair must be a part of the portrait's outline, got {own.mean():.0%}; check the cut and the camera"
        )
    start = np.flatnonzero(own & ~np.roll(own, 1))
    runs = [np.argmin(np.append(np.roll(own, -first), False)) for first in start]
    longest = int(np.argmax(runs))
    return np.roll(line, -start[longest], axis=0)[: runs[longest]] + 0.5
