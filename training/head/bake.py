"""Projects pictures of a posed head into its texture atlas.

Every texel asks every picture: is the surface point visible there, how squarely, and which color has it? The answers
are averaged; what nobody saw is filled from its surroundings.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.head import Head, Part
from avatar.rasterizer import ops
from avatar.rasterizer.camera import FAR_M, NEAR_M
from training.head.surface import vertex_normals
from training.head.views import View

DEPTH_TOLERANCE_M = 0.0015
STEEP_M = 0.006
"""A depth step between neighboring pixels that marks an outline; colors mix there."""

CLEARANCE_PX = 8.0
"""Pixels of a picture 1000 px high over which the weight rises beside an outline."""

LID_CLEARANCE_PX = 60.0
"""The same on eyeballs, so that the shadow of the lids, which does not turn with the eye, stays out."""

LEAST_SHARE = 0.003
"""Texels with less than this share of the best weight count as unseen: neighbors' colors have mixed in."""

COVER_FADE_PX = 40.0
"""The same beside what covers."""

HIGHLIGHT_STEP = 12.0
"""Brightness in 0..255 above the other views that makes a highlight."""

CLEAR = 6
"""Opacity in 0..255 below which a pixel counts as uncovered."""

GRAZING_COSINE = 0.12
LARGEST_SPREAD = 4.0
SQUARENESS = 1.5
"""Exponent of the cosine between surface and sight."""


@dataclass(frozen=True, eq=False)
class Texels:
    """The texels that triangles cover.

    Attributes:
        row, column: [N] places in the atlas.
        face: [N] triangle.
        weight: [N, 3] barycentric.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    face: NDArray[np.int64]
    weight: NDArray[np.float32]

    @classmethod
    def of(cls, head: Head, size_px: int) -> "Texels":
        """Find the surface point of each texel."""
        position = np.zeros((len(head.uv), 4), np.float32)
        position[:, :2], position[:, 3] = 2 * head.uv - 1, 1
        rast, _ = ops.rasterize(position, head.faces, (size_px, size_px), grad_db=False)
        row, column = np.nonzero(rast[..., 3] > 0)
        u, v = rast[row, column, 0], rast[row, column, 1]
        return cls(row, column, rast[row, column, 3].astype(np.int64) - 1, np.stack([u, v, 1 - u - v], 1))

    def only(self, mask: NDArray[np.bool_]) -> "Texels":
        return Texels(self.row[mask], self.column[mask], self.face[mask], self.weight[mask])

    def interpolated(self, faces: NDArray[np.integer], values: NDArray) -> NDArray:
        """What vertices have, `values` [V, K], at the texels [N, K]; `faces` [F, 3] as `of` saw them."""
        return (self.weight[..., None] * values[faces[self.face]]).sum(1)


@dataclass(frozen=True, eq=False)
class Sample:
    """What one picture says about texels: straight RGBA [N, 4] in 0..255 and its weight [N], 0 where unseen."""

    color: NDArray[np.float32]
    weight: NDArray[np.float32]


def sample_view(head: Head, texels: Texels, view: View, picture: NDArray, cover: NDArray | None = None) -> Sample:
    """Look the texels up in one picture.

    Args:
        head: the head.
        texels: of the view's parts.
        view: how the picture was taken.
        picture: [H, W, 4] straight RGBA.
        cover: [H, W] uint8 opacity of what lies in front; uncovered pixels alone count.
    """
    vertices = head.pose(view.blendshapes(), np.zeros(6))
    height, width = picture.shape[:2]
    matrix = view.camera.matrix(width / height)
    clip = np.column_stack([vertices, np.ones(len(vertices))]).astype(np.float32) @ matrix.T
    translucent = [part for part in (Part.LASHES, Part.HAIR) if part not in view.parts] + [Part.HAIR_FIN]
    drawn = head.faces[~np.isin(head.part, translucent)]
    kept = ~np.isin(head.part, translucent)
    depth, seen_part = _view_depth(clip, drawn, head.part[kept], width, height)
    point = texels.interpolated(head.faces, vertices)
    normals = vertex_normals(vertices, head.faces)
    normal = texels.interpolated(head.faces, normals)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    sight = np.asarray(view.camera.position) - point
    distance = np.linalg.norm(sight, axis=1, keepdims=True)
    cosine = (normal * sight / distance).sum(1)
    at = np.column_stack([point, np.ones(len(point))]).astype(np.float32) @ matrix.T
    x, y = (at[:, 0] / at[:, 3] + 1) / 2 * width - 0.5, (at[:, 1] / at[:, 3] + 1) / 2 * height - 0.5
    inside = (x > 1) & (y > 1) & (x < width - 2) & (y < height - 2)
    nearest = _looked_up(depth, x, y, cv2.INTER_NEAREST)
    slack = DEPTH_TOLERANCE_M / np.clip(cosine, 0.15, 1)
    strands = Part.HAIR in view.parts
    visible = inside & (np.abs(nearest - at[:, 3]) < slack) & (cosine > GRAZING_COSINE / (4 if strands else 1))
    clearance = np.minimum(_clearance(depth, seen_part), height) * (1000 / height)
    if strands:
        clearance = np.minimum(clearance + 1, 1 + CLEARANCE_PX)
    fade_px = LID_CLEARANCE_PX if Part.EYES in view.parts else CLEARANCE_PX
    soft = np.clip((_looked_up(clearance, x, y, cv2.INTER_LINEAR) - 1) / fade_px, 0, 1) ** 2
    if {Part.LASHES, Part.HAIR_FIN} & set(view.parts):
        visible, soft, cosine = inside, np.ones_like(soft), np.ones_like(soft)
    if cover is not None:
        clear = cv2.distanceTransform((cover < CLEAR).astype(np.uint8), cv2.DIST_L2, 5)
        clear = np.minimum(clear, height) * (1000 / height)
        soft = soft * np.clip((_looked_up(clear, x, y, cv2.INTER_LINEAR) - 3) / COVER_FADE_PX, 0, 1) ** 2
    pixels = picture.astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    color = _looked_up(pixels, x, y, cv2.INTER_LINEAR)
    color[:, :3] *= 255 / np.maximum(color[:, 3:], 1)
    spread = _spread(head, vertices)[head.faces[texels.face]]
    squareness = np.clip(cosine, 0, 1) * (texels.weight * spread).sum(1)
    weight = np.where(visible, view.weight * soft * squareness**SQUARENESS, 0)
    return Sample(color.astype(np.float32), weight.astype(np.float32))


def _spread(head: Head, vertices: NDArray) -> NDArray[np.float64]:
    """How much larger [V] the surface is here than at rest: folded skin is better seen unfolded."""
    total, share = np.zeros(len(vertices)), np.zeros(len(vertices))
    areas = []
    for points in (vertices, head.template):
        a, b, c = points[head.faces].transpose(1, 0, 2)
        areas.append(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    for corner in range(3):
        np.add.at(total, head.faces[:, corner], areas[0])
        np.add.at(share, head.faces[:, corner], areas[1])
    return np.clip(total / np.maximum(share, 1e-12), 1 / LARGEST_SPREAD, LARGEST_SPREAD)


def _looked_up(image: NDArray, x: NDArray, y: NDArray, mode: int, row_length: int = 16384) -> NDArray:
    """The image at [N] places; OpenCV takes no rows longer than 32767."""
    count = len(x)
    rows = -(-count // row_length)
    x, y = (np.pad(np.asarray(v, np.float32), (0, rows * row_length - count)).reshape(rows, -1) for v in (x, y))
    return cv2.remap(image, x, y, mode).reshape(rows * row_length, *image.shape[2:])[:count]


def _view_depth(clip: NDArray, faces: NDArray, part: NDArray, width: int, height: int) -> tuple[NDArray, NDArray]:
    """Distance along the sight [H, W] in meters, far beyond where nothing is, and the part [H, W]."""
    rast, _ = ops.rasterize(np.ascontiguousarray(clip), np.ascontiguousarray(faces), (height, width), grad_db=False)
    across = rast[..., 2]
    distance = 2 * FAR_M * NEAR_M / (FAR_M + NEAR_M - across * (FAR_M - NEAR_M))
    face = rast[..., 3].astype(np.int64) - 1
    return np.where(face >= 0, distance, 50.0).astype(np.float32), np.where(face >= 0, part[face], 0).astype(np.float32)


def _clearance(depth: NDArray[np.float32], part: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance in pixels to the next depth step or border between parts."""
    kernel = np.ones((3, 3), np.uint8)
    steps = cv2.dilate(depth, kernel) - cv2.erode(depth, kernel) > STEEP_M
    borders = cv2.dilate(part, kernel) != cv2.erode(part, kernel)
    return cv2.distanceTransform((~(steps | borders)).astype(np.uint8), cv2.DIST_L2, 5)


def averaged(samples: list[Sample]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted mean color [N, 4] (color by alpha) and the total weight [N]."""
    total = sum(sample.weight for sample in samples)
    alpha = sum(sample.weight * sample.color[:, 3] for sample in samples)
    color = sum((sample.weight * sample.color[:, 3])[:, None] * sample.color[:, :3] for sample in samples)
    color = color / np.maximum(alpha, 1e-12)[:, None]
    return np.column_stack([color, alpha / np.maximum(total, 1e-12)]), total


def without_highlights(samples: list[Sample]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Like `averaged`, but a view that shows a texel brighter than the others do counts less: highlights drop out."""
    brightness = np.stack([sample.color[:, :3] @ np.float32([0.3, 0.6, 0.1]) for sample in samples])
    prior = np.stack([sample.weight for sample in samples])
    weight = prior
    for _ in range(3):
        mean = (weight * brightness).sum(0) / np.maximum(weight.sum(0), 1e-12)
        excess = np.clip(brightness - mean, 0, None) / HIGHLIGHT_STEP
        weight = prior / (1 + excess**2) ** 2
    return averaged([Sample(sample.color, own) for sample, own in zip(samples, weight, strict=True)])


def filled(image: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Pull-push: unknown texels take the color of the known ones around them, at the finest scale that has any.

    Source: Gortler, Grzeszczuk, Szeliski and Cohen, "The lumigraph", 1996, section 3.4.
    """
    if known.all() or min(known.shape) < 2:
        return image
    weight = known.astype(np.float32)
    half = tuple((size + 1) // 2 for size in known.shape[::-1])
    small_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    small = cv2.resize(image * weight[..., None], half, interpolation=cv2.INTER_AREA)
    # OpenCV drops the axis of a single channel.
    small = small.reshape(*small_weight.shape, -1) / np.maximum(small_weight, 1e-9)[..., None]
    coarse = filled(small.astype(np.float32), small_weight > 0)
    up = cv2.resize(coarse, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(known[..., None], image, up.reshape(image.shape))
