"""Barycentric coordinates, attributes and texture look-ups in float32: the general form, any number of channels."""

import math

import numpy as np

from avatar.jit import inlined, kernel

SUBPIXELS = 256

NEAREST, LINEAR, MIP_NEAREST, MIP_LINEAR = range(4)
"""Filter modes, in the order of `ops.FILTER_MODES`."""

WRAP, CLAMP, ZERO = range(3)
"""Boundary modes, in the order of `ops.BOUNDARY_MODES`."""


@kernel
def barycentrics(screen, depth_and_inverse_w, tri, face_id, rast, rast_db):
    """Perspective-correct barycentric coordinates of every covered pixel, in nvdiffrast's layout.

    With edge functions e_i (linear in the picture) and q_i = e_i / w_i: u = q_0 / (q_0 + q_1 + q_2), v likewise with
    q_1.

    Args:
        screen, depth_and_inverse_w, tri: as `coverage` has them. face_id: [H, W] int32, triangle index or -1.
        rast: [H, W, 4] float32, written: u, v, z/w, triangle index + 1; zero where nothing is drawn.
        rast_db: [H, W, 4] float32, written: du/dx, du/dy, dv/dx, dv/dy per pixel.
    """
    height, width = face_id.shape
    for row in range(height):
        for column in range(width):
            face = face_id[row, column]
            if face < 0:
                for channel in range(4):
                    rast[row, column, channel] = 0
                    rast_db[row, column, channel] = 0
                continue
            a, b, c = tri[face, 0], tri[face, 1], tri[face, 2]
            center_x, center_y = column * SUBPIXELS + SUBPIXELS // 2, row * SUBPIXELS + SUBPIXELS // 2
            ax, ay = np.float64(screen[a, 0] - center_x), np.float64(screen[a, 1] - center_y)
            bx, by = np.float64(screen[b, 0] - center_x), np.float64(screen[b, 1] - center_y)
            cx, cy = np.float64(screen[c, 0] - center_x), np.float64(screen[c, 1] - center_y)
            a_edge, b_edge, c_edge = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
            area = a_edge + b_edge + c_edge
            aw, bw, cw = depth_and_inverse_w[a, 1], depth_and_inverse_w[b, 1], depth_and_inverse_w[c, 1]
            aq, bq, cq = a_edge * aw, b_edge * bw, c_edge * cw
            inverse_sum = 1.0 / (aq + bq + cq)
            u, v = aq * inverse_sum, bq * inverse_sum
            rast[row, column, 0] = u
            rast[row, column, 1] = v
            rast[row, column, 2] = (
                a_edge * depth_and_inverse_w[a, 0]
                + b_edge * depth_and_inverse_w[b, 0]
                + c_edge * depth_and_inverse_w[c, 0]
            ) / area
            rast[row, column, 3] = face + 1
            a_dx, a_dy = (by - cy) * aw * SUBPIXELS, (cx - bx) * aw * SUBPIXELS
            b_dx, b_dy = (cy - ay) * bw * SUBPIXELS, (ax - cx) * bw * SUBPIXELS
            c_dx, c_dy = (ay - by) * cw * SUBPIXELS, (bx - ax) * cw * SUBPIXELS
            rast_db[row, column, 0] = (a_dx - u * (a_dx + b_dx + c_dx)) * inverse_sum
            rast_db[row, column, 1] = (a_dy - u * (a_dy + b_dy + c_dy)) * inverse_sum
            rast_db[row, column, 2] = (b_dx - v * (a_dx + b_dx + c_dx)) * inverse_sum
            rast_db[row, column, 3] = (b_dy - v * (a_dy + b_dy + c_dy)) * inverse_sum


@kernel
def interpolate_pixels(attributes, rast, rast_db, tri, out, out_da):
    """Attributes of vertices at every pixel: out = u·a0 + v·a1 + (1 - u - v)·a2.

    Args:
        attributes: [V, A] float32. rast, rast_db: [H, W, 4] float32, as `barycentrics` writes them. tri: [F,
            3] int32.
        out: [H, W, A] float32, written; zero where nothing is drawn.
        out_da: [H, W, 2A] float32 or [0, 0, 0], written: d(attribute)/dx, d(attribute)/dy for each attribute in turn.
    """
    height, width, channels = out.shape
    for row in range(height):
        for column in range(width):
            face = np.int64(rast[row, column, 3]) - 1
            if face < 0 or face >= tri.shape[0]:
                out[row, column] = 0
                if out_da.shape[0]:
                    out_da[row, column] = 0
                continue
            a, b, c = tri[face, 0], tri[face, 1], tri[face, 2]
            u, v = rast[row, column, 0], rast[row, column, 1]
            for channel in range(channels):
                last = attributes[c, channel]
                along_u, along_v = attributes[a, channel] - last, attributes[b, channel] - last
                out[row, column, channel] = last + u * along_u + v * along_v
                if out_da.shape[0]:
                    for axis in range(2):
                        out_da[row, column, 2 * channel + axis] = (
                            along_u * rast_db[row, column, axis] + along_v * rast_db[row, column, 2 + axis]
                        )


@inlined
def _bound(index, size, boundary):
    """Texel index inside [0, size), or -1 for a texel that reads as zero."""
    if boundary == WRAP:
        return index % size
    if boundary == CLAMP:
        return min(max(index, 0), size - 1)
    return index if 0 <= index < size else -1


@inlined
def _add_texel(level, x, y, weight, boundary, out):
    column, row = _bound(x, level.shape[1], boundary), _bound(y, level.shape[0], boundary)
    if column >= 0 and row >= 0:
        for channel in range(out.shape[0]):
            out[channel] += weight * level[row, column, channel]


@inlined
def _add_bilinear(level, u, v, weight, boundary, out):
    x, y = u * level.shape[1] - 0.5, v * level.shape[0] - 0.5
    left, top = int(math.floor(x)), int(math.floor(y))
    x_part, y_part = np.float32(x - left), np.float32(y - top)
    _add_texel(level, left, top, weight * (1 - x_part) * (1 - y_part), boundary, out)
    _add_texel(level, left + 1, top, weight * x_part * (1 - y_part), boundary, out)
    _add_texel(level, left, top + 1, weight * (1 - x_part) * y_part, boundary, out)
    _add_texel(level, left + 1, top + 1, weight * x_part * y_part, boundary, out)


@inlined
def _mip_level(uv_da, width, height):
    """log2 of the longer axis, in texels, of the ellipse that a pixel's unit circle covers (Heckbert 1989, section
    3)."""
    u_dx, u_dy = np.float64(uv_da[0]) * width, np.float64(uv_da[1]) * width
    v_dx, v_dy = np.float64(uv_da[2]) * height, np.float64(uv_da[3]) * height
    sum_squares = 0.5 * (u_dx * u_dx + u_dy * u_dy + v_dx * v_dx + v_dy * v_dy)
    determinant = u_dx * v_dy - u_dy * v_dx
    longest_squared = sum_squares + math.sqrt(max(sum_squares * sum_squares - determinant * determinant, 0.0))
    return 0.5 * math.log2(max(longest_squared, 1e-30))


@kernel
def sample_pixels(levels, uv, uv_da, bias, filter_mode, boundary, out):
    """Look a texture up at every pixel.

    Args:
        levels: tuple of [Th, Tw, C] float32, the texture and its mip levels.
        uv: [H, W, 2] float32; texel centers lie at ((i + 0.5) / Tw, (j + 0.5) / Th), v = 0 is row 0.
        uv_da: [H, W, 4] float32 or [0, 0, 0]: du/dx, du/dy, dv/dx, dv/dy.
        bias: [H, W] float32 or [0, 0]: added to the mip level; the level itself where `uv_da` is empty.
        filter_mode, boundary: constants of this module.
        out: [H, W, C] float32, written.
    """
    height, width = uv.shape[0], uv.shape[1]
    for row in range(height):
        for column in range(width):
            u, v = np.float64(uv[row, column, 0]), np.float64(uv[row, column, 1])
            texel = out[row, column]
            texel[:] = 0
            if not (abs(u) < 1e6 and abs(v) < 1e6):
                continue
            if filter_mode == NEAREST:
                base = levels[0]
                _add_texel(
                    base,
                    int(math.floor(u * base.shape[1])),
                    int(math.floor(v * base.shape[0])),
                    np.float32(1),
                    boundary,
                    texel,
                )
                continue
            level = 0.0
            if filter_mode >= MIP_NEAREST:
                if uv_da.shape[0]:
                    level = _mip_level(uv_da[row, column], levels[0].shape[1], levels[0].shape[0])
                if bias.shape[0]:
                    level += bias[row, column]
                level = min(max(level, 0.0), len(levels) - 1.0)
            if filter_mode == MIP_NEAREST:
                level = math.floor(level + 0.5)
            lower = int(level)
            part = np.float32(level - lower)
            _add_bilinear(levels[lower], u, v, np.float32(1) - part, boundary, texel)
            if part > 0:
                _add_bilinear(levels[lower + 1], u, v, part, boundary, texel)
