"""Ways in which an enhanced picture falls short, put into good pictures with a label that says which and how much."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BLUR_PX = (0.7, 1.2, 2.0)
"""Standard deviations of a Gaussian."""

GRAIN = (0.02, 0.05, 0.1)
"""Standard deviations of independent noise; 1.0 is white."""

CELLS = (0.25, 0.5, 1.0)
"""Shares of the mean of each cell of 4 x 4 pixels: the enhancer writes its pixels in such cells."""

CELL_PX = 4
LEVELS = 3
CLASS_COUNT = 1 + 3 * LEVELS
"""Class 0 is the picture as it was; class 1 + 3 k + i is level i of distortion k."""


def distort(pictures: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each picture [batch, 3, h, w] in [0, 1] with a random distortion -> the same shape, and classes [batch]."""
    classes = rng.integers(CLASS_COUNT, size=len(pictures))
    changed = [distorted(picture[None], int(label), rng) for picture, label in zip(pictures, classes, strict=True)]
    return torch.cat(changed).clamp(0.0, 1.0), torch.from_numpy(classes)


def distorted(picture: Tensor, label: int, rng: np.random.Generator) -> Tensor:
    """[1, 3, h, w] with the distortion of class `label`, not clipped."""
    if label == 0:
        return picture
    kind, level = divmod(label - 1, LEVELS)
    kinds: tuple[Callable[[], Tensor], ...] = (
        lambda: blurred(picture, BLUR_PX[level]),
        lambda: picture + GRAIN[level] * torch.from_numpy(rng.standard_normal(picture.shape, np.float32)),
        lambda: torch.lerp(picture, celled(picture), CELLS[level]),
    )
    return kinds[kind]()


def blurred(picture: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur of [batch, channels, h, w]; borders are mirrored."""
    radius = int(np.ceil(3 * sigma_px))
    offset = torch.arange(-radius, radius + 1, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma_px).square())
    kernel = (kernel / kernel.sum()).repeat(picture.shape[1], 1)
    padded = functional.pad(picture, (radius,) * 4, mode="reflect")
    rows = functional.conv2d(padded, kernel[:, None, None, :], groups=picture.shape[1])
    return functional.conv2d(rows, kernel[:, None, :, None], groups=picture.shape[1])


def celled(picture: Tensor) -> Tensor:
    """Each cell of 4 x 4 pixels in its mean color; sides must be multiples of 4."""
    return functional.avg_pool2d(picture, CELL_PX).repeat_interleave(CELL_PX, 2).repeat_interleave(CELL_PX, 3)
