"""Straight to premultiplied alpha and back, in 8 bits. Pixels are four uint8 in one uint32, red lowest."""

import numpy as np

from avatar.jit import kernel

STRETCH = 64
"""Pixels that are looked at together: most stretches are opaque or empty, and only copied."""


@kernel
def premultiply(straight, premultiplied):
    """Straight-alpha pixels [N] uint32 to premultiplied ones."""
    even, half = np.uint32(0x00FF00FF), np.uint32(0x00800080)
    for index in range(straight.shape[0]):
        pixel = straight[index]
        # Two channels in the 16-bit halves of an integer; v / 255 to the nearest (Blinn 1995).
        alpha = pixel >> np.uint32(24)
        red_blue = (pixel & even) * alpha + half
        green = ((pixel >> np.uint32(8)) & np.uint32(255)) * alpha + np.uint32(128)
        red_blue = ((red_blue + ((red_blue >> np.uint32(8)) & even)) >> np.uint32(8)) & even
        green = (green + (green >> np.uint32(8))) & np.uint32(0xFF00)
        premultiplied[index] = red_blue | green | (alpha << np.uint32(24))


@kernel
def unpremultiply(premultiplied, straight):
    """Premultiplied pixels [N] uint32 to straight-alpha ones; those of alpha 0 become 0."""
    for start in range(0, premultiplied.shape[0], STRETCH):
        pixels, results = premultiplied[start : start + STRETCH], straight[start : start + STRETCH]
        partial = False
        for index in range(pixels.shape[0]):
            alpha = pixels[index] >> np.uint32(24)
            results[index] = pixels[index] if alpha else np.uint32(0)
            partial |= alpha - np.uint32(1) < np.uint32(254)
        if not partial:
            continue
        for index in range(pixels.shape[0]):
            alpha = pixels[index] >> np.uint32(24)
            if alpha - np.uint32(1) >= np.uint32(254):
                continue
            packed = alpha << np.uint32(24)
            for shift in range(0, 24, 8):
                step = np.uint32(shift)
                value = ((pixels[index] >> step) & np.uint32(255)) * np.uint32(255) + (alpha >> np.uint32(1))
                packed |= min(value // alpha, np.uint32(255)) << step
            results[index] = packed
