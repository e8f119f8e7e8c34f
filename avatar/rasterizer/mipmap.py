"""Textures at halved sizes, and colors for the texels that no triangle uses."""

import numpy as np


def halve(level: np.ndarray) -> np.ndarray:
    """The 2x2 box average of `level` [2h, 2w, C] float32, [h, w, C]."""
    return (0.25 * (level[0::2, 0::2] + level[1::2, 0::2] + level[0::2, 1::2] + level[1::2, 1::2])).astype(level.dtype)


def fill_unused(texture: np.ndarray, used: np.ndarray) -> np.ndarray:
    """`texture` with the unused texels colored like the used ones near them, so that filtering never reads a void.

    Source: the pull-push algorithm of Gortler et al. 1996, "The Lumigraph", section 3.4.2.

    Args:
        texture: [h, w, C] float32; sides a power of two for a complete fill.
        used: [h, w] bool.
    """
    if used.all() or texture.shape[0] % 2 or texture.shape[1] % 2:
        return texture
    weight = used[..., None].astype(np.float32)
    coarse_weight = halve(weight)
    coarse = halve(texture * weight) / np.maximum(coarse_weight, 1e-6)
    coarse = fill_unused(coarse, coarse_weight[..., 0] > 0)
    return np.where(used[..., None], texture, coarse.repeat(2, axis=0).repeat(2, axis=1)).astype(np.float32)
