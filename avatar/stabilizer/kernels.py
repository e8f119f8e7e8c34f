"""Compiled loops of the picture's moving average. Pixels are four uint8 in one uint32, red lowest, premultiplied by
alpha."""

import numpy as np
from numba import types
from numba.extending import intrinsic

from avatar import lanes
from avatar.jit import kernel

LANES = 16
"""Pixels that are warped at a time."""

_FAR = 65536.0
_NO_MOTION = np.uint32(0x7E007E00)


@intrinsic
def _moves(context, motion, pixel):
    """Whether any of `LANES` pixels from `pixel` on of `motion` has one that is no NaN or infinity."""

    def generate(context, builder, signature, arguments):
        table = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        halves = lanes.load(builder, table, arguments[1], lanes.I32, LANES)
        is_moved = (halves & 0x7C00).is_not(0x7C00) & (halves & 0x7C000000).is_not(0x7C000000)
        return builder.icmp_unsigned("!=", is_moved.as_mask(), lanes.I16(0))

    return types.boolean(motion, types.uint64), generate


@intrinsic
def _warp_lanes(context, current, previous, motion, warped, pixel, column, row, width, height):
    """`warp` for `LANES` pixels from flat index `pixel` on."""
    signature = types.void(current, previous, motion, warped, types.uint64, *[types.int32] * 4)

    def generate(context, builder, signature, arguments):
        current, previous, motion, warped = (
            context.make_array(signature.args[index])(context, builder, arguments[index]).data for index in range(4)
        )
        pixel = arguments[4]
        column, row, width, height = (lanes.splat(builder, argument, LANES) for argument in arguments[5:])
        column += lanes.constant(builder, lanes.I32, range(LANES))
        now = lanes.load(builder, current, pixel, lanes.I32, LANES)
        halves = lanes.load(builder, motion, pixel, lanes.I32, LANES)

        def single(half):
            """fp16 patterns as float32; infinity and NaN become 65536 and more."""
            pattern = ((half & 0x8000) << 16) | ((half & 0x7FFF) << 13)
            return pattern.as_floats_of_bits() * 2.0**112

        x_motion, y_motion = single(halves), single(halves >> 16)
        is_moved = (x_motion < _FAR) & (x_motion >= -_FAR) & (y_motion < _FAR) & (y_motion >= -_FAR)
        right, bottom = (width - 1).as_float(), (height - 1).as_float()
        x, y = column.as_float() + x_motion, row.as_float() + y_motion
        is_inside = is_moved & (x >= -0.5) & (y >= -0.5) & (x < right + 0.5) & (y < bottom + 0.5)
        x, y = x.at_least(0.0).minimum(right), y.at_least(0.0).minimum(bottom)
        x, y = (x * 256.0 + 0.5).as_int(), (y * 256.0 + 0.5).as_int()
        upper = (y >> 8) * width + (x >> 8)
        found = lanes.bilinear(previous, upper, upper + width, x & 255, y & 255)
        found.where(is_inside, now).store(warped, pixel)
        return context.get_dummy_value()

    return signature, generate


@kernel
def warp(current, previous, motion, warped):
    """The previous picture as it would look now: at each pixel p, `previous` at p + motion, bilinear.

    Args:
        current, warped: [H, W] uint32, premultiplied; `warped` is written: where there is no motion, or it leads off
            the picture, the current pixel.
        previous: uint32, [H, W] flat and W + 1 more, which are read but weigh nothing.
        motion: [H, W] uint32, two fp16 patterns, x lower: pixels.

    Returns:
        Whether any pixel has a motion.
    """
    height, width = current.shape
    now, out, motions = current.reshape(-1), warped.reshape(-1), motion.reshape(-1)
    rows, columns = np.int32(height), np.int32(width)
    found = False
    if width < LANES:
        own_now, own_out = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32)
        own_motion = np.full(LANES, _NO_MOTION, np.uint32)
        for row in range(height):
            own_now[:width], own_motion[:width] = current[row], motion[row]
            found |= _moves(own_motion, np.uint64(0))
            _warp_lanes(own_now, previous, own_motion, own_out, np.uint64(0), np.int32(0), np.int32(row), columns, rows)
            warped[row] = own_out[:width]
        return found
    for row in range(height):
        for start in range(0, width, LANES):
            # The last lanes of a row end with it.
            column = min(start, width - LANES)
            pixel = np.uint64(row * width + column)
            if _moves(motions, pixel):
                found = True
                _warp_lanes(now, previous, motions, out, pixel, np.int32(column), np.int32(row), columns, rows)
            else:
                for lane in range(LANES):
                    out[pixel + np.uint64(lane)] = now[pixel + np.uint64(lane)]
    return found


@kernel
def blend_within_neighborhood(current, warped, weight, slack, low, high, out):
    """Average of `current` and of `warped` limited to what the current 3x3 neighborhood shows, per channel.

    Source: Karis 2014, "High-quality temporal supersampling" (SIGGRAPH course "Advances in real-time rendering"),
    neighborhood clamping.

    Args:
        current, warped: [H, 4W] uint8, premultiplied channels side by side.
        weight: share of the current picture, in 1/256.
        slack: levels by which the range of the neighborhood is widened.
        low, high: [4W + 8] uint8, scratch.
        out: [H, 4W] uint8, written.
    """
    height, length = current.shape
    share = np.int16(256 - weight)
    low_edge, high_edge = low[4 : length + 4], high[4 : length + 4]
    low_left, low_right = low[:length], low[8 : length + 8]
    high_left, high_right = high[:length], high[8 : length + 8]
    # Loops of one statement on few arrays: each becomes vector code.
    for row in range(height):
        above, middle, beneath = current[max(row - 1, 0)], current[row], current[min(row + 1, height - 1)]
        old, result = warped[row], out[row]
        for index in range(length):
            low_edge[index] = min(min(above[index], middle[index]), beneath[index])
        for index in range(length):
            high_edge[index] = max(max(above[index], middle[index]), beneath[index])
        for channel in range(4):
            low[channel], high[channel] = low[channel + 4], high[channel + 4]
            low[length + 4 + channel], high[length + 4 + channel] = low[length + channel], high[length + channel]
        for index in range(length):
            least = min(min(low_left[index], low_edge[index]), low_right[index])
            result[index] = max(old[index], np.uint8(least - min(least, np.uint8(slack))))
        for index in range(length):
            most = max(max(high_left[index], high_edge[index]), high_right[index])
            result[index] = min(result[index], np.uint8(most + min(np.uint8(np.uint8(255) - most), np.uint8(slack))))
        for index in range(length):
            change = np.int32(np.int32(result[index]) - np.int32(middle[index])) * np.int32(share)
            # Half steps round up from odd levels alone, so that averages do not drift.
            result[index] = np.uint8(middle[index] + (np.int32(change + 127 + (middle[index] & 1)) >> 8))
