"""Antialiasing by analytic edge coverage: silhouette edges blend the two pixels whose centers they part.

Source: Laine et al. 2020, "Modular primitives for high-performance differentiable rendering", section 3.3. There each
pixel looks at the edges of its own triangle; here each silhouette edge visits the pixel pairs that it parts, so that
edges of triangles too thin to own a pixel, the usual ones on the rim of a finely meshed head, count as well.
"""

import math

import numpy as np

from avatar.jit import inlined, kernel

SUBPIXELS = 256
DEPTH_STEPS = 2.0**30


def edge_neighbors(tri: np.ndarray, same_point: np.ndarray | None = None) -> np.ndarray:
    """Faces on the other side of each edge.

    Args:
        tri: [F, 3] integer vertex indices.
        same_point: [V] integer, for each vertex the vertex that stands for its point; joins the two sides of texture
            seams.

    Returns:
        [F, 3] int32: the face across the edge opposite corner i, or -1 where the edge has no or several other faces.
    """
    welded = tri if same_point is None else same_point[tri]
    ends = np.sort(np.stack([welded[:, [1, 2]], welded[:, [2, 0]], welded[:, [0, 1]]], axis=1).reshape(-1, 2), axis=1)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ordered = ends[order]
    same_as_next = np.append((ordered[1:] == ordered[:-1]).all(axis=1), False) if len(ordered) else np.zeros(0, bool)
    same_as_last = np.roll(same_as_next, 1)
    first = np.flatnonzero(same_as_next & ~same_as_last)
    first = first[~same_as_next[np.minimum(first + 1, len(ordered) - 1)]]
    neighbors = np.full(len(ends), -1, np.int32)
    neighbors[order[first]] = order[first + 1] // 3
    neighbors[order[first + 1]] = order[first] // 3
    return neighbors.reshape(-1, 3)


def edges(neighbors: np.ndarray, first_face: int = 0) -> np.ndarray:
    """Each edge of a mesh once, [E, 3] int32: a face, its corner opposite the edge, and the face across or -1.

    Args:
        neighbors: [F, 3] int32, of `edge_neighbors`. first_face: index of the first of these faces in the arrays that
            they belong to.
    """
    face, corner = np.nonzero((neighbors < 0) | (neighbors > first_face + np.arange(len(neighbors))[:, None]))
    return np.column_stack([first_face + face, corner, neighbors[face, corner]]).astype(np.int32)


def same_points(positions: np.ndarray) -> np.ndarray:
    """For each of the [V, 3] positions the index of the first vertex at exactly that position, [V] int32."""
    _, first, inverse = np.unique(positions, axis=0, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)].astype(np.int32)


@inlined
def _pair_is_open(edge_depth, inside_depth, outside_depth, tolerance):
    """Whether the surface whose edge this is shows at the inner pixel and something behind it at the outer one.

    The inner pixel center lies up to a pixel inside the rim, where a curved surface is nearer than at the rim itself.
    """
    return outside_depth > edge_depth and inside_depth > edge_depth - tolerance and inside_depth < outside_depth


@inlined
def _is_rim(face, across, facing, neighbors):
    """Whether a drawn face ends at its edge to `across`: nothing there, or turned the other way.

    A face whose area vanishes on the picture passes the question on to the faces beyond it.
    """
    if across < 0 or facing[across] == -facing[face]:
        return True
    if facing[across] == 0:
        for corner in range(3):
            beyond = neighbors[across, corner]
            if beyond != face and (beyond < 0 or facing[beyond] == -facing[face]):
                return True
    return False


@kernel
def find_crossings(
    screen, depth_and_inverse_w, tri, facing, neighbors, edges, both_sides, depth_tolerance, depth, pairs, distances
):  # fmt: skip
    """Pixel pairs that a visible silhouette edge parts, and where.

    Steep edges part horizontal neighbors, flat ones vertical neighbors.

    Args:
        screen, depth_and_inverse_w, tri, facing: as `coverage` writes them. neighbors: [F, 3] int32, of
            `edge_neighbors`.
        edges: [E, 3] int32, of `edges`, those to look at.
        both_sides: whether triangles of negative area are drawn.
        depth_tolerance: z/w by which the surface may come nearer between its rim and the next pixel center.
        depth: [H, W, 2] int32, depth in the second channel, of `coverage.depth_and_face`.
        pairs: [N, 2] int32, written: flat indices in the picture of the inner and of the outer pixel.
        distances: [N] float32, written: of the edge from the inner pixel's center, in [0, 1].

    Returns:
        Number of entries written; edges beyond N are left out.
    """
    height, width = depth.shape[:2]
    tolerance = depth_tolerance * DEPTH_STEPS
    count = 0
    for edge in range(edges.shape[0]):
        face, corner, across = edges[edge, 0], edges[edge, 1], edges[edge, 2]
        if across >= 0:
            if facing[face] == facing[across]:
                continue
            if facing[face] == 0 or (facing[face] < 0 and not both_sides):
                # The face across is the one that is drawn, if any.
                face, across = across, face
                corner = 0 if neighbors[face, 0] == across else 1 if neighbors[face, 1] == across else 2
        if facing[face] == 0 or (facing[face] < 0 and not both_sides) or not _is_rim(face, across, facing, neighbors):
            continue
        a, b, opposite = tri[face, (corner + 1) % 3], tri[face, (corner + 2) % 3], tri[face, corner]
        ax, ay = np.float64(screen[a, 0]) / SUBPIXELS - 0.5, np.float64(screen[a, 1]) / SUBPIXELS - 0.5
        bx, by = np.float64(screen[b, 0]) / SUBPIXELS - 0.5, np.float64(screen[b, 1]) / SUBPIXELS - 0.5
        steep = abs(by - ay) > abs(bx - ax)
        # Along the major axis `s` and across it `t`.
        a_s, a_t, b_s, b_t = (ay, ax, by, bx) if steep else (ax, ay, bx, by)
        if a_s == b_s:
            continue
        slope = (b_t - a_t) / (b_s - a_s)
        o_s, o_t = np.float64(screen[opposite, 1 if steep else 0]), np.float64(screen[opposite, 0 if steep else 1])
        o_s, o_t = o_s / SUBPIXELS - 0.5, o_t / SUBPIXELS - 0.5
        inner_is_low = o_t < a_t + slope * (o_s - a_s)
        az, bz = np.float64(depth_and_inverse_w[a, 0]), np.float64(depth_and_inverse_w[b, 0])
        z_slope = (bz - az) / (b_s - a_s)
        s_size, t_size = (height, width) if steep else (width, height)
        first = max(int(math.ceil(min(a_s, b_s))), 0)
        # Half-open: the next edge of the outline takes the pixel row that starts at a shared vertex.
        last = min(int(math.ceil(max(a_s, b_s))) - 1, s_size - 1)
        for s in range(first, last + 1):
            t = a_t + slope * (s - a_s)
            low = int(math.floor(t))
            if low < 0 or low + 1 >= t_size:
                continue
            low_row, low_column = (s, low) if steep else (low, s)
            high_row, high_column = (s, low + 1) if steep else (low + 1, s)
            low_depth, high_depth = depth[low_row, low_column, 1], depth[high_row, high_column, 1]
            edge_depth = (az + z_slope * (s - a_s) + 1) * DEPTH_STEPS
            inside_depth, outside_depth = (low_depth, high_depth) if inner_is_low else (high_depth, low_depth)
            if not _pair_is_open(edge_depth, inside_depth, outside_depth, tolerance) or count == distances.shape[0]:
                continue
            low_index, high_index = low_row * width + low_column, high_row * width + high_column
            pairs[count, 0], pairs[count, 1] = (low_index, high_index) if inner_is_low else (high_index, low_index)
            distances[count] = t - low if inner_is_low else low + 1 - t
            count += 1
    return count


@kernel
def weigh_crossings(pairs, distances, starts, stops, slots):
    """Turn crossings into shares: who takes how much from whom.

    Of several edges between two pixels the outermost counts. At a distance d in [0, 1] from the inner pixel's center:
    for d > 1/2 the outer pixel takes d - 1/2 of the inner one's color, else the inner one takes 1/2 - d of the outer
    one's.

    Args:
        pairs: [N, 2] int32, of `find_crossings`, updated: flat indices of the taking and of the giving pixel.
        distances: [N] float32, of `find_crossings`, updated: the share, 0 for edges that do not count.
        starts, stops: [R] int64, ranges of entries to use.
        slots: [H * W, 4] int32, all -1, and so again afterwards.
    """
    for part in range(starts.shape[0]):
        for entry in range(starts[part], stops[part]):
            step = pairs[entry, 1] - pairs[entry, 0]
            side = 0 if step == 1 else 1 if step == -1 else 2 if step > 0 else 3
            best = slots[pairs[entry, 0], side]
            if best < 0 or distances[entry] > distances[best]:
                slots[pairs[entry, 0], side] = entry
                if best >= 0:
                    distances[best] = 0.5
            else:
                distances[entry] = 0.5
    for part in range(starts.shape[0]):
        for entry in range(starts[part], stops[part]):
            for side in range(4):
                slots[pairs[entry, 0], side] = -1
    for part in range(starts.shape[0]):
        for entry in range(starts[part], stops[part]):
            if distances[entry] > 0.5:
                pairs[entry, 0], pairs[entry, 1] = pairs[entry, 1], pairs[entry, 0]
            distances[entry] = abs(distances[entry] - np.float32(0.5))
