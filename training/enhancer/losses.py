"""How far an enhanced frame is from the path-traced one.

Colors are compared over a background, so that a color counts as much as it shows; alpha is compared by itself.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from training.enhancer.config import LossConfig

SSIM_WINDOW_PX = 8
"""Edge of the uniform window of the structure term; windows overlap by half."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Scalar terms, before their weights."""

    pixel: Tensor
    detail: Tensor
    structure: Tensor

    def total(self, config: LossConfig) -> Tensor:
        return config.pixel * self.pixel + config.detail * self.detail + config.structure * self.structure

    def values(self) -> dict[str, float]:
        """The terms by name."""
        return {field.name: getattr(self, field.name).item() for field in fields(self)}


def losses(picture: Tensor, truth: Tensor, attention: Tensor, background: Tensor, config: LossConfig) -> Losses:
    """Terms of a batch.

    Args:
        picture: [batch, 4, h, w] premultiplied RGBA of the network, 1.0 is white, may leave [0, 1].
        truth: [batch, 4, h, w] premultiplied RGBA in [0, 1].
        attention: [batch, 1, h, w] weights; they are brought to a mean of one.
        background: [batch, 3, 1, 1] or [batch, 3, h, w] color in [0, 1] behind both.
        config: number of detail bands.
    """
    weight = attention / attention.mean()
    got, wanted = over(picture, background), over(truth, background)
    return Losses(
        pixel=(weight * (got - wanted).abs()).mean(),
        detail=detail_difference(got - wanted, weight, config.detail_levels),
        structure=(functional.avg_pool2d(weight, 8, 4) * (1.0 - ssim_map(got[:, :3], wanted[:, :3]))).mean(),
    )


def over(picture: Tensor, background: Tensor) -> Tensor:
    """[batch, 4, h, w] premultiplied RGBA over a background -> RGB as seen, and the unclipped alpha."""
    alpha = picture[:, 3:]
    return torch.cat([picture[:, :3] + background * (1.0 - alpha.clamp(0.0, 1.0)), alpha], dim=1)


def detail_difference(difference: Tensor, weight: Tensor, levels: int) -> Tensor:
    """Weighted mean of the absolute Laplacian bands of a difference of pictures.

    The Laplacian pyramid (Burt and Adelson, 1983) is linear: the band of the difference is the difference of the bands.
    Bands are averaged with equal weight, although coarse ones have fewer pixels.
    """
    total = difference.new_zeros(())
    for _ in range(levels):
        coarse = functional.avg_pool2d(difference, 2)
        band = difference - functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = total + (weight * band.abs()).mean()
        difference, weight = coarse, functional.avg_pool2d(weight, 2)
    return total / levels


def ssim_map(first: Tensor, second: Tensor) -> Tensor:
    """SSIM (Wang et al., 2004, eq. 13) in uniform windows of 8 x 8 pixels, every 4 pixels, per channel.

    Args:
        first: [batch, channels, h, w], 1.0 is white.
        second: likewise.

    Returns:
        [batch, channels, (h - 8) / 4 + 1, (w - 8) / 4 + 1] in [-1, 1].
    """

    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, SSIM_WINDOW_PX, SSIM_WINDOW_PX // 2)

    c1, c2 = 0.01**2, 0.03**2
    mean_first, mean_second = mean(first), mean(second)
    variance_first = (mean(first * first) - mean_first**2).clamp(min=0.0)
    variance_second = (mean(second * second) - mean_second**2).clamp(min=0.0)
    covariance = mean(first * second) - mean_first * mean_second
    luminance = (2 * mean_first * mean_second + c1) / (mean_first**2 + mean_second**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_first + variance_second + c2)
