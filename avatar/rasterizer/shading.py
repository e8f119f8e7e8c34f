"""From visible triangles to pixels: texture, light and motion in one pass over the rows.

Colors are four uint8 in one uint32, red lowest, premultiplied by alpha. A bilinear look-up spreads them to four 16-bit lanes of a uint64, so that
one multiplication weighs all four channels.
"""

import numpy as np

from avatar.jit import inlined, kernel

SUBPIXELS = 256
BAND_ROWS = 16

_LANES = np.uint64(0x00FF00FF00FF00FF)
_HALF = np.uint64(0x0080008000800080)
LEVELS_PER_OCTAVE = 2
"""Texture levels from one size to its half: dense enough to take the nearest level alone, at half the cost of blending two."""

_BIAS_OCTAVES = -0.25
_BRIGHTEST = 1.99


@inlined
def _log2(value):
    """log2 of a positive float32 to within 0.09: its exponent, and its mantissa as if the logarithm were linear between powers of two."""
    return np.float32(np.float32(value).view(np.int32)) * np.float32(2.0**-23) - np.float32(127)


@kernel
def texture_levels(screen, texel_area, tri, facing, first_face, last_face, highest, level):
    """Texture level of each drawable triangle in first_face..last_face-1, `level` [F] int32 in 0..highest.

    The level at which a texel is as large as a pixel, by area. Where a surface is seen at a slant this is the geometric mean of the two axes
    of a pixel's footprint: sharper than the longer axis, at an aliasing that the enhancer and the stabilizer take away.

    Args:
        screen: [V, 2] int32, 1/256 pixel. texel_area: [F] float32, twice the area in texels of level 0. tri: [F, 3] int32. facing: [F] int8.
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
    """Color in 16-bit lanes, at (x, y) in texels of the level that starts at `offset` and has `width` x `height` texels.

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
    """Packed color of `lanes` with its first three channels multiplied by `light`, in [0, 2), and limited to 255."""
    factor = np.uint64(np.int64(light * np.float32(4096) + np.float32(0.5)))
    # Two channels at a time in 32-bit lanes; bit 8 of a product above 255 turns into eight ones.
    red_blue = ((lanes & np.uint64(0xFF)) | ((lanes & np.uint64(0xFF0000)) << np.uint64(16))) * factor
    green = (((lanes >> np.uint64(32)) & np.uint64(0xFF)) * factor + np.uint64(2048)) >> np.uint64(12)
    red_blue = ((red_blue + np.uint64(0x0000080000000800)) >> np.uint64(12)) & np.uint64(0x000001FF000001FF)
    over = red_blue & np.uint64(0x0000010000000100)
    red_blue = (red_blue | (over - (over >> np.uint64(8)))) & np.uint64(0x000000FF000000FF)
    green = min(green, np.uint64(255))
    packed = (
        red_blue
        | (red_blue >> np.uint64(16))
        | (green << np.uint64(8))
        | ((lanes >> np.uint64(24)) & np.uint64(0xFF000000))
    )
    return np.uint32(packed & np.uint64(0xFFFFFFFF))


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
def _across(packed, a, b, c, a_weight, b_weight, c_weight, entry):
    return a_weight * packed[a, entry] + b_weight * packed[b, entry] + c_weight * packed[c, entry]


@kernel
def shade_rows(
    depth_and_face, packed, tri, part, level, previous_facing,
    texels, level_offset, level_size, is_layer, worker, workers, color, mask, motion,
):  # fmt: skip
    """Color, part and motion of every pixel in the rows that belong to `worker`.

    Along a run of pixels of one triangle, attribute / w and 1 / w are linear; their quotient is the perspective-correct attribute.
    Motion is interpolated linearly on the picture, which is exact as long as the depths of the three corners keep their proportions.

    Args:
        depth_and_face: [H, W, 2] int32, of `coverage.depth_and_face`.
        packed: [V, 8] float32, of `pack_vertices`. tri: [F, 3] int32. part: [F] uint8. level: [F] int32, of `texture_levels`.
        previous_facing: [F] int8, `coverage.orient` of the previous frame.
        texels: [N] uint32, all texture levels, one after the other; level_offset: [L] uint64, where each starts; level_size: [L, 2] int32, width and height.
        is_layer: False for the opaque surface, whose alpha is taken as 1 and which fills empty pixels; True for a translucent layer over
            it, which gives part and motion only to the pixels it covers by half or more.
        color: [H, W] uint32, written, premultiplied; 0 where nothing is drawn.
        mask: [H, W] uint8 and motion: [H, W, 2] float32, written; 0 and NaN where nothing is drawn.
            Motion is NaN as well where the previous frame has the point off the picture or turned away.
    """
    height, width = color.shape
    one, subpixels, half = np.float32(1), np.float32(SUBPIXELS), np.float32(0.5)
    texture_width, texture_height = np.float32(level_size[0, 0]), np.float32(level_size[0, 1])
    nothing, width_px, height_px = np.float32(np.nan), np.float32(width), np.float32(height)
    faces, colors, parts, motions = depth_and_face.reshape(-1), color.reshape(-1), mask.reshape(-1), motion.reshape(-1)
    for row in range(height):
        if (row // BAND_ROWS) % workers != worker:
            continue
        center_y = np.float32(row * SUBPIXELS + SUBPIXELS // 2)
        pixel = np.uint64(row * width)
        row_start, row_end = pixel, pixel + np.uint64(width)
        cell = pixel + pixel
        while pixel < row_end:
            face = faces[cell]
            if face < 0:
                colors[pixel] = 0
                if not is_layer:
                    parts[pixel] = 0
                    motions[pixel + pixel] = nothing
                    motions[pixel + pixel + np.uint64(1)] = nothing
                pixel += np.uint64(1)
                cell += np.uint64(2)
                continue
            a, b, c = np.uint64(tri[face, 0]), np.uint64(tri[face, 1]), np.uint64(tri[face, 2])
            column = np.float32(np.int64(pixel - row_start))
            center_x = column * subpixels + half * subpixels
            ax, ay = packed[a, 0] - center_x, packed[a, 1] - center_y
            bx, by = packed[b, 0] - center_x, packed[b, 1] - center_y
            cx, cy = packed[c, 0] - center_x, packed[c, 1] - center_y
            a_edge, b_edge, c_edge = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
            inverse_area = one / (a_edge + b_edge + c_edge)
            aw, bw, cw = packed[a, 2] * inverse_area, packed[b, 2] * inverse_area, packed[c, 2] * inverse_area
            a_now, b_now, c_now = a_edge * aw, b_edge * bw, c_edge * cw
            a_step, b_step, c_step = (by - cy) * subpixels * aw, (cy - ay) * subpixels * bw, (ay - by) * subpixels * cw

            face_level = level[face]
            offset = level_offset[face_level]
            level_width, level_height = np.float32(level_size[face_level, 0]), np.float32(level_size[face_level, 1])
            x_scale, y_scale = level_width / texture_width, level_height / texture_height
            seen_before = previous_facing[face] == 1 or (is_layer and previous_facing[face] != 0)
            face_part = part[face]

            w, w_step = a_now + b_now + c_now, a_step + b_step + c_step
            u, u_step = (
                _across(packed, a, b, c, a_now, b_now, c_now, 3),
                _across(packed, a, b, c, a_step, b_step, c_step, 3),
            )
            v, v_step = (
                _across(packed, a, b, c, a_now, b_now, c_now, 4),
                _across(packed, a, b, c, a_step, b_step, c_step, 4),
            )
            bright, bright_step = (
                _across(packed, a, b, c, a_now, b_now, c_now, 5),
                _across(packed, a, b, c, a_step, b_step, c_step, 5),
            )
            a_edge, b_edge, c_edge = a_edge * inverse_area, b_edge * inverse_area, c_edge * inverse_area
            a_slope, b_slope = (by - cy) * subpixels * inverse_area, (cy - ay) * subpixels * inverse_area
            c_slope = (ay - by) * subpixels * inverse_area
            motion_x = _across(packed, a, b, c, a_edge, b_edge, c_edge, 6)
            motion_y = _across(packed, a, b, c, a_edge, b_edge, c_edge, 7)
            motion_x_step = _across(packed, a, b, c, a_slope, b_slope, c_slope, 6)
            motion_y_step = _across(packed, a, b, c, a_slope, b_slope, c_slope, 7)
            while True:
                inverse_w = one / w
                lanes = _bilinear(
                    texels, offset, level_width, level_height, u * inverse_w * x_scale, v * inverse_w * y_scale
                )
                if not is_layer:
                    lanes |= np.uint64(255) << np.uint64(48)
                shaded = _lit(lanes, min(max(bright * inverse_w, np.float32(0)), np.float32(_BRIGHTEST)))
                colors[pixel] = shaded
                if not is_layer or shaded >= np.uint32(0x80000000):
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
