"""Surfaces whose every vertex quantity is carried along by linear operators."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Surface:
    """A polygon surface with the vertex quantities of a head.

    Attributes:
        position: [V, 3] rest vertices, m.
        expression: [V, 3, 52] ARKit directions, m.
        weights: [V, 5] skinning weights.
        uv: [V, 2] in [0, 1], origin top left.
        faces: [F, 3] or [F, 4].
        part: [F] uint8.
        origin: [V] vertex of the base mesh that each vertex stands for, or −1.
    """

    position: NDArray[np.float64]
    expression: NDArray[np.float64]
    weights: NDArray[np.float64]
    uv: NDArray[np.float64]
    faces: NDArray[np.int64]
    part: NDArray[np.uint8]
    origin: NDArray[np.int64]

    def mapped(self, operator: sparse.spmatrix, faces: NDArray, part: NDArray) -> "Surface":
        """The surface whose vertices are `operator` [V', V] times these; its first V rows are the old vertices."""
        expression = operator @ self.expression.reshape(len(self.position), -1)
        return Surface(
            operator @ self.position,
            expression.reshape(-1, *self.expression.shape[1:]),
            operator @ self.weights,
            operator @ self.uv,
            np.asarray(faces, np.int64),
            np.asarray(part, np.uint8),
            np.concatenate([self.origin, np.full(operator.shape[0] - len(self.origin), -1)]),
        )

    def kept(self, face_mask: NDArray[np.bool_]) -> "Surface":
        """Only the chosen faces and the vertices that they use."""
        used, faces = np.unique(self.faces[face_mask], return_inverse=True)
        return Surface(
            self.position[used],
            self.expression[used],
            self.weights[used],
            self.uv[used],
            faces.reshape(-1, self.faces.shape[1]),
            self.part[face_mask],
            self.origin[used],
        )

    def triangulated(self) -> "Surface":
        """Quads split along the shorter diagonal."""
        if self.faces.shape[1] == 3:
            return self
        a, b, c, d = self.faces.T
        ac = np.linalg.norm(self.position[a] - self.position[c], axis=1)
        bd = np.linalg.norm(self.position[b] - self.position[d], axis=1)
        first = np.where((ac <= bd)[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
        second = np.where((ac <= bd)[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
        return replace(self, faces=np.concatenate([first, second]), part=np.concatenate([self.part, self.part]))


def joined(surfaces: list[Surface]) -> Surface:
    """All surfaces as one; their vertices stay separate."""
    surfaces = [surface.triangulated() for surface in surfaces]
    starts = np.cumsum([0] + [len(surface.position) for surface in surfaces[:-1]])
    return Surface(
        *(np.concatenate([getattr(s, name) for s in surfaces]) for name in ("position", "expression", "weights", "uv")),
        np.concatenate([surface.faces + start for surface, start in zip(surfaces, starts, strict=True)]),
        np.concatenate([surface.part for surface in surfaces]),
        np.concatenate([surface.origin for surface in surfaces]),
    )


def clipped(surface: Surface, field: NDArray[np.float64]) -> Surface:
    """The part of a triangle surface where `field` [V] is positive, cut straight through the triangles."""
    inside = field > 0
    rows, columns, values, faces, part = [], [], [], [], []
    cuts: dict[tuple[int, int], int] = {}
    vertex_count = len(field)

    def cut(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in cuts:
            cuts[key] = vertex_count + len(cuts)
            share = field[key[0]] / (field[key[0]] - field[key[1]])
            rows.extend([cuts[key] - vertex_count] * 2)
            columns.extend(key)
            values.extend([1 - share, share])
        return cuts[key]

    for face, kind in zip(surface.faces, surface.part, strict=True):
        polygon = []
        for a, b in zip(face, np.roll(face, -1), strict=True):
            if inside[a]:
                polygon.append(int(a))
            if inside[a] != inside[b]:
                polygon.append(cut(int(a), int(b)))
        for second, third in zip(polygon[1:], polygon[2:], strict=False):
            faces.append((polygon[0], second, third))
            part.append(kind)
    extra = sparse.csr_matrix((values, (rows, columns)), (len(cuts), vertex_count))
    whole = surface.mapped(
        sparse.vstack([sparse.identity(vertex_count), extra]).tocsr(), np.array(faces), np.array(part)
    )
    return whole.kept(np.ones(len(faces), bool))


def boundary_loops(faces: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Closed loops of boundary vertices, longest first, in the direction of the faces."""
    width = faces.shape[1]
    edges = np.concatenate([faces[:, [k, (k + 1) % width]] for k in range(width)])
    present = {(a, b) for a, b in edges.tolist()}
    following = {a: b for a, b in present if (b, a) not in present}
    loops = []
    while following:
        start, current = next(iter(following.items()))
        loop = [start]
        del following[start]
        while current != start and current in following:
            loop.append(current)
            current = following.pop(current)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)


def vertex_normals(vertices: NDArray, faces: NDArray) -> NDArray[np.float64]:
    """Area-weighted unit normals [V, 3]; vertices at one place (seams) share theirs."""
    _, same = np.unique(np.round(vertices, 6), axis=0, return_inverse=True)
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((same.max() + 1, 3))
    for corner in range(3):
        np.add.at(total, same[faces[:, corner]], normal)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-15)
    return total[same]


def relaxed(faces: NDArray, values: NDArray, rounds: int, free: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Per-vertex values [V, ...] averaged with their neighbors `rounds` times, half-way each time.

    Args:
        faces: [F, 3].
        values: [V] or [V, k].
        rounds: how often.
        free: [V], where values may change; everywhere if left out.
    """
    count = len(values)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    graph = sparse.csr_matrix((np.ones(2 * len(edges)), (edges.ravel(), edges[:, ::-1].ravel())), (count, count))
    graph = sparse.diags(1 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph
    values = np.asarray(values, float)
    for _ in range(rounds):
        moved = 0.5 * values + 0.5 * (graph @ values)
        values = moved if free is None else np.where(free.reshape((-1,) + (1,) * (values.ndim - 1)), moved, values)
    return values
