"""The last steps of a frame: translucent layer over the opaque surface, silhouettes."""

import numpy as np

from avatar.jit import inlined, kernel


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
def cover_rows(layer, first_row, last_row, picture):
    """Put `layer` over `picture`, both [H, W] uint32 premultiplied, in the rows first_row..last_row-1."""
    width = picture.shape[1]
    overs, pixels = layer.reshape(-1), picture.reshape(-1)
    for row in range(first_row, last_row):
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
