"""The last steps of a frame: translucent layer over the opaque surface, silhouettes, straight alpha, fp16 motion."""

import numpy as np

from avatar.jit import inlined, kernel

BAND_ROWS = 16


@kernel
def blend_pairs(pairs, weights, starts, stops, color, change):
    """Move each taking pixel towards the pixel it takes from; all read the colors from before.

    Args:
        pairs: [N, 2] int32, weights: [N] float32, of `silhouette.weigh_crossings`.
        starts, stops: [R] int64, ranges of them to use.
        color: [H, W, 4] uint8, premultiplied, updated.
        change: [N, 4] float32, scratch.
    """
    pixels = color.reshape(-1, 4)
    for part in range(starts.shape[0]):
        for entry in range(starts[part], stops[part]):
            for channel in range(4):
                take, give = np.float32(pixels[pairs[entry, 0], channel]), np.float32(pixels[pairs[entry, 1], channel])
                change[entry, channel] = weights[entry] * (give - take)
    for part in range(starts.shape[0]):
        for entry in range(starts[part], stops[part]):
            for channel in range(4):
                value = np.float32(pixels[pairs[entry, 0], channel]) + change[entry, channel] + np.float32(0.5)
                pixels[pairs[entry, 0], channel] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))


@inlined
def _divide_by_255(value):
    """`value` / 255 rounded to nearest, for uint32 up to 255·255 (Blinn 1995, "Three wrongs make a right")."""
    shifted = value + np.uint32(128)
    return (shifted + (shifted >> np.uint32(8))) >> np.uint32(8)


@kernel
def cover_rows(layer, first_row, last_row, worker, workers, picture):
    """Put `layer` over `picture`, both [H, W] uint32 premultiplied, in the worker's rows of first_row..last_row-1."""
    width = picture.shape[1]
    overs, pixels = layer.reshape(-1), picture.reshape(-1)
    for row in range(first_row, last_row):
        if (row // BAND_ROWS) % workers != worker:
            continue
        start = np.uint64(row * width)
        for pixel in range(start, start + np.uint64(width)):
            over = overs[pixel]
            if over == 0:
                continue
            under, rest = pixels[pixel], np.uint32(255) - (over >> np.uint32(24))
            packed = np.uint32(0)
            for shift in range(0, 32, 8):
                step = np.uint32(shift)
                value = ((over >> step) & np.uint32(255)) + _divide_by_255(((under >> step) & np.uint32(255)) * rest)
                packed |= min(value, np.uint32(255)) << step
            pixels[pixel] = packed


@kernel
def straighten(premultiplied, straight):
    """Premultiplied pixels [N] uint32 to straight alpha."""
    for index in range(premultiplied.shape[0]):
        pixel = premultiplied[index]
        alpha = pixel >> np.uint32(24)
        if pixel != 0 and alpha != 255:
            packed = alpha << np.uint32(24)
            for shift in range(0, 24, 8):
                step = np.uint32(shift)
                value = (((pixel >> step) & np.uint32(255)) * np.uint32(255) + alpha // np.uint32(2)) // max(
                    alpha, np.uint32(1)
                )
                packed |= min(value, np.uint32(255)) << step
            pixel = packed
        straight[index] = pixel


@kernel
def halve_precision(bits, half_bits):
    """IEEE fp16 patterns `half_bits` [N] uint16 of the fp32 patterns `bits` [N] uint32.

    Rounds to nearest even; magnitudes below 2^-14 become 0, which as motion is a hundredth of the snapping grid.
    """
    for index in range(bits.shape[0]):
        pattern = bits[index]
        magnitude = pattern & np.uint32(0x7FFFFFFF)
        rounded = (
            magnitude - np.uint32(0x38000000) + np.uint32(0xFFF) + ((magnitude >> np.uint32(13)) & np.uint32(1))
        ) >> np.uint32(13)
        if magnitude < np.uint32(0x38800000):
            rounded = np.uint32(0)
        if magnitude >= np.uint32(0x477FF000):
            rounded = np.uint32(0x7C00)
        if magnitude > np.uint32(0x7F800000):
            rounded = np.uint32(0x7E00)
        half_bits[index] = np.uint16(((pattern >> np.uint32(16)) & np.uint32(0x8000)) | rounded)
