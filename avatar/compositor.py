"""Puts the stabilized head in front of its background and brings it to the size and encoding a client asked for."""

import cv2
import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def _over(rgba, background, out):
    height, width = out.shape[:2]
    for y in range(height):
        for x in range(width):
            alpha = np.uint32(rgba[y, x, 3])
            rest = np.uint32(255) - alpha
            for c in range(3):
                # (v + 1 + (v >> 8)) >> 8 is v / 255 for every v that can occur here, to the nearest integer below.
                v = np.uint32(rgba[y, x, c]) * alpha + np.uint32(background[y, x, c]) * rest + np.uint32(127)
                out[y, x, c] = (v + np.uint32(1) + (v >> np.uint32(8))) >> np.uint32(8)


def over(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """`rgba` [H, W, 4] uint8, straight alpha, over `background` [H, W, 3] uint8: RGB uint8 [H, W, 3]."""
    out = np.empty(background.shape, np.uint8)
    _over(rgba, background, out)
    return out


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """Square picture [S, S, C] uint8 to [size, size, C]; area averaging, so that shrinking does not alias."""
    if picture.shape[0] == size:
        return picture
    if picture.shape[2] == 4:
        alpha = picture[..., 3:].astype(np.float32) / 255
        color = cv2.resize(picture[..., :3] * alpha, (size, size), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_AREA)[..., None]
        color = color / np.maximum(alpha, 1 / 255)
        return np.rint(np.concatenate([color, alpha * 255], -1)).clip(0, 255).astype(np.uint8)
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
