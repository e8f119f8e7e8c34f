"""Projects pictures of a posed head into its texture atlas.

Every texel asks every picture: is the surface point visible there, how squarely, and which color has it? The answers are
averaged; what nobody saw is filled from its surroundings.
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

OUTLINE_WEIGHT = 0.02
CLEAR = 6
"""Opacity in 0..255 below which a pixel counts as uncovered."""

GRAZING_COSINE = 0.12
SQUARENESS = 3.0
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
    translucent = [part for part in (Part.LASHES, Part.HAIR) if part not in view.parts]
    drawn = head.faces[~np.isin(head.part, translucent)]
    depth = _view_depth(clip, drawn, width, height)
    point = np.einsum("nk,nkd->nd", texels.weight, vertices[head.faces[texels.face]])
    normals = vertex_normals(vertices, head.faces)
    normal = np.einsum("nk,nkd->nd", texels.weight, normals[head.faces[texels.face]])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    sight = np.asarray(view.camera.position) - point
    distance = np.linalg.norm(sight, axis=1, keepdims=True)
    cosine = (normal * sight / distance).sum(1)
    if Part.LASHES in view.parts:
        cosine = np.abs(cosine)
    at = np.column_stack([point, np.ones(len(point))]).astype(np.float32) @ matrix.T
    x, y = (at[:, 0] / at[:, 3] + 1) / 2 * width - 0.5, (at[:, 1] / at[:, 3] + 1) / 2 * height - 0.5
    inside = (x > 1) & (y > 1) & (x < width - 2) & (y < height - 2)
    nearest = _looked_up(depth, x, y, cv2.INTER_NEAREST)
    slack = DEPTH_TOLERANCE_M * (4 if Part.LASHES in view.parts else 1) / np.clip(cosine, 0.15, 1)
    visible = inside & (np.abs(nearest - at[:, 3]) < slack) & (cosine > GRAZING_COSINE)
    steep = _outlines(depth)
    soft = 1 - _looked_up(steep, x, y, cv2.INTER_LINEAR) * (1 - OUTLINE_WEIGHT)
    if cover is not None:
        clear = (cv2.dilate(cover, np.ones((7, 7), np.uint8)) < CLEAR).astype(np.float32)
        soft = soft * _looked_up(cv2.erode(cv2.GaussianBlur(clear, (0, 0), 6), np.ones((3, 3))) * clear, x, y, cv2.INTER_LINEAR)
    pixels = picture.astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    color = _looked_up(pixels, x, y, cv2.INTER_LINEAR)
    color[:, :3] *= 255 / np.maximum(color[:, 3:], 1)
    weight = np.where(visible, view.weight * soft * np.clip(cosine, 0, 1) ** SQUARENESS, 0)
    return Sample(color.astype(np.float32), weight.astype(np.float32))


def _looked_up(image: NDArray, x: NDArray, y: NDArray, mode: int, row_length: int = 16384) -> NDArray:
    """The image at [N] places; OpenCV takes no rows longer than 32767."""
    count = len(x)
    rows = -(-count // row_length)
    x, y = (np.pad(np.asarray(v, np.float32), (0, rows * row_length - count)).reshape(rows, -1) for v in (x, y))
    return cv2.remap(image, x, y, mode).reshape(rows * row_length, *image.shape[2:])[:count]


def _view_depth(clip: NDArray, faces: NDArray, width: int, height: int) -> NDArray[np.float32]:
    """Distance along the sight [H, W] in meters, far beyond where nothing is."""
    rast, _ = ops.rasterize(np.ascontiguousarray(clip), np.ascontiguousarray(faces), (height, width), grad_db=False)
    across = rast[..., 2]
    distance = 2 * FAR_M * NEAR_M / (FAR_M + NEAR_M - across * (FAR_M - NEAR_M))
    return np.where(rast[..., 3] > 0, distance, 50.0).astype(np.float32)


def _outlines(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 within two pixels of a depth step, else 0."""
    kernel = np.ones((5, 5), np.uint8)
    return (cv2.dilate(depth, kernel) - cv2.erode(depth, kernel) > STEEP_M).astype(np.float32)


def averaged(samples: list[Sample]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted mean color [N, 4] (color by alpha) and the total weight [N]."""
    total = sum(sample.weight for sample in samples)
    alpha = sum(sample.weight * sample.color[:, 3] for sample in samples)
    color = sum((sample.weight * sample.color[:, 3])[:, None] * sample.color[:, :3] for sample in samples)
    color = color / np.maximum(alpha, 1e-12)[:, None]
    return np.column_stack([color, alpha / np.maximum(total, 1e-12)]), total


def median(samples: list[Sample], least: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The color [N, 4] of median brightness among views that see the texel well: a highlight that moves drops out."""
    brightness = np.stack([sample.color[:, :3] @ [0.3, 0.6, 0.1] for sample in samples])
    weight = np.stack([sample.weight / sample.weight.max() for sample in samples])
    brightness[weight < least] = np.nan
    count = np.isfinite(brightness).sum(0)
    order = np.argsort(brightness, axis=0)
    chosen = np.take_along_axis(order, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    color = np.stack([sample.color for sample in samples])[chosen, np.arange(brightness.shape[1])]
    return color, (count > 0).astype(np.float32)


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
    small = small / np.maximum(small_weight, 1e-9)[..., None]
    coarse = filled(small.astype(np.float32), small_weight > 0)
    up = cv2.resize(coarse, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(known[..., None], image, up)
