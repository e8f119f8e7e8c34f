"""Perceptual distance of pictures: how far their features are apart.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018 (LPIPS), eq. 1.
With VGG-16 and the authors' calibration it is LPIPS itself; without a calibration it is their unweighted baseline.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.features.network import Features

SQUARE_FLOOR = 1e-8
"""Added to the squared length of a feature, so that the gradient stays finite where nothing is active."""


def perceptual_distance(
    features: Features, first: Tensor, second: Tensor, calibration: Sequence[Tensor] | None = None
) -> Tensor:
    """Squared difference of unit-length features, averaged over the picture and summed over blocks.

    Args:
        features: frozen; gradients flow to the pictures.
        first: [batch, 3, h, w] RGB in [0, 1].
        second: likewise.
        calibration: a weight for each channel of each block, [channels] each, at least 0; None weights all by 1.

    Returns:
        [batch], at least 0, and 0 for equal pictures.
    """
    total = first.new_zeros(len(first))
    for index, (a, b) in enumerate(zip(features(first), features(second), strict=True)):
        apart = (_unit(a) - _unit(b)).square()
        if calibration is not None:
            apart = apart * calibration[index].reshape(1, -1, 1, 1)
        total = total + apart.sum(dim=1).mean(dim=(1, 2))
    return total


def load_calibration(path: Path, features: Features) -> tuple[Tensor, ...]:
    """The channel weights of LPIPS, `lpips/weights/v0.1/vgg.pth` in the package `lpips` (BSD-2).

    Raises:
        ValueError: they do not fit the features.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    weights = tuple(value.flatten().float() for _, value in sorted(state.items()))
    wanted = [block[-1] for block in features.layout]
    if [len(weight) for weight in weights] != wanted:
        raise ValueError(
            f"{path} must have a weight for each channel of {wanted}, got {[len(weight) for weight in weights]}: "
            "the calibration of LPIPS for VGG-16 goes with torchvision's VGG-16"
        )
    return weights


def _unit(activation: Tensor) -> Tensor:
    return activation * (activation.square().sum(dim=1, keepdim=True) + SQUARE_FLOOR).rsqrt()
