"""From visible triangles to pixels: texture, light and motion in one pass over the rows.

Colors are four uint8 in one uint32, red lowest, premultiplied by alpha. A bilinear look-up spreads them to four 16-bit lanes of a uint64, so that
one multiplication weighs all four channels.
"""

import math

import numpy as np

from avatar.jit import kernel

SUBPIXELS = 256
BAND_ROWS = 16

_LANES = np.uint64(0x00FF00FF00FF00FF)
_HALF = np.uint64(0x0080008000800080)
_MIP_BIAS = -0.5


@kernel
def mip_levels(screen, uv_texels, tri, facing, first_face, last_face, highest, level):
    """Mip level of each drawable triangle in first_face..last_face-1, `level` [F] float32 in [0, highest].

    log2 of the longer axis, in texels, of the ellipse that a pixel's unit circle covers (Heckbert 1989, section 3), less half a level:
    sharper where a surface is seen at a slant, at an aliasing that the enhancer and the stabilizer take away.

    Args:
        screen: [V, 2] int32, 1/256 pixel. uv_texels: [V, 2] float32, texels of level 0. tri: [F, 3] int32. facing: [F] int8.
    """
    for face in range(first_face, last_face):
        if facing[face] == 0:
            continue
        a, b, c = tri[face, 0], tri[face, 1], tri[face, 2]
        bx = np.float32(screen[b, 0] - screen[a, 0]) / SUBPIXELS
        by = np.float32(screen[b, 1] - screen[a, 1]) / SUBPIXELS
        cx = np.float32(screen[c, 0] - screen[a, 0]) / SUBPIXELS
        cy = np.float32(screen[c, 1] - screen[a, 1]) / SUBPIXELS
        bu, bv = uv_texels[b, 0] - uv_texels[a, 0], uv_texels[b, 1] - uv_texels[a, 1]
        cu, cv = uv_texels[c, 0] - uv_texels[a, 0], uv_texels[c, 1] - uv_texels[a, 1]
        inverse_area = np.float32(1) / (bx * cy - by * cx)
        u_dx, u_dy = (bu * cy - cu * by) * inverse_area, (cu * bx - bu * cx) * inverse_area
        v_dx, v_dy = (bv * cy - cv * by) * inverse_area, (cv * bx - bv * cx) * inverse_area
        half_squares = np.float32(0.5) * (u_dx * u_dx + u_dy * u_dy + v_dx * v_dx + v_dy * v_dy)
        determinant = u_dx * v_dy - u_dy * v_dx
        longest_squared = half_squares + math.sqrt(max(half_squares * half_squares - determinant * determinant, np.float32(0)))
        wanted = np.float32(0.5) * math.log2(max(longest_squared, np.float32(1e-20))) + np.float32(_MIP_BIAS)
        level[face] = min(max(wanted, np.float32(0)), np.float32(highest))


@kernel
def _spread(color):
    """Channels 0, 2, 1, 3 of `color` in the 16-bit lanes of a uint64."""
    wide = np.uint64(color)
    return (wide & np.uint64(0x00FF00FF)) | ((wide & np.uint64(0xFF00FF00)) << np.uint64(24))


@kernel
def _bilinear(texels, offset, width, height, x, y):
    """Color in 16-bit lanes, at (x, y) in texels of the level that starts at `offset` and has `width` x `height` texels."""
    x = min(max(x - np.float32(0.5), np.float32(0)), np.float32(width - 1))
    y = min(max(y - np.float32(0.5), np.float32(0)), np.float32(height - 1))
    left, top = np.int64(x), np.int64(y)
    x_part, y_part = np.int64((x - left) * 256), np.int64((y - top) * 256)
    right = 1 if left + 1 < width else 0
    below = width if top + 1 < height else 0
    start = offset + top * width + left
    lower_right = (x_part * y_part + 128) >> 8
    total = _spread(texels[start]) * np.uint64(256 - x_part - y_part + lower_right)
    total += _spread(texels[start + right]) * np.uint64(x_part - lower_right)
    total += _spread(texels[start + below]) * np.uint64(y_part - lower_right)
    total += _spread(texels[start + below + right]) * np.uint64(lower_right)
    return ((total + _HALF) >> np.uint64(8)) & _LANES


@kernel
def _lit(lanes, light):
    """Packed color of `lanes` with its first three channels multiplied by `light` and limited to alpha."""
    alpha = np.uint32((lanes >> np.uint64(48)) & np.uint64(255))
    red = np.uint32(np.float32(lanes & np.uint64(255)) * light + np.float32(0.5))
    blue = np.uint32(np.float32((lanes >> np.uint64(16)) & np.uint64(255)) * light + np.float32(0.5))
    green = np.uint32(np.float32((lanes >> np.uint64(32)) & np.uint64(255)) * light + np.float32(0.5))
    return min(red, alpha) | (min(green, alpha) << np.uint32(8)) | (min(blue, alpha) << np.uint32(16)) | (alpha << np.uint32(24))


@kernel
def shade_rows(
    face_id, screen, depth_and_inverse_w, tri, part, level, uv_texels, light, previous_screen, previous_facing,
    texels, level_offset, texture_width, texture_height, is_layer, worker, workers, color, mask, motion,
):  # fmt: skip
    """Color, part and motion of every pixel in the rows that belong to `worker`.

    Args:
        face_id: [H, W] int32, of `coverage.rasterize_rows`, -1 where nothing is drawn.
        screen, depth_and_inverse_w: of `coverage.project`. tri: [F, 3] int32. part: [F] uint8. level: [F] float32, of `mip_levels`.
        uv_texels: [V, 2] float32. light: [V] float32, factor on the texture.
        previous_screen: [V, 2] int32, `screen` of the previous frame; previous_facing: [F] int8, its `coverage.orient`.
        texels: [N] uint32, all mip levels, one after the other; level_offset: [L] int64, where each starts.
        texture_width, texture_height: of level 0.
        is_layer: False for the opaque surface, whose alpha is taken as 1 and which fills empty pixels; True for a translucent layer over
            it, which gives part and motion only to the pixels it covers by half or more.
        color: [H, W] uint32, written, premultiplied; 0 where nothing is drawn.
        mask: [H, W] uint8 and motion: [H, W, 2] float32, written; 0 and NaN where nothing is drawn.
            Motion is NaN as well where the previous frame has the point off the picture or turned away.
    """
    height, width = face_id.shape
    last_face = np.int32(-1)
    a = b = c = np.int32(0)
    seen_before = True
    lower, level_part = np.int64(0), np.int64(0)
    scale = upper_scale = np.float32(1)
    one = np.float32(1)
    for row in range(height):
        if (row // BAND_ROWS) % workers != worker:
            continue
        center_y = row * SUBPIXELS + SUBPIXELS // 2
        for column in range(width):
            face = face_id[row, column]
            if face < 0:
                color[row, column] = 0
                if not is_layer:
                    mask[row, column] = 0
                    motion[row, column, 0] = np.nan
                    motion[row, column, 1] = np.nan
                continue
            if face != last_face:
                last_face = face
                a, b, c = tri[face, 0], tri[face, 1], tri[face, 2]
                lower = np.int64(level[face])
                level_part = np.int64((level[face] - lower) * 256)
                scale = one / np.float32(1 << lower)
                upper_scale = scale * np.float32(0.5)
                seen_before = previous_facing[face] == 1 or (is_layer and previous_facing[face] != 0)
            center_x = column * SUBPIXELS + SUBPIXELS // 2
            ax, ay = np.float32(screen[a, 0] - center_x), np.float32(screen[a, 1] - center_y)
            bx, by = np.float32(screen[b, 0] - center_x), np.float32(screen[b, 1] - center_y)
            cx, cy = np.float32(screen[c, 0] - center_x), np.float32(screen[c, 1] - center_y)
            a_weight = (bx * cy - by * cx) * depth_and_inverse_w[a, 1]
            b_weight = (cx * ay - cy * ax) * depth_and_inverse_w[b, 1]
            c_weight = (ax * by - ay * bx) * depth_and_inverse_w[c, 1]
            inverse_sum = one / (a_weight + b_weight + c_weight)
            a_weight *= inverse_sum
            b_weight *= inverse_sum
            c_weight *= inverse_sum

            u = a_weight * uv_texels[a, 0] + b_weight * uv_texels[b, 0] + c_weight * uv_texels[c, 0]
            v = a_weight * uv_texels[a, 1] + b_weight * uv_texels[b, 1] + c_weight * uv_texels[c, 1]
            lanes = _bilinear(
                texels, level_offset[lower], texture_width >> lower, texture_height >> lower, u * scale, v * scale
            )
            if level_part > 0:
                upper = _bilinear(
                    texels, level_offset[lower + 1], texture_width >> (lower + 1), texture_height >> (lower + 1),
                    u * upper_scale, v * upper_scale,
                )  # fmt: skip
                lanes = lanes * np.uint64(256 - level_part) + upper * np.uint64(level_part)
                lanes = ((lanes + _HALF) >> np.uint64(8)) & _LANES
            if not is_layer:
                lanes |= np.uint64(255) << np.uint64(48)
            brightness = a_weight * light[a] + b_weight * light[b] + c_weight * light[c]
            pixel = _lit(lanes, max(brightness, np.float32(0)))
            color[row, column] = pixel
            if is_layer and (pixel >> np.uint32(24)) < 128:
                continue
            mask[row, column] = part[face]
            motion_x = (
                a_weight * np.float32(previous_screen[a, 0] - center_x)
                + b_weight * np.float32(previous_screen[b, 0] - center_x)
                + c_weight * np.float32(previous_screen[c, 0] - center_x)
            ) / SUBPIXELS
            motion_y = (
                a_weight * np.float32(previous_screen[a, 1] - center_y)
                + b_weight * np.float32(previous_screen[b, 1] - center_y)
                + c_weight * np.float32(previous_screen[c, 1] - center_y)
            ) / SUBPIXELS
            previous_x, previous_y = motion_x + column + np.float32(0.5), motion_y + row + np.float32(0.5)
            if not (seen_before and 0 <= previous_x < width and 0 <= previous_y < height):
                motion_x = motion_y = np.float32(np.nan)
            motion[row, column, 0] = motion_x
            motion[row, column, 1] = motion_y
