"""Puts the stabilized head in front of its background and brings it to the size and encoding a client asked for."""

import cv2
import numpy as np

from avatar import alpha
from avatar.jit import kernel


@kernel
def _over(rgba, background, out):
    """`over` for pixels [N] uint32, red lowest, and [N, 3] uint8."""
    for index in range(rgba.shape[0]):
        pixel = rgba[index]
        if pixel == 0:
            continue
        rest = np.uint32(255) - (pixel >> np.uint32(24))
        for channel in range(3):
            level = (pixel >> np.uint32(8 * channel)) & np.uint32(255)
            if rest:
                # (v + 1 + (v >> 8)) >> 8 is v / 255 for every v that can occur here, to the nearest integer below.
                v = np.uint32(background[index, channel]) * rest + np.uint32(127)
                level = min(level + ((v + np.uint32(1) + (v >> np.uint32(8))) >> np.uint32(8)), np.uint32(255))
            out[index, channel] = np.uint8(level)


def over(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """`rgba` [H, W, 4] uint8, premultiplied, over `background` [H, W, 3] uint8: RGB uint8 [H, W, 3]."""
    out = background.copy()
    _over(np.ascontiguousarray(rgba).view(np.uint32).reshape(-1), background.reshape(-1, 3), out.reshape(-1, 3))
    return out


def cut_out(rgba: np.ndarray) -> np.ndarray:
    """`rgba` [H, W, 4] uint8, premultiplied, with straight alpha, as editors and browsers take it."""
    out = np.empty_like(rgba)
    alpha.unpremultiply(np.ascontiguousarray(rgba).view(np.uint32).reshape(-1), out.view(np.uint32).reshape(-1))
    return out


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """Square picture [S, S, C] uint8, RGB or premultiplied RGBA, to [size, size, C]; area averaging, so that shrinking
    does not alias."""
    if picture.shape[0] == size:
        return picture
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
