"""Which triangle each pixel shows: exact integer coverage and a depth test.

Vertices are snapped to 1/256 of a pixel, after which edge functions are exact in int64. With the top-left rule two
triangles that share an edge never leave a hole and never both take a pixel (Pineda 1988, "A parallel algorithm for
polygon rasterization").

A depth buffer [H, W] int64 holds depth in the upper and the triangle's index in the lower 32 bits, so that the depth
test is one minimum; among equal depths the earlier triangle wins. `depth_and_face` shows it as two int32.
"""

import math

import numpy as np
from numba import types
from numba.extending import intrinsic

from avatar import lanes
from avatar.jit import inlined, kernel

SUBPIXELS = 256
"""Snapping grid: steps per pixel."""

STRIPE_ROWS = 64
"""Threads draw the picture in stripes of this many rows."""

TILE_PX = 16
"""Edge of the squares that `begin_second_layer_rows` opens. Divides `STRIPE_ROWS`."""

NEARLY_OPAQUE = 250
"""Alpha from which on what lies behind a layer does not show."""

OUTSIDE = np.int32(-(2**31))
"""Marks in `screen[:, 0]` a vertex that cannot be drawn: before the near or beyond the far plane, too far off the
picture, or not finite."""

EMPTY = np.int64(2**63 - 1)
"""Content of a depth buffer where nothing is drawn."""

DEPTH_STEPS = 2**30
"""Steps of depth per unit of z/w; a depth is (z/w + 1) * DEPTH_STEPS."""

_LARGEST_PX = 2.0**20
_SMALLEST_W = 1e-6


@kernel
def transform(vertices, matrix, clip):
    """Homogeneous clip-space positions `clip` [V, 4] of `vertices` [V, 3] under the column-vector `matrix` [4, 4], all
    float32."""
    for vertex in range(vertices.shape[0]):
        x, y, z = vertices[vertex, 0], vertices[vertex, 1], vertices[vertex, 2]
        for row in range(4):
            clip[vertex, row] = matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] * z + matrix[row, 3]


@kernel
def project(clip, width, height, screen, depth_and_inverse_w):
    """Snapped picture positions of clip-space vertices.

    Args:
        clip: [V, 4] float32, x y z w.
        width, height: picture size in pixels; x/w = -1 is the left border, y/w = -1 the border of row 0.
        screen: [V, 2] int32, written: x and y in 1/256 pixel; x is `OUTSIDE` for vertices that cannot be drawn.
        depth_and_inverse_w: [V, 2] float32, written: z/w and 1/w, zero for vertices that cannot be drawn.
    """
    for vertex in range(clip.shape[0]):
        w = clip[vertex, 3]
        screen[vertex, 0] = OUTSIDE
        screen[vertex, 1] = 0
        depth_and_inverse_w[vertex, 0] = 0
        depth_and_inverse_w[vertex, 1] = 0
        if not w > _SMALLEST_W:
            continue
        inverse_w = np.float32(1) / w
        depth = clip[vertex, 2] * inverse_w
        x_px = (np.float64(clip[vertex, 0]) / w * 0.5 + 0.5) * width
        y_px = (np.float64(clip[vertex, 1]) / w * 0.5 + 0.5) * height
        if abs(x_px) < _LARGEST_PX and abs(y_px) < _LARGEST_PX and abs(depth) <= 1 and inverse_w > 0:
            screen[vertex, 0] = np.int32(math.floor(x_px * SUBPIXELS + 0.5))
            screen[vertex, 1] = np.int32(math.floor(y_px * SUBPIXELS + 0.5))
            depth_and_inverse_w[vertex, 0] = depth
            depth_and_inverse_w[vertex, 1] = inverse_w


@inlined
def _first_center(position):
    """Index of the first pixel whose center lies at or after `position` (1/256 pixel)."""
    return (position + (SUBPIXELS // 2 - 1)) >> 8


@kernel
def orient(screen, tri, height, width, facing, rows):
    """Which way each triangle faces, and where on the picture it may show.

    Args:
        screen: [V, 2] int32, of `project`. tri: [F, 3] int32.
        height, width: picture size in pixels.
        facing: [F] int8, written, the sign of the area: +1 clockwise on a picture whose rows grow downwards, -1 counter
            to that, 0 not drawable.
        rows: [F, 2] int16, written, first and last row with a pixel center in the triangle's bounding box; 1 and 0
            where the box holds none.
    """
    for face in range(tri.shape[0]):
        a, b, c = np.uint64(tri[face, 0]), np.uint64(tri[face, 1]), np.uint64(tri[face, 2])
        ax, ay = np.int64(screen[a, 0]), np.int64(screen[a, 1])
        bx, by = np.int64(screen[b, 0]), np.int64(screen[b, 1])
        cx, cy = np.int64(screen[c, 0]), np.int64(screen[c, 1])
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        rows[face, 0], rows[face, 1] = 1, 0
        if ax == OUTSIDE or bx == OUTSIDE or cx == OUTSIDE or area == 0:
            facing[face] = 0
            continue
        facing[face] = 1 if area > 0 else -1
        left, right = _first_center(min(ax, bx, cx)), _first_center(max(ax, bx, cx) + 1) - 1
        top = max(_first_center(min(ay, by, cy)), 0)
        bottom = min(_first_center(max(ay, by, cy) + 1) - 1, height - 1)
        if left <= right and right >= 0 and left < width and top <= bottom:
            rows[face, 0], rows[face, 1] = top, bottom


@kernel
def list_drawn(facing, rows, first_face, last_face, both_sides, drawn, count):
    """Append the triangles first_face..last_face-1 that may show to the first `count` entries of `drawn` [N] int32.

    Args:
        facing: [F] int8, rows: [F, 2] int16, of `orient`.
        both_sides: whether triangles of negative area show.

    Returns:
        The new count. One entry more may be written.
    """
    for face in range(first_face, last_face):
        drawn[np.uint64(count)] = face
        # Without branches: which way a triangle faces cannot be predicted.
        count += (rows[face, 0] <= rows[face, 1]) & (both_sides | (facing[face] > 0))
    return count


@inlined
def _stripes_of(rows, face):
    """First and last stripe that a triangle reaches into. Unsigned, so that indexing with them asks nothing."""
    height, place = np.uint64(STRIPE_ROWS), np.uint64(face)
    return np.uint64(rows[place, 0]) // height, np.uint64(rows[place, 1]) // height


@kernel
def count_by_stripe(rows, drawn, first, last, starts):
    """How many triangles reach into each stripe of the picture.

    Args:
        rows: [F, 2] int16, of `orient`. drawn: [N] int32, indices of triangles, of which those in places
            first..last-1 are counted.
        starts: [S + 1] int64, written: where each stripe's triangles begin in a list of all.
    """
    starts[:] = 0
    for place in range(first, last):
        stripe, last_stripe = _stripes_of(rows, drawn[place])
        starts[stripe + np.uint64(1)] += 1
        while stripe != last_stripe:
            stripe += np.uint64(1)
            starts[stripe + np.uint64(1)] += 1
    for stripe in range(1, starts.shape[0]):
        starts[stripe] += starts[stripe - 1]


@kernel
def deal_by_stripe(rows, drawn, first, last, starts, dealt):
    """Write the triangles that `count_by_stripe` counted to `dealt` [starts[S]] int32, in their order."""
    places = starts.copy()
    for place in range(first, last):
        stripe, last_stripe = _stripes_of(rows, drawn[place])
        dealt[np.uint64(places[stripe])] = drawn[place]
        places[stripe] += 1
        while stripe != last_stripe:
            stripe += np.uint64(1)
            dealt[np.uint64(places[stripe])] = drawn[place]
            places[stripe] += 1


@inlined
def _edge_bias(x_slope, y_slope):
    """0 where a pixel center exactly on the edge belongs to the triangle (left edge, or horizontal top edge), else
    -1."""
    return np.int64(0) if x_slope > 0 or (x_slope == 0 and y_slope > 0) else np.int64(-1)


@inlined
def _touches(open_tiles, top, bottom, left, right):
    """Whether any of the tiles under a rectangle of pixels is open."""
    for tile_row in range(top // TILE_PX, bottom // TILE_PX + 1):
        for tile_column in range(left // TILE_PX, right // TILE_PX + 1):
            if open_tiles[tile_row, tile_column]:
                return True
    return False


LANES = 8
"""Cells that are drawn at a time."""


def _cover(builder, cells, cell, front, edges, depth):
    """Depth test of `LANES` cells from index `cell` on. Edges and depth are pairs of first value and step."""

    def ramp(first, step):
        steps = lanes.splat(builder, step, LANES) * lanes.constant(builder, lanes.I64, range(LANES))
        return lanes.splat(builder, first, LANES) + steps

    a, b, c = (ramp(*edge) for edge in edges)
    candidate = lanes.constant(builder, lanes.I64, [int(EMPTY)] * LANES).where((a | b | c) < 0, ramp(*depth))
    if front is not None:
        behind = lanes.load(builder, front, cell, lanes.I64, LANES) < candidate
        candidate = candidate.where(behind, int(EMPTY))
    before = lanes.load(builder, cells, cell, lanes.I64, LANES)
    candidate.minimum(before).store(cells, cell)


@intrinsic
def _cover_lanes(context, cells, cell, a, a_dx, b, b_dx, c, c_dx, z, z_dx):
    """Test a triangle's candidates z, z + z_dx, ... in the cells from `cell` on, where all edges are at least 0."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pairs = list(zip(arguments[2::2], arguments[3::2], strict=True))
        _cover(builder, data, arguments[1], None, pairs[:3], pairs[3])
        return context.get_dummy_value()

    return types.void(cells, types.uint64, *[types.int64] * 8), generate


@intrinsic
def _cover_lanes_behind(context, cells, cell, front, a, a_dx, b, b_dx, c, c_dx, z, z_dx):
    """`_cover_lanes` for candidates that lie behind the cells of `front`."""

    def generate(context, builder, signature, arguments):
        data, fronts = (
            context.make_array(signature.args[index])(context, builder, arguments[index]).data for index in (0, 2)
        )
        pairs = list(zip(arguments[3::2], arguments[4::2], strict=True))
        _cover(builder, data, arguments[1], fronts, pairs[:3], pairs[3])
        return context.get_dummy_value()

    return types.void(cells, types.uint64, front, *[types.int64] * 8), generate


@kernel
def rasterize_rows(
    screen,
    depth_and_inverse_w,
    tri,
    facing,
    rows,
    drawn,
    first,
    last,
    first_row,
    last_row,
    buffer,
    front=None,
    open_tiles=None,
):
    """Draw triangles into the rows first_row..last_row-1.

    Args:
        screen, depth_and_inverse_w: as `project` writes them.
        tri: [F, 3] int32. facing: [F] int8, rows: [F, 2] int16, as `orient` writes them.
        drawn: [N] int32, indices of triangles that may show, of which those in places first..last-1 are drawn, earlier
            ones first.
        buffer: [H, W] int64, W at least `LANES`, depth buffer, updated.
        front, open_tiles: of a layer, as `begin_second_layer_rows` takes and writes them: where given, only what lies
            behind that layer is drawn.
    """
    height, width = buffer.shape
    cells = buffer.reshape(-1)
    fronts = cells if front is None else front.reshape(-1)
    for place in range(first, last):
        face = np.uint64(drawn[place])
        top, bottom = np.int64(rows[face, 0]), np.int64(rows[face, 1])
        if top > bottom or bottom < first_row or top >= last_row:
            continue
        a, b, c = np.uint64(tri[face, 0]), np.uint64(tri[face, 1]), np.uint64(tri[face, 2])
        if facing[face] < 0:
            b, c = c, b
        ax, ay = np.int64(screen[a, 0]), np.int64(screen[a, 1])
        bx, by = np.int64(screen[b, 0]), np.int64(screen[b, 1])
        cx, cy = np.int64(screen[c, 0]), np.int64(screen[c, 1])
        left = max(_first_center(min(ax, bx, cx)), 0)
        right = min(_first_center(max(ax, bx, cx) + 1) - 1, width - 1)
        if open_tiles is not None and not _touches(open_tiles, top, bottom, left, right):
            continue
        # Edge functions opposite a, b, c at the first pixel center, and their steps.
        x0, y0 = left * SUBPIXELS + SUBPIXELS // 2, top * SUBPIXELS + SUBPIXELS // 2
        a_dx, a_dy = (by - cy) * SUBPIXELS, (cx - bx) * SUBPIXELS
        b_dx, b_dy = (cy - ay) * SUBPIXELS, (ax - cx) * SUBPIXELS
        c_dx, c_dy = (ay - by) * SUBPIXELS, (bx - ax) * SUBPIXELS
        a_edge = (cx - bx) * (y0 - by) - (cy - by) * (x0 - bx)
        b_edge = (ax - cx) * (y0 - cy) - (ay - cy) * (x0 - cx)
        c_edge = (bx - ax) * (y0 - ay) - (by - ay) * (x0 - ax)

        scale = np.float64(DEPTH_STEPS) / np.float64(a_edge + b_edge + c_edge)
        az = np.float64(depth_and_inverse_w[a, 0]) + 1
        bz = np.float64(depth_and_inverse_w[b, 0]) + 1
        cz = np.float64(depth_and_inverse_w[c, 0]) + 1
        z_dx = np.int64((a_dx * az + b_dx * bz + c_dx * cz) * scale) << 32
        z_dy = np.int64((a_dy * az + b_dy * bz + c_dy * cz) * scale) << 32
        z_row = (np.int64((a_edge * az + b_edge * bz + c_edge * cz) * scale) << 32) | np.int64(face)

        a_edge += _edge_bias(a_dx, a_dy)
        b_edge += _edge_bias(b_dx, b_dy)
        c_edge += _edge_bias(c_dx, c_dy)
        above = max(first_row - top, 0)
        top, bottom = top + above, min(bottom, last_row - 1)
        for start in range(left, right + 1, LANES):
            # The last lanes of a row end with it.
            block = max(min(start, width - LANES), 0)
            skipped = block - left
            a_here = a_edge + skipped * a_dx + above * a_dy
            b_here = b_edge + skipped * b_dx + above * b_dy
            c_here = c_edge + skipped * c_dx + above * c_dy
            z = z_row + skipped * z_dx + above * z_dy
            for row in range(top, bottom + 1):
                cell = np.uint64(row * width + block)
                if front is not None:
                    _cover_lanes_behind(cells, cell, fronts, a_here, a_dx, b_here, b_dx, c_here, c_dx, z, z_dx)
                else:
                    _cover_lanes(cells, cell, a_here, a_dx, b_here, b_dx, c_here, c_dx, z, z_dx)
                a_here += a_dy
                b_here += b_dy
                c_here += c_dy
                z += z_dy


@kernel
def begin_layer_rows(buffer, first_row, last_row, layer):
    """Begin a layer in front of what `buffer` shows: rows of `layer` get its depths, with no triangle."""
    for row in range(first_row, last_row):
        for column in range(buffer.shape[1]):
            layer[row, column] = buffer[row, column] | np.int64(0xFFFFFFFF)


@kernel
def begin_second_layer_rows(buffer, layer, alpha, first_row, last_row, second, open_tiles):
    """Begin a layer behind `layer` and in front of `buffer`, in rows of `second`.

    Args:
        buffer, layer, second: [H, W] int64, depth buffers; `second` is written.
        alpha: [H, W, 4] uint8, color of `layer`: where it is nearly opaque or has no triangle, nothing can be drawn.
        first_row, last_row: range of rows that `layer` may have triangles in, within one stripe.
        open_tiles: [H / TILE_PX, W / TILE_PX] bool, rounded up, written: where anything can be drawn.
    """
    no_face = np.int64(0xFFFFFFFF)
    for row in range(first_row, last_row):
        tiles = open_tiles[row // TILE_PX]
        if row == first_row or row % TILE_PX == 0:
            tiles[:] = False
        for column in range(buffer.shape[1]):
            is_open = alpha[row, column, 3] < NEARLY_OPAQUE and layer[row, column] & no_face != no_face
            second[row, column] = buffer[row, column] | no_face if is_open else no_face
            if is_open:
                tiles[column // TILE_PX] = True


def depth_and_face(buffer: np.ndarray) -> np.ndarray:
    """A depth buffer as [H, W, 2] int32: triangle index, -1 where empty, and depth."""
    return buffer.view(np.int32).reshape(*buffer.shape, 2)
