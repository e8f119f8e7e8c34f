"""Meshes of the scene: one Blender object for each part of the head, moved by writing posed vertices.

The head's space is y up with the face along +z; Blender's is z up with the face along -y. `to_blender` is the only
place where the two meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix


def to_blender(points: np.ndarray) -> np.ndarray:
    """Turns [..., 3] points or directions from the head's space into Blender's."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] at length one; zero vectors stay zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3] of a triangle mesh."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], cross)
    return unit(normals)


def rigid_motion(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Homogeneous rigid motion [4, 4] that takes points `before` [N, 3] to `after` [N, 3].

    Source: Kabsch, A solution for the best rotation to relate two sets of vectors, 1976.
    """
    middle, target = before.mean(0), after.mean(0)
    left, _, right = np.linalg.svd((before - middle).T @ (after - target))
    handed = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    motion = np.eye(4)
    motion[:3, :3] = (left @ handed @ right).T
    motion[:3, 3] = target - motion[:3, :3] @ middle
    return motion


def to_blender_matrix(motion: np.ndarray) -> Matrix:
    """Turns a motion [4, 4] of the head's space into one of Blender's."""
    turn = np.array([[1.0, 0, 0, 0], [0, 0, -1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]])
    return Matrix((turn @ motion @ turn.T).tolist())


@dataclass(frozen=True)
class Welded:
    """A part's triangles with the vertices of texture seams joined, so that normals run smoothly across them.

    Attributes:
        source: [N] one index into the head's vertices for each welded vertex.
        faces: [F, 3] triangles over the welded vertices.
        corners: [F, 3] the same triangles over the head's vertices, for values that differ across a seam.
    """

    source: np.ndarray
    faces: np.ndarray
    corners: np.ndarray

    @staticmethod
    def of(template: np.ndarray, faces: np.ndarray, tolerance_m: float = 1e-6) -> Welded:
        """Welds the triangles `faces` [F, 3] of the rest vertices `template` [V, 3]."""
        used, compact = np.unique(faces, return_inverse=True)
        grid = np.round(template[used] / tolerance_m).astype(np.int64)
        _, first, joined = np.unique(grid, axis=0, return_index=True, return_inverse=True)
        welded = joined.reshape(-1)[compact.reshape(-1)].reshape(faces.shape)
        whole = (welded != np.roll(welded, 1, axis=1)).all(axis=1)
        return Welded(source=used[first], faces=welded[whole].astype(np.int32), corners=faces[whole])


class PartMesh:
    """A Blender mesh object over the welded vertices of one part.

    Args:
        name: object name.
        welded: topology.
        rest: [V, 3] rest vertices of the whole head, metres, head space.
        uv: [V, 2] texture coordinates of the whole head, origin top left.
    """

    def __init__(self, name: str, welded: Welded, rest: np.ndarray, uv: np.ndarray):
        self.welded = welded
        self.mesh = bpy.data.meshes.new(name)
        points = to_blender(rest[welded.source])
        self.mesh.from_pydata(points.tolist(), [], welded.faces.tolist())
        self.mesh.polygons.foreach_set("use_smooth", np.ones(len(welded.faces), bool))
        layer = self.mesh.uv_layers.new(name="UV")
        corner_uv = uv[welded.corners].reshape(-1, 2).astype(np.float32)
        corner_uv[:, 1] = 1.0 - corner_uv[:, 1]
        layer.data.foreach_set("uv", corner_uv.ravel())
        self.attribute("rest", rest[welded.source])
        self.object = bpy.data.objects.new(name, self.mesh)
        bpy.context.scene.collection.objects.link(self.object)

    def attribute(self, name: str, values: np.ndarray) -> None:
        """Stores one number [N] or vector [N, 3] for each welded vertex under `name`."""
        kind, field = ("FLOAT", "value") if values.ndim == 1 else ("FLOAT_VECTOR", "vector")
        layer = self.mesh.attributes.new(name, kind, "POINT")
        layer.data.foreach_set(field, np.ascontiguousarray(values, np.float32).ravel())

    def pose(self, vertices: np.ndarray) -> None:
        """Moves the mesh to the head's posed vertices [V, 3], metres, head space."""
        points = to_blender(vertices[self.welded.source]).astype(np.float32)
        self.mesh.vertices.foreach_set("co", points.ravel())
        self.mesh.update()
