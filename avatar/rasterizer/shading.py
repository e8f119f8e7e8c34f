"""From visible triangles to pixels: texture, light and motion, sixteen pixels of a row at a time.

Every triangle that may show is turned into planes once: what is linear on the picture (1/w, texture coordinates over w,
motion) as its value at one pixel and its steps to the right and downwards. A pixel then reads one cache line.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from avatar import lanes
from avatar.jit import inlined, kernel

SUBPIXELS = 256

SURFACE, LAYER, SECOND_LAYER, FINS = range(4)
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


@inlined
def _level(doubled_area, texel_area, highest):
    """Texture level of a triangle; `doubled_area` on the picture in (1/256 pixel)², `texel_area` also doubled."""
    pixel_area = abs(doubled_area) / np.float32(SUBPIXELS * SUBPIXELS)
    octaves = np.float32(0.5) * _log2(texel_area / max(pixel_area, np.float32(1e-6))) + np.float32(_BIAS_OCTAVES)
    return np.int32(min(max(octaves * LEVELS_PER_OCTAVE + np.float32(0.5), np.float32(0)), np.float32(highest)))


def _level_lanes(doubled_area: lanes.Lanes, texel_area: lanes.Lanes, highest: lanes.Lanes) -> lanes.Lanes:
    """`_level` of many triangles."""
    pixel_area = (doubled_area.bits() & 0x7FFFFFFF).as_floats_of_bits() * (1 / (SUBPIXELS * SUBPIXELS))
    ratio = texel_area / pixel_area.at_least(1e-6)
    octaves = (ratio.bits().as_float() * 2.0**-23 - 127.0) * 0.5 + _BIAS_OCTAVES
    return (octaves * LEVELS_PER_OCTAVE + 0.5).at_least(0.0).minimum(highest.as_float()).as_int()


@kernel
def texture_levels(screen, texel_area, tri, facing, highest, level):
    """Texture level of each drawable triangle, `level` [F] int32 in 0..highest.

    The level at which a texel is as large as a pixel, by area. Where a surface is seen at a slant this is the geometric
    mean of the two axes of a pixel's footprint: sharper than the longer axis, at an aliasing that the enhancer and the
    stabilizer take away.

    Args:
        screen: [V, 2] int32, 1/256 pixel. texel_area: [F] float32, twice the area in texels of level 0. tri: [F, 3]
            int32. facing: [F] int8.
    """
    for face in range(tri.shape[0]):
        if facing[face] == 0:
            continue
        a, b, c = np.uint64(tri[face, 0]), np.uint64(tri[face, 1]), np.uint64(tri[face, 2])
        bx, by = np.float32(screen[b, 0] - screen[a, 0]), np.float32(screen[b, 1] - screen[a, 1])
        cx, cy = np.float32(screen[c, 0] - screen[a, 0]), np.float32(screen[c, 1] - screen[a, 1])
        level[face] = _level(bx * cy - by * cx, texel_area[face], highest)


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


PLANES = 16
"""Entries of a triangle: 1/w, u/w, v/w, motion in x and in y, each with its steps, and one of flags."""

LARGEST_PX = 1024
"""Widest picture: the flags hold rows and columns in ten bits."""

_ROW, _LEVEL, _PART, _LIT, _SEEN = 10, 20, 25, 29, 30
"""First bit of each entry in the flags; the column's is 0."""

_FACE_ENTRIES = 8


def face_table(tri: np.ndarray, part: np.ndarray, texel_area: np.ndarray) -> np.ndarray:
    """What `find_planes` reads of each triangle and no pose changes, [F, 8] float32.

    In turn: the patterns of the three vertex indices and of the part, and twice the area in texels of level 0.
    """
    table = np.zeros((len(tri), _FACE_ENTRIES), np.float32)
    table.view(np.int32)[:, :3] = tri
    table.view(np.int32)[:, 3] = part
    table[:, 4] = texel_area
    return table


LANES = 16
"""Triangles or pixels that are worked on at a time."""


@intrinsic
def _find_plane_lanes(context, drawn, start, packed, face_table, levels, highest, previous_facing, opaque, planes):
    """`find_planes` for `LANES` triangles from element `start` of `drawn` on; all arrays flat.

    Returns:
        uint32 whose bit i is set where any corner of triangle i is lit.
    """
    signature = types.uint32(
        drawn, types.uint64, packed, face_table, levels, types.int32, previous_facing, types.int32, planes
    )

    def generate(context, builder, signature, arguments):
        drawn, packed, face_table, levels, previous_facing, planes = (
            context.make_array(signature.args[index])(context, builder, arguments[index]).data
            for index in (0, 2, 3, 4, 6, 8)
        )
        highest, opaque = (lanes.splat(builder, arguments[index], LANES) for index in (5, 7))
        face = lanes.load(builder, drawn, arguments[1], lanes.I32, LANES)
        a, b, c, part, texel_area, *_ = face.load_rows(face_table, _FACE_ENTRIES)
        (ax, ay, aw, au, av, a_light, a_motion_x, a_motion_y) = a.bits().load_rows(packed, 8)
        (bx, by, bw, bu, bv, b_light, b_motion_x, b_motion_y) = b.bits().load_rows(packed, 8)
        (cx, cy, cw, cu, cv, c_light, c_motion_x, c_motion_y) = c.bits().load_rows(packed, 8)
        column = ax.minimum(bx).minimum(cx).at_least(0.0).as_int() >> 8
        row = ay.minimum(by).minimum(cy).at_least(0.0).as_int() >> 8
        center_x, center_y = ((edge << 8).as_float() + SUBPIXELS / 2 for edge in (column, row))
        ax, ay, bx, by, cx, cy = (
            ax - center_x,
            ay - center_y,
            bx - center_x,
            by - center_y,
            cx - center_x,
            cy - center_y,
        )

        # Weights of the corners at that pixel and their steps: linear on the picture, and divided by w below.
        now = (bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx)
        doubled_area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        one = lanes.constant(builder, lanes.F32, [1.0] * LANES)
        inverse_area = one / (now[0] + now[1] + now[2])
        step = inverse_area * SUBPIXELS
        weights = [[weight * inverse_area for weight in now]]
        weights.append([slope * step for slope in (by - cy, cy - ay, ay - by)])
        weights.append([slope * step for slope in (cx - bx, ax - cx, bx - ax)])

        def plane(at_a, at_b, at_c):
            return [of_a * at_a + of_b * at_b + of_c * at_c for of_a, of_b, of_c in weights]

        motion = [*plane(a_motion_x, b_motion_x, c_motion_x), *plane(a_motion_y, b_motion_y, c_motion_y)]
        weights = [[of_a * aw, of_b * bw, of_c * cw] for of_a, of_b, of_c in weights]
        level = _level_lanes(doubled_area, texel_area, highest)
        wide, high = ((level << 2) | entry for entry in (2, 3))
        wide, high = wide.lookup(levels, lanes.F32), high.lookup(levels, lanes.F32)
        before = face.lookup(previous_facing, lanes.I8, 1).widen()
        seen = (before >= 1) | ((face >= opaque) & before.is_not(0))
        is_lit = a_light.is_not(1.0) | b_light.is_not(1.0) | c_light.is_not(1.0)
        flags = column | (row << _ROW) | (level << _LEVEL) | (part.bits() << _PART)
        flags = flags | (seen.as_ones() << _SEEN) | (is_lit.as_ones() << _LIT)
        columns = [of_a + of_b + of_c for of_a, of_b, of_c in weights]
        columns += plane(au * wide, bu * wide, cu * wide) + plane(av * high, bv * high, cv * high)
        (face + 1).store_rows(planes, [*columns, *motion, flags.as_floats_of_bits()])
        return builder.zext(is_lit.as_mask(), lanes.I32)

    return signature, generate


@inlined
def _find_light(packed, tri, planes, face, light):
    """Plane of the light over w of one triangle, as `find_planes` has them."""
    of_planes = np.uint64(face + 1)
    flags = planes[of_planes].view(np.int32)[15]
    center_x = np.float32(((flags & (LARGEST_PX - 1)) << 8) + SUBPIXELS // 2)
    center_y = np.float32((((flags >> _ROW) & (LARGEST_PX - 1)) << 8) + SUBPIXELS // 2)
    a, b, c = np.uint64(tri[face, 0]), np.uint64(tri[face, 1]), np.uint64(tri[face, 2])
    ax, ay = packed[a, 0] - center_x, packed[a, 1] - center_y
    bx, by = packed[b, 0] - center_x, packed[b, 1] - center_y
    cx, cy = packed[c, 0] - center_x, packed[c, 1] - center_y
    a_now, b_now, c_now = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    scale = np.float32(1) / (a_now + b_now + c_now)
    at_a, at_b, at_c = packed[a, 5] * packed[a, 2], packed[b, 5] * packed[b, 2], packed[c, 5] * packed[c, 2]
    light[face, 0] = (a_now * at_a + b_now * at_b + c_now * at_c) * scale
    scale *= np.float32(SUBPIXELS)
    light[face, 1] = ((by - cy) * at_a + (cy - ay) * at_b + (ay - by) * at_c) * scale
    light[face, 2] = ((cx - bx) * at_a + (ax - cx) * at_b + (bx - ax) * at_c) * scale


@kernel
def find_planes(packed, tri, face_table, drawn, first, last, previous_facing, levels, opaque, planes, light):
    """Planes of triangles that may show.

    Motion is taken as linear on the picture, which is exact as long as the depths of the three corners keep their
    proportions.

    Args:
        packed: [V, 8] float32, of `pack_vertices`. tri: [F, 3] int32.
        face_table: [F, 8] float32, of `face_table`.
        drawn: [N] int32, indices of triangles, of which the blocks of `LANES` first..last-1 are worked on; the last
            block may hold any index in its unused places.
        previous_facing: [F] int8, of `coverage.orient` in the previous frame.
        levels: [L, 4] float32, width and height of the texture levels, and those against level 0.
        opaque: triangles from here on are drawn from both sides.
        planes: [F + 1, 16] float32, written: of triangle f in row f + 1.
        light: [F, 3] float32, written where any corner is not 1: factor over w and its steps.
    """
    flat = packed.reshape(-1), face_table.reshape(-1), levels.reshape(-1)
    highest, first_translucent, out = np.int32(levels.shape[0] - 1), np.int32(opaque), planes.reshape(-1)
    for block in range(first, last):
        start = np.uint64(block * LANES)
        lit = _find_plane_lanes(drawn, start, *flat, highest, previous_facing, first_translucent, out)
        lane = np.uint64(0)
        while lit != 0:
            if lit & np.uint32(1):
                _find_light(packed, tri, planes, drawn[start + lane], light)
            lit >>= np.uint32(1)
            lane += np.uint64(1)


_NO_MOTION = 0x7E007E00
"""Two fp16 NaN."""


def _half_precision(value: lanes.Lanes) -> lanes.Lanes:
    """fp16 patterns of finite float32 values up to 2^15, to nearest even; below 2^-14 they become 0, which as motion is
    a hundredth of the snapping grid."""
    pattern = value.bits()
    magnitude = pattern & 0x7FFFFFFF
    rounded = (magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1)) >> 13
    rounded = rounded.where(magnitude >= 0x38800000, 0)
    return rounded.where(magnitude < 0x47000000, 0x7C00) | ((pattern >> 16) & 0x8000)


@intrinsic
def _lanes_with_face(context, faces, pixel):
    """uint32 whose bit i is set where pixel `pixel` + i of `faces` [2 H W] int32 has a triangle."""

    def generate(context, builder, signature, arguments):
        table = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        face = lanes.load(builder, table, builder.shl(arguments[1], lanes.I64(1)), lanes.I32, LANES, stride=2)
        return builder.zext((face >= 0).as_mask(), lanes.I32)

    return types.uint32(faces, types.uint64), generate


@intrinsic
def _shade_lanes(
    context, faces, planes, texels, levels, pixel, column, row, width, height, alpha, color, mask, motion, place
):  # fmt: skip
    """Shade `LANES` pixels from flat index `pixel` = (row, column) on.

    Args:
        faces: [2 H W] int32, the triangle of pixel p in element 2 p, -1 for none.
        planes: [16 (F + 1)] float32, of `find_planes`. texels: [N] uint32.
        levels: [2 L] int32, of each texture level its first texel, and width | height << 16.
        width, height: int32, of the picture.
        alpha: int32, or-ed into each color.
        color: uint32, mask: uint8, motion: uint32, written from element `place` on: 0, 0 and two NaN where there is no
            triangle.

    Returns:
        uint32 whose bit i is set where the triangle of lane i is lit.
    """
    signature = types.uint32(
        faces, planes, texels, levels, types.uint64, *[types.int32] * 5, color, mask, motion, types.uint64
    )

    def generate(context, builder, signature, arguments):
        arrays = {
            index: context.make_array(signature.args[index])(context, builder, arguments[index]).data
            for index in (0, 1, 2, 3, 10, 11, 12)
        }
        pixel, place = arguments[4], arguments[13]
        column, row, width, height, alpha = (lanes.splat(builder, argument, LANES) for argument in arguments[5:10])
        column += lanes.constant(builder, lanes.I32, range(LANES))
        face = lanes.load(builder, arrays[0], builder.shl(pixel, lanes.I64(1)), lanes.I32, LANES, stride=2)
        entries = (face + 1).load_rows(arrays[1], PLANES)
        flags = entries[15].bits()
        right = (column - (flags & (LARGEST_PX - 1))).as_float()
        down = (row - ((flags >> _ROW) & (LARGEST_PX - 1))).as_float()
        inverse_w, u, v, motion_x, motion_y = (
            entries[index] + entries[index + 1] * right + entries[index + 2] * down for index in range(0, 15, 3)
        )
        w = lanes.constant(builder, lanes.F32, [1.0] * LANES) / inverse_w

        level = (flags >> _LEVEL) & 31
        first = (level << 1).lookup(arrays[3], lanes.I32)
        size = ((level << 1) + 1).lookup(arrays[3], lanes.I32)
        texels_wide, texels_high = size & 0xFFFF, size >> 16
        x = (u * w - 0.5).at_least(0.0).minimum(texels_wide.as_float() - 1.01)
        y = (v * w - 0.5).at_least(0.0).minimum(texels_high.as_float() - 1.01)
        x, y = (x * 256.0).as_int(), (y * 256.0).as_int()
        x_part, y_part = x & 255, y & 255
        upper = first + (y >> 8) * texels_wide + (x >> 8)
        shaded = lanes.bilinear(arrays[2], upper, upper + texels_wide, x_part, y_part) | alpha

        is_drawn = face >= 0
        before_x = column.as_float() + 0.5 + motion_x
        before_y = row.as_float() + 0.5 + motion_y
        seen = ((flags >> _SEEN) & 1).is_not(0) & is_drawn
        seen = seen & (before_x >= 0.0) & (before_x < width.as_float())
        seen = seen & (before_y >= 0.0) & (before_y < height.as_float())
        moved = _half_precision(motion_x) | (_half_precision(motion_y) << 16)
        shaded.where(is_drawn, 0).store(arrays[10], place)
        ((flags >> _PART) & 15).where(is_drawn, 0).narrow(lanes.I8).store(arrays[11], place)
        moved.where(seen, _NO_MOTION).store(arrays[12], place)
        is_lit = ((flags >> _LIT) & 1).is_not(0) & is_drawn
        return builder.zext(is_lit.as_mask(), lanes.I32)

    return signature, generate


@inlined
def _lit(color, light):
    """A color with its first three channels multiplied by `light`, in [0, 2), and limited to 255."""
    factor = np.uint32(np.int32(light * np.float32(4096) + np.float32(0.5)))
    result = color & np.uint32(0xFF000000)
    for shift in range(0, 24, 8):
        step = np.uint32(shift)
        level = (((color >> step) & np.uint32(255)) * factor + np.uint32(2048)) >> np.uint32(12)
        result |= min(level, np.uint32(255)) << step
    return result


@inlined
def _faded(color, share):
    """A premultiplied color of which `share`, in [0, 1], is left."""
    factor = np.uint32(np.int32(share * np.float32(4096) + np.float32(0.5)))
    result = np.uint32(0)
    for shift in range(0, 32, 8):
        step = np.uint32(shift)
        result |= ((((color >> step) & np.uint32(255)) * factor + np.uint32(2048)) >> np.uint32(12)) << step
    return result


@inlined
def _light_at(planes, flags, light, face, row, column):
    """Light of triangle `face` at a pixel."""
    of_planes = face + np.uint64(1)
    right = np.float32(column - (flags[of_planes, 15] & (LARGEST_PX - 1)))
    down = np.float32(row - ((flags[of_planes, 15] >> _ROW) & (LARGEST_PX - 1)))
    value = light[face, 0] + light[face, 1] * right + light[face, 2] * down
    return value / (planes[of_planes, 0] + planes[of_planes, 1] * right + planes[of_planes, 2] * down)


@inlined
def _under(front, color):
    """`color` blended under `front`, and whether the two together cover by half or more but `front` alone does not."""
    rest = np.uint32(255) - (front >> np.uint32(24))
    rest += rest >> np.uint32(7)
    even = ((color & np.uint32(0x00FF00FF)) * rest + np.uint32(0x00800080)) >> np.uint32(8)
    odd = ((color >> np.uint32(8)) & np.uint32(0x00FF00FF)) * rest + np.uint32(0x00800080)
    total = front + ((even & np.uint32(0x00FF00FF)) | (odd & np.uint32(0xFF00FF00)))
    return total, front < np.uint32(0x80000000) and total >= np.uint32(0x80000000)


@kernel
def shade_rows(
    depth_and_face, planes, light, texels, levels, kind, first_row, last_row, solid, color, mask, motion
):  # fmt: skip
    """Color, part and motion of every pixel in the rows first_row..last_row-1.

    Args:
        depth_and_face: [H, W, 2] int32, of `coverage.depth_and_face`; W a multiple of `LANES`.
        planes: [F + 1, 16] float32, light: [F, 3] float32, of `find_planes`. It darkens what fills `SURFACE`; of a
            layer it is the share that is left where nothing solid lies behind.
        texels: [N] uint32, all texture levels, one after the other. levels: [L, 2] int32, see `_shade_lanes`.
        kind: `SURFACE`, whose alpha is taken as 1 and which fills empty pixels; `LAYER` over it, which gives part and
            motion only to the pixels it covers by half or more; `SECOND_LAYER` behind that, blended under its color;
            `FINS` behind both, of which the share is left whatever lies behind.
        solid: [H, W] uint32, what was drawn as `SURFACE`.
        color: [H, W] uint32, written, premultiplied; 0 where nothing is drawn.
        mask: [H, W] uint8 and motion: [H, W] uint32, two fp16 patterns, x lower, written; 0 and NaN where nothing is
            drawn. Motion is NaN as well where the previous frame has the point off the picture or turned away.
    """
    height, width = color.shape
    faces, flat, flags = depth_and_face.reshape(-1), planes.reshape(-1), planes.view(np.int32)
    size, colors, parts, motions = levels.reshape(-1), color.reshape(-1), mask.reshape(-1), motion.reshape(-1)
    solids = solid.reshape(-1)
    own_color, own_part = np.empty(LANES, np.uint32), np.empty(LANES, np.uint8)
    own_motion = np.empty(LANES, np.uint32)
    rows, columns, start = np.int32(height), np.int32(width), np.uint64(0)
    for row in range(first_row, last_row):
        for block in range(0, width, LANES):
            pixel = np.uint64(row * width + block)
            place = np.int32(block), np.int32(row), columns, rows
            drawn = _lanes_with_face(faces, pixel)
            if drawn == 0:
                if kind < SECOND_LAYER:
                    for lane in range(LANES):
                        colors[pixel + np.uint64(lane)] = 0
                if kind == SURFACE:
                    for lane in range(LANES):
                        parts[pixel + np.uint64(lane)] = 0
                    for lane in range(LANES):
                        motions[pixel + np.uint64(lane)] = _NO_MOTION
                continue
            if kind == SURFACE:
                lit = _shade_lanes(
                    faces, flat, texels, size, pixel, *place, np.int32(-0x1000000), colors, parts, motions, pixel
                )
                lane = np.uint64(0)
                while lit != 0:
                    if lit & np.uint32(1):
                        face = np.uint64(faces[(pixel + lane) << np.uint64(1)])
                        value = _light_at(planes, flags, light, face, row, np.int32(block + lane))
                        value = min(max(value, np.float32(0)), np.float32(_BRIGHTEST))
                        colors[pixel + lane] = _lit(colors[pixel + lane], value)
                    lit >>= np.uint32(1)
                    lane += np.uint64(1)
                continue
            lit = _shade_lanes(
                faces, flat, texels, size, pixel, *place, np.int32(0), own_color, own_part, own_motion, start
            )
            for lane in range(LANES):
                index = np.uint64(lane)
                shaded, at = own_color[index], pixel + index
                if (lit >> np.uint32(lane)) & np.uint32(1) and (solids[at] == 0 or kind == FINS):
                    face = np.uint64(faces[at << np.uint64(1)])
                    value = _light_at(planes, flags, light, face, row, np.int32(block + lane))
                    shaded = _faded(shaded, min(max(value, np.float32(0)), np.float32(1)))
                covers = shaded >= np.uint32(0x80000000)
                if kind >= SECOND_LAYER:
                    if (drawn >> np.uint32(lane)) & np.uint32(1) == 0:
                        continue
                    front = colors[at]
                    shaded, covers = _under(front, shaded)
                colors[at] = shaded
                if covers:
                    parts[at] = own_part[index]
                    motions[at] = own_motion[index]
