"""Tells path-traced crops from enhanced ones, patch by patch, given the raster.

Sources: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017 (patches of 34 pixels);
Wang et al., "High-Resolution Image Synthesis with Conditional GANs", 2018 (the same at half size).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

PICTURE_CHANNELS = 4
"""Color over a background, and alpha."""

DETAIL_GAIN = 10.0
"""Fine texture is a few hundredths of white; raised to the size of colors it is learned in far fewer steps."""

SLOPE = 0.2
"""Of the ReLUs below zero."""


class Discriminator(nn.Module):
    """Four convolutions of 4 x 4, the first two with stride 2, at each of several scales.

    No layer normalizes over the batch or the crop: the penalty on its gradient keeps it tame, and a crop's verdict does
    not depend on the others.
    """

    def __init__(self, channels: tuple[int, int, int] = (24, 48, 64), scales: int = 2):
        super().__init__()
        self.scales = nn.ModuleList(_patches(channels) for _ in range(scales))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
                nn.init.zeros_(layer.bias)

    def forward(self, picture: Tensor, raster: Tensor) -> list[Tensor]:
        """Verdicts of the patches of each scale, greater for path-traced.

        Args:
            picture: [crops, 4, h, w], color over a background and alpha, 1.0 is white.
            raster: likewise, what the picture was made from.

        Returns:
            [crops, 1, h / 4 - 2, w / 4 - 2] of full size, then of half, and so on.
        """
        verdicts = []
        for scale in self.scales:
            verdicts.append(
                scale(torch.cat([2.0 * picture - 1.0, DETAIL_GAIN * detail(picture), 2.0 * raster - 1.0], 1))
            )
            picture, raster = functional.avg_pool2d(picture, 2), functional.avg_pool2d(raster, 2)
        return verdicts


def detail(picture: Tensor) -> Tensor:
    """What the mean of 3 x 3 pixels lacks: [crops, channels, h, w], about 0."""
    return picture - functional.avg_pool2d(functional.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, 1)


def _patches(channels: tuple[int, int, int]) -> nn.Sequential:
    first, second, third = channels
    return nn.Sequential(
        nn.Conv2d(3 * PICTURE_CHANNELS, first, 4, 2, 1), nn.LeakyReLU(SLOPE),
        nn.Conv2d(first, second, 4, 2, 1), nn.LeakyReLU(SLOPE),
        nn.Conv2d(second, third, 4, 1, 1), nn.LeakyReLU(SLOPE),
        nn.Conv2d(third, 1, 4, 1, 1),
    )  # fmt: skip
