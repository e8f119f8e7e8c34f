"""Puts the stabilized head in front of its background and brings it to the size and encoding a client asked for."""

import cv2
import numpy as np

from avatar.jit import kernel


@kernel
def _over(rgba, background, out):
    """`over` for pixels [N] uint32, red lowest, and [N, 3] uint8."""
    for index in range(rgba.shape[0]):
        pixel = rgba[index]
        alpha = pixel >> np.uint32(24)
        if alpha == 0:
            continue
        rest = np.uint32(255) - alpha
        for channel in range(3):
            level = (pixel >> np.uint32(8 * channel)) & np.uint32(255)
            if rest:
                # (v + 1 + (v >> 8)) >> 8 is v / 255 for every v that can occur here, to the nearest integer below.
                v = level * alpha + np.uint32(background[index, channel]) * rest + np.uint32(127)
                level = (v + np.uint32(1) + (v >> np.uint32(8))) >> np.uint32(8)
            out[index, channel] = np.uint8(level)


def over(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """`rgba` [H, W, 4] uint8, straight alpha, over `background` [H, W, 3] uint8: RGB uint8 [H, W, 3]."""
    out = background.copy()
    _over(np.ascontiguousarray(rgba).view(np.uint32).reshape(-1), background.reshape(-1, 3), out.reshape(-1, 3))
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
