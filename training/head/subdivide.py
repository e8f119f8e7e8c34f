"""One level of Catmull–Clark subdivision of a region, as a linear operator on all vertex quantities.

Source: Catmull and Clark, "Recursively generated B-spline surfaces on arbitrary topological meshes", 1978.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.head.surface import Surface


def _edges(quads: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Unique undirected edges [E, 2] and the edge of each quad side [F, 4]."""
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2)
    edges, index = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    return edges, index.reshape(-1, 4)


def _average(groups: NDArray[np.int64], columns: int) -> sparse.csr_matrix:
    """Rows that average the listed members."""
    rows = np.repeat(np.arange(len(groups)), groups.shape[1])
    values = np.full(groups.size, 1 / groups.shape[1])
    return sparse.csr_matrix((values, (rows, groups.ravel())), (len(groups), columns))


def _vertex_rule(quads, edges, sides, face_points, midpoints, vertex_count) -> sparse.csr_matrix:
    """(Q + 2R + (n − 3)P) / n inside; (A + 6P + B) / 8 along a border."""
    use_count = np.bincount(sides.ravel(), minlength=len(edges))
    border = use_count == 1
    on_border = np.zeros(vertex_count, bool)
    on_border[edges[border]] = True
    incidence = sparse.csr_matrix(
        (np.ones(quads.size), (quads.ravel(), np.repeat(np.arange(len(quads)), 4))), (vertex_count, len(quads))
    )
    star = sparse.csr_matrix(
        (np.ones(edges.size), (edges.ravel(), np.repeat(np.arange(len(edges)), 2))), (vertex_count, len(edges))
    )
    valence = np.maximum(np.asarray(star.sum(1)).ravel(), 1)
    face_count = np.maximum(np.asarray(incidence.sum(1)).ravel(), 1)
    identity = sparse.identity(vertex_count, format="csr")
    inner = (
        sparse.diags(1 / (face_count * valence)) @ incidence @ face_points
        + sparse.diags(2 / valence**2) @ star @ midpoints
        + sparse.diags((valence - 3) / valence) @ identity
    )
    rim = star[:, border] @ midpoints[border]
    rim_count = np.maximum(np.asarray(star[:, border].sum(1)).ravel(), 1)
    outer = sparse.diags(0.5 / rim_count) @ rim + 0.5 * identity
    unused = np.asarray(incidence.sum(1)).ravel() == 0
    chosen_inner = sparse.diags(((~on_border) & ~unused).astype(float))
    return (chosen_inner @ inner + sparse.diags(on_border.astype(float)) @ outer
            + sparse.diags(unused.astype(float)) @ identity).tocsr()  # fmt: skip


def catmull_clark(surface: Surface, region: NDArray[np.bool_]) -> Surface:
    """Refine the quads of `region` [F]; all vertices move to their smoothed places.

    Quads beside the region are triangulated through the new points on their sides, which lie on the straight side,
    so that the surface has no cracks.

    Args:
        surface: a quad surface.
        region: [F] quads to refine.

    Returns:
        A triangle surface: first the V old vertices, then the new ones.
    """
    quads, vertex_count = surface.faces, len(surface.position)
    edges, sides = _edges(quads)
    midpoints, face_points = _average(edges, vertex_count), _average(quads, vertex_count)
    smoothed = _vertex_rule(quads, edges, sides, face_points, midpoints, vertex_count)
    use_count = np.bincount(sides.ravel(), minlength=len(edges))
    refined_count = np.bincount(sides[region].ravel(), minlength=len(edges))
    around = sparse.csr_matrix(
        (np.ones(sides.size), (sides.ravel(), np.repeat(np.arange(len(quads)), 4))), (len(edges), len(quads))
    )
    smooth_edge = 0.5 * midpoints + sparse.diags(0.5 / use_count) @ around @ face_points
    inner = ((refined_count == 2) & (use_count == 2)).astype(float)
    edge_points = sparse.diags(inner) @ smooth_edge + sparse.diags(1 - inner) @ (midpoints @ smoothed)
    new_edges, new_faces = np.flatnonzero(refined_count > 0), np.flatnonzero(region)
    edge_vertex = np.full(len(edges), -1)
    edge_vertex[new_edges] = vertex_count + np.arange(len(new_edges))
    face_vertex = vertex_count + len(new_edges) + np.arange(len(new_faces))
    operator = sparse.vstack([smoothed, edge_points.tocsr()[new_edges], face_points[new_faces]]).tocsr()
    small = []
    for corner in range(4):
        small.append(
            np.stack(
                [
                    quads[region][:, corner],
                    edge_vertex[sides[region][:, corner]],
                    face_vertex,
                    edge_vertex[sides[region][:, corner - 1]],
                ],
                1,
            )
        )
    refined = surface.mapped(operator, np.concatenate(small), np.tile(surface.part[region], 4)).triangulated()
    faces, part = [refined.faces], [refined.part]
    for face in np.flatnonzero(~region):
        polygon = []
        for corner in range(4):
            polygon.append(quads[face, corner])
            if edge_vertex[sides[face, corner]] >= 0:
                polygon.append(edge_vertex[sides[face, corner]])
        faces.append(_fan(polygon))
        part.append(np.full(len(faces[-1]), surface.part[face]))
    return surface.mapped(operator, np.concatenate(faces), np.concatenate(part))


def _fan(polygon: list[int]) -> NDArray[np.int64]:
    """Triangles of a polygon, started beside its first midpoint so that none is flat."""
    if len(polygon) > 4:
        start = next(k for k, vertex in enumerate(polygon) if vertex == max(polygon))
        polygon = polygon[start:] + polygon[:start]
    return np.array([(polygon[0], polygon[k], polygon[k + 1]) for k in range(1, len(polygon) - 1)])
