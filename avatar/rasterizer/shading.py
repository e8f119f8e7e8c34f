"""From visible triangles to pixels: texture, light and motion in one pass over the rows.

Colors are four uint8 in one uint32, red lowest, premultiplied by alpha. A bilinear look-up spreads them to four 16-bit
lanes of a uint64, so that one multiplication weighs all four channels.
"""

import numpy as np

from avatar.jit import inlined, kernel

SUBPIXELS = 256
BAND_ROWS = 16

_LANES = np.uint64(0x00FF00FF00FF00FF)
_HALF = np.uint64(0x0080008000800080)
SURFACE, LAYER, SECOND_LAYER = range(3)
"""What `shade_rows` draws."""

LEVELS_PER_OCTAVE = 2
"""Texture levels from one size to its half: dense enough to take the nearest level alone, at half the cost of blending
two."""

_BIAS_OCTAVES = -0.25
_BRIGHTEST = 1.99


@inlined
def _log2(value):
    """log2 of a positive float32 to within 0.09: its exponent, and its mantissa as if the logarithm were linear between
    powers of two."""
    return np.float32(np.float32(value).view(np.int32)) * np.float32(2.0**-23) - np.float32(127)


@kernel
def texture_levels(screen, texel_area, tri, facing, first_face, last_face, highest, level):
    """Texture level of each drawable triangle in first_face..last_face-1, `level` [F] int32 in 0..highest.

    The level at which a texel is as large as a pixel, by area. Where a surface is seen at a slant this is the geometric
    mean of the two axes of a pixel's footprint: sharper than the longer axis, at an aliasing that the enhancer and the
    stabilizer take away.

    Args:
        screen: [V, 2] int32, 1/256 pixel. texel_area: [F] float32, twice the area in texels of level 0. tri: [F, 3]
            int32. facing: [F] int8.
    """
    for face in range(first_face, last_face):
        if facing[face] == 0:
            continue
        a, b, c = np.uint64(tri[face, 0]), np.uint64(tri[face, 1]), np.uint64(tri[face, 2])
        bx, by = np.float32(screen[b, 0] - screen[a, 0]), np.float32(screen[b, 1] - screen[a, 1])
        cx, cy = np.float32(screen[c, 0] - screen[a, 0]), np.float32(screen[c, 1] - screen[a, 1])
        pixel_area = abs(bx * cy - by * cx) / np.float32(SUBPIXELS * SUBPIXELS)
        octaves = np.float32(0.5) * _log2(texel_area[face] / max(pixel_area, np.float32(1e-6))) + np.float32(
            _BIAS_OCTAVES
        )
        level[face] = np.int32(
            min(max(octaves * LEVELS_PER_OCTAVE + np.float32(0.5), np.float32(0)), np.float32(highest))
        )


@inlined
def _spread(color):
    """Channels 0, 2, 1, 3 of `color` in the 16-bit lanes of a uint64."""
    wide = np.uint64(color)
    return (wide & np.uint64(0x00FF00FF)) | ((wide & np.uint64(0xFF00FF00)) << np.uint64(24))


@inlined
def _bilinear(texels, offset, width, height, x, y):
    """Color in 16-bit lanes, at (x, y) in texels of the level that starts at `offset` and has `width` x `height`
    texels.

    All integers are unsigned: numba then leaves out the test for negative indices.
    """
    x = min(max(x - np.float32(0.5), np.float32(0)), width - np.float32(1.01))
    y = min(max(y - np.float32(0.5), np.float32(0)), height - np.float32(1.01))
    x_fixed, y_fixed = np.uint64(np.int64(x * np.float32(256))), np.uint64(np.int64(y * np.float32(256)))
    x_part, y_part = x_fixed & np.uint64(255), y_fixed & np.uint64(255)
    stride = np.uint64(np.int64(width))
    start = offset + (y_fixed >> np.uint64(8)) * stride + (x_fixed >> np.uint64(8))
    below = start + stride
    lower_right = (x_part * y_part + np.uint64(128)) >> np.uint64(8)
    total = _spread(texels[start]) * (np.uint64(256) - x_part - y_part + lower_right)
    total += _spread(texels[start + np.uint64(1)]) * (x_part - lower_right)
    total += _spread(texels[below]) * (y_part - lower_right)
    total += _spread(texels[below + np.uint64(1)]) * lower_right
    return ((total + _HALF) >> np.uint64(8)) & _LANES


@inlined
def _lit(lanes, light):
    """Color in 16-bit lanes with its first three channels multiplied by `light`, in [0, 2), and limited to 255."""
    factor = np.uint64(np.int64(light * np.float32(4096) + np.float32(0.5)))
    red = min(((lanes & np.uint64(255)) * factor + np.uint64(2048)) >> np.uint64(12), np.uint64(255))
    blue = min(
        (((lanes >> np.uint64(16)) & np.uint64(255)) * factor + np.uint64(2048)) >> np.uint64(12), np.uint64(255)
    )
    green = min(
        (((lanes >> np.uint64(32)) & np.uint64(255)) * factor + np.uint64(2048)) >> np.uint64(12), np.uint64(255)
    )
    return red | (blue << np.uint64(16)) | (green << np.uint64(32)) | (lanes & np.uint64(0x00FF000000000000))


@kernel
def pack_vertices(screen, depth_and_inverse_w, uv_texels, light, previous_screen, packed):
    """What shading reads of each vertex, side by side in `packed` [V, 8] float32.

    In turn: x, y in 1/256 pixel, 1/w, u, v in texels, light, offset to the previous x and y in pixels.
    """
    for vertex in range(packed.shape[0]):
        packed[vertex, 0] = screen[vertex, 0]
        packed[vertex, 1] = screen[vertex, 1]
        packed[vertex, 2] = depth_and_inverse_w[vertex, 1]
        packed[vertex, 3] = uv_texels[vertex, 0]
        packed[vertex, 4] = uv_texels[vertex, 1]
        packed[vertex, 5] = light[vertex]
        packed[vertex, 6] = np.float32(previous_screen[vertex, 0] - screen[vertex, 0]) / np.float32(SUBPIXELS)
        packed[vertex, 7] = np.float32(previous_screen[vertex, 1] - screen[vertex, 1]) / np.float32(SUBPIXELS)


@inlined
def _across(packed, a, b, c, a_now, b_now, c_now, a_step, b_step, c_step, entry):
    """Value and step of a vertex attribute under weights and steps of the corners."""
    at_a, at_b, at_c = packed[a, entry], packed[b, entry], packed[c, entry]
    return a_now * at_a + b_now * at_b + c_now * at_c, a_step * at_a + b_step * at_b + c_step * at_c


@kernel
def shade_rows(
    depth_and_face, packed, tri, part, level, previous_facing,
    texels, level_offset, level_size, kind, first_row, last_row, worker, workers, color, mask, motion,
):  # fmt: skip
    """Color, part and motion of every pixel in the rows that belong to `worker`.

    Along a run of pixels of one triangle, attribute / w and 1 / w are linear; their quotient is the perspective-correct
    attribute. Motion is interpolated linearly on the picture, which is exact as long as the depths of the three corners
    keep their proportions.

    Args:
        depth_and_face: [H, W, 2] int32, of `coverage.depth_and_face`.
        packed: [V, 8] float32, of `pack_vertices`. tri: [F, 3] int32. part: [F] uint8. level: [F] int32, of
            `texture_levels`.
        previous_facing: [F] int8, `coverage.orient` of the previous frame.
        texels: [N] uint32, all texture levels, one after the other; level_offset: [L] uint64, where each starts;
            level_size: [L, 4] float32, width and height, and those against level 0.
        kind: `SURFACE`, whose alpha is taken as 1 and which fills empty pixels; `LAYER` over it, which gives part and
            motion only to the pixels it covers by half or more; `SECOND_LAYER` behind that, blended under its color.
        first_row, last_row: range of rows that may show anything; for `SURFACE` all.
        color: [H, W] uint32, written, premultiplied; 0 where nothing is drawn.
        mask: [H, W] uint8 and motion: [H, W, 2] float32, written; 0 and NaN where nothing is drawn.
            Motion is NaN as well where the previous frame has the point off the picture or turned away.
    """
    height, width = color.shape
    one, subpixels, half = np.float32(1), np.float32(SUBPIXELS), np.float32(0.5)
    nothing, width_px, height_px = np.float32(np.nan), np.float32(width), np.float32(height)
    faces, colors, parts, motions = depth_and_face.reshape(-1), color.reshape(-1), mask.reshape(-1), motion.reshape(-1)
    for row in range(height):
        if (row // BAND_ROWS) % workers != worker:
            continue
        if row < first_row or row >= last_row:
            continue
        center_y = np.float32(row * SUBPIXELS + SUBPIXELS // 2)
        pixel = np.uint64(row * width)
        row_start, row_end = pixel, pixel + np.uint64(width)
        cell = pixel + pixel
        while pixel < row_end:
            face = faces[cell]
            if face < 0:
                if kind != SECOND_LAYER:
                    colors[pixel] = 0
                if kind == SURFACE:
                    parts[pixel] = 0
                    motions[pixel + pixel] = nothing
                    motions[pixel + pixel + np.uint64(1)] = nothing
                pixel += np.uint64(1)
                cell += np.uint64(2)
                continue
            index = np.uint64(face)
            a, b, c = np.uint64(tri[index, 0]), np.uint64(tri[index, 1]), np.uint64(tri[index, 2])
            column = np.float32(np.int64(pixel - row_start))
            center_x = column * subpixels + half * subpixels
            ax, ay = packed[a, 0] - center_x, packed[a, 1] - center_y
            bx, by = packed[b, 0] - center_x, packed[b, 1] - center_y
            cx, cy = packed[c, 0] - center_x, packed[c, 1] - center_y

            # Weights of the corners at the first pixel and their change to the next: linear on the picture, and divided
            # by w.
            a_now, b_now, c_now = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
            inverse_area = one / (a_now + b_now + c_now)
            a_now, b_now, c_now = a_now * inverse_area, b_now * inverse_area, c_now * inverse_area
            step_scale = subpixels * inverse_area
            a_step, b_step, c_step = (by - cy) * step_scale, (cy - ay) * step_scale, (ay - by) * step_scale
            motion_x, motion_x_step = _across(packed, a, b, c, a_now, b_now, c_now, a_step, b_step, c_step, 6)
            motion_y, motion_y_step = _across(packed, a, b, c, a_now, b_now, c_now, a_step, b_step, c_step, 7)
            aw, bw, cw = packed[a, 2], packed[b, 2], packed[c, 2]
            a_now, b_now, c_now = a_now * aw, b_now * bw, c_now * cw
            a_step, b_step, c_step = a_step * aw, b_step * bw, c_step * cw
            w, w_step = a_now + b_now + c_now, a_step + b_step + c_step
            u, u_step = _across(packed, a, b, c, a_now, b_now, c_now, a_step, b_step, c_step, 3)
            v, v_step = _across(packed, a, b, c, a_now, b_now, c_now, a_step, b_step, c_step, 4)
            is_lit = packed[a, 5] != one or packed[b, 5] != one or packed[c, 5] != one
            bright, bright_step = one, one
            if is_lit:
                bright, bright_step = _across(packed, a, b, c, a_now, b_now, c_now, a_step, b_step, c_step, 5)

            own_level = np.uint64(level[index])
            offset, level_width, level_height = (
                level_offset[own_level],
                level_size[own_level, 0],
                level_size[own_level, 1],
            )
            x_scale, y_scale = level_size[own_level, 2], level_size[own_level, 3]
            seen_before = previous_facing[index] == 1 or (kind != SURFACE and previous_facing[index] != 0)
            face_part = part[index]
            while True:
                inverse_w = one / w
                x, y = u * inverse_w * x_scale, v * inverse_w * y_scale
                lanes = _bilinear(texels, offset, level_width, level_height, x, y)
                if kind == SURFACE:
                    lanes |= np.uint64(255) << np.uint64(48)
                if is_lit:
                    lanes = _lit(lanes, min(max(bright * inverse_w, np.float32(0)), np.float32(_BRIGHTEST)))
                shaded = np.uint32((lanes | (lanes >> np.uint64(24))) & np.uint64(0xFFFFFFFF))
                covers = kind == SURFACE or shaded >= np.uint32(0x80000000)
                if kind == SECOND_LAYER:
                    front = colors[pixel]
                    rest = np.uint64(255) - np.uint64(front >> np.uint32(24))
                    rest += rest >> np.uint64(7)
                    lanes = ((lanes * rest + _HALF) >> np.uint64(8)) & _LANES
                    shaded = front + np.uint32((lanes | (lanes >> np.uint64(24))) & np.uint64(0xFFFFFFFF))
                    covers = front < np.uint32(0x80000000) and shaded >= np.uint32(0x80000000)
                colors[pixel] = shaded
                if covers:
                    parts[pixel] = face_part
                    previous_x = motion_x + (column + half)
                    previous_y = motion_y + (np.float32(row) + half)
                    seen = seen_before and 0 <= previous_x < width_px and 0 <= previous_y < height_px
                    motions[pixel + pixel] = motion_x if seen else nothing
                    motions[pixel + pixel + np.uint64(1)] = motion_y if seen else nothing
                pixel += np.uint64(1)
                cell += np.uint64(2)
                if pixel == row_end or faces[cell] != face:
                    break
                column += one
                w += w_step
                u += u_step
                v += v_step
                bright += bright_step
                motion_x += motion_x_step
                motion_y += motion_y_step
