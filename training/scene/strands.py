"""Brows and lashes: single hairs rooted on the skin's triangles, which carry them through every expression."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from scipy.spatial import cKDTree

from training.scene.geometry import to_blender, unit


def triangle_frames(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Orthonormal frames [S, 3, 3] of triangles [S, 3], columns: first edge, across, normal."""
    first, second, third = (vertices[triangles[:, corner]] for corner in range(3))
    along = unit(second - first)
    normal = unit(np.cross(second - first, third - first))
    return np.stack([along, np.cross(normal, along), normal], axis=-1)


@dataclass(frozen=True)
class Rooted:
    """Hairs fixed to triangles: they turn with them but keep their length.

    Attributes:
        triangles: [S, 3] head vertices of each hair's triangle.
        weights: [S, 3] barycentric place of the root.
        local: [S, K, 3] points relative to the root in the triangle's frame at rest, metres.
        radius_m: [S, K].
    """

    triangles: np.ndarray
    weights: np.ndarray
    local: np.ndarray
    radius_m: np.ndarray

    @staticmethod
    def at(points: np.ndarray, radius_m: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> Rooted:
        """Roots hairs `points` [S, K, 3] at the nearest of the triangles `faces` [F, 3] of the rest `vertices`."""
        centers = vertices[faces].mean(axis=1)
        _, candidates = cKDTree(centers).query(points[:, 0], k=8)
        best, weights, gap = np.zeros(len(points), int), np.zeros((len(points), 3)), np.full(len(points), np.inf)
        for candidate in candidates.T:
            trial = barycentric(points[:, 0], vertices[faces[candidate]])
            miss = np.linalg.norm((vertices[faces[candidate]] * trial[..., None]).sum(1) - points[:, 0], axis=1)
            nearer = miss < gap
            best[nearer], weights[nearer], gap[nearer] = candidate[nearer], trial[nearer], miss[nearer]
        triangles = faces[best]
        frames = triangle_frames(vertices, triangles)
        local = np.einsum("sji,skj->ski", frames, points - points[:, :1])
        return Rooted(triangles, weights, local, radius_m)

    def posed(self, vertices: np.ndarray) -> np.ndarray:
        """Points [S, K, 3] on the posed head `vertices` [V, 3]."""
        roots = (vertices[self.triangles] * self.weights[..., None]).sum(axis=1)
        return roots[:, None] + np.einsum("sij,skj->ski", triangle_frames(vertices, self.triangles), self.local)


def barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Weights [S, 3] in the triangles `corners` [S, 3, 3] nearest to `points` [S, 3], clamped to the triangle."""
    first, second, offset = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    aa, ab, bb = (first * first).sum(1), (first * second).sum(1), (second * second).sum(1)
    ao, bo = (first * offset).sum(1), (second * offset).sum(1)
    area = np.maximum(aa * bb - ab * ab, 1e-20)
    v, w = (bb * ao - ab * bo) / area, (aa * bo - ab * ao) / area
    weights = np.clip(np.stack([1 - v - w, v, w], 1), 0, 1)
    return weights / weights.sum(1, keepdims=True)


class StrandObject:
    """Hair curves in Blender with a fixed number of points per strand.

    Args:
        name: object name.
        points: [S, K, 3] metres, head space.
        radius_m: [S, K].
        material: of the hairs.
        tone: [S] around 0, which the material may use.
    """

    def __init__(
        self,
        name: str,
        points: np.ndarray,
        radius_m: np.ndarray,
        material: bpy.types.Material,
        tone: np.ndarray | None = None,
    ):
        self.curves = bpy.data.hair_curves.new(name)
        self.curves.add_curves([points.shape[1]] * len(points))
        self.curves.points.foreach_set("radius", radius_m.astype(np.float32).ravel())
        if tone is not None:
            layer = self.curves.attributes.new("tone", "FLOAT", "CURVE")
            layer.data.foreach_set("value", tone.astype(np.float32))
        self.curves.materials.append(material)
        self.object = bpy.data.objects.new(name, self.curves)
        bpy.context.scene.collection.objects.link(self.object)
        self.move(points)

    def move(self, points: np.ndarray) -> None:
        """Sets the points [S, K, 3], metres, head space."""
        flat = to_blender(points).astype(np.float32).ravel()
        self.curves.attributes["position"].data.foreach_set("vector", flat)
        self.curves.update_tag()
