"""Compiled loops of the picture's moving average. Pixels are four uint8 in one uint32, red lowest, premultiplied by
alpha."""

import numpy as np

from avatar.jit import inlined, kernel

_LANES = np.uint64(0x00FF00FF00FF00FF)
_HALF = np.uint64(0x0080008000800080)
_FAR = 65536.0


@kernel
def premultiply(straight, premultiplied):
    """Straight-alpha pixels [N] uint32 to premultiplied ones; returns whether any has a color or alpha at all."""
    seen = np.uint32(0)
    for index in range(straight.shape[0]):
        pixel = straight[index]
        seen |= pixel
        alpha = pixel >> np.uint32(24)
        if alpha != 255:
            packed = alpha << np.uint32(24)
            for shift in range(0, 24, 8):
                step = np.uint32(shift)
                value = ((pixel >> step) & np.uint32(255)) * alpha + np.uint32(128)
                packed |= ((value + (value >> np.uint32(8))) >> np.uint32(8)) << step
            pixel = packed
        premultiplied[index] = pixel
    return seen != 0


@kernel
def unpremultiply(premultiplied, straight):
    """Premultiplied pixels [N] uint32 to straight-alpha ones."""
    for index in range(straight.shape[0]):
        pixel = premultiplied[index]
        alpha = pixel >> np.uint32(24)
        if alpha == 0:
            pixel = np.uint32(0)
        elif alpha != 255:
            packed = alpha << np.uint32(24)
            for shift in range(0, 24, 8):
                step = np.uint32(shift)
                value = (((pixel >> step) & np.uint32(255)) * np.uint32(255) + (alpha >> np.uint32(1))) // alpha
                packed |= min(value, np.uint32(255)) << step
            pixel = packed
        straight[index] = pixel


@kernel
def widen(half_bits, words):
    """fp16 patterns [N] uint16 to fp32 patterns [N] uint32 of the value times 2^-112; NaN and infinity come out as
    65536 and more."""
    for index in range(half_bits.shape[0]):
        half = np.uint32(half_bits[index])
        words[index] = ((half & np.uint32(0x8000)) << np.uint32(16)) | ((half & np.uint32(0x7FFF)) << np.uint32(13))


@inlined
def _spread(color):
    """Channels 0, 2, 1, 3 of `color` in the 16-bit lanes of a uint64."""
    wide = np.uint64(color)
    return (wide & np.uint64(0x00FF00FF)) | ((wide & np.uint64(0xFF00FF00)) << np.uint64(24))


@kernel
def warp(current, previous, motion, warped):
    """The previous picture as it would look now: at each pixel p, `previous` at p + motion, bilinear.

    Args:
        current, previous: [H, W] uint32, premultiplied.
        motion: [H, W, 2] float32, pixels times 2^-112, as `widen` leaves it.
        warped: [H, W] uint32, written; where there is no motion, or it leads off the picture, the current pixel.

    Returns:
        Number of pixels with a motion.
    """
    height, width = current.shape
    now, before, out, motions = current.reshape(-1), previous.reshape(-1), warped.reshape(-1), motion.reshape(-1)
    unscale, steps = np.float32(2.0**112), np.float32(256)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    found = 0
    for row in range(height):
        pixel = np.uint64(row * width)
        for column in range(width):
            x_motion = motions[pixel + pixel] * unscale
            y_motion = motions[pixel + pixel + np.uint64(1)] * unscale
            if not (abs(x_motion) < _FAR and abs(y_motion) < _FAR):
                out[pixel] = now[pixel]
                pixel += np.uint64(1)
                continue
            found += 1
            x, y = np.float32(column) + x_motion, np.float32(row) + y_motion
            if x < -0.5 or y < -0.5 or x > right + np.float32(0.5) or y > bottom + np.float32(0.5):
                out[pixel] = now[pixel]
                pixel += np.uint64(1)
                continue
            x, y = min(max(x, np.float32(0)), right), min(max(y, np.float32(0)), bottom)
            x_fixed = np.uint64(np.int64(x * steps + np.float32(0.5)))
            y_fixed = np.uint64(np.int64(y * steps + np.float32(0.5)))
            x_part, y_part = x_fixed & np.uint64(255), y_fixed & np.uint64(255)
            start = (y_fixed >> np.uint64(8)) * np.uint64(width) + (x_fixed >> np.uint64(8))
            # A part is 0 in the last column and row: their missing neighbors have no weight.
            beside = np.uint64(1) if x_part else np.uint64(0)
            below = np.uint64(width) if y_part else np.uint64(0)
            lower_right = (x_part * y_part + np.uint64(128)) >> np.uint64(8)
            total = _spread(before[start]) * (np.uint64(256) - x_part - y_part + lower_right)
            total += _spread(before[start + beside]) * (x_part - lower_right)
            total += _spread(before[start + below]) * (y_part - lower_right)
            total += _spread(before[start + below + beside]) * lower_right
            total = ((total + _HALF) >> np.uint64(8)) & _LANES
            out[pixel] = np.uint32((total | (total >> np.uint64(24))) & np.uint64(0xFFFFFFFF))
            pixel += np.uint64(1)
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
