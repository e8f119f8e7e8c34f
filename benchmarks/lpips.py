"""LPIPS (Zhang et al., 2018) with the official weights, where a user has them.

torchvision's VGG-16 (`vgg16-397923af.pth`, BSD-3) and the authors' calibration, `lpips/weights/v0.1/vgg.pth` in the
package `lpips` (BSD-2). They are a measure only and no part of what ships.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

Measure = Callable[[np.ndarray, np.ndarray], float]
"""Two pictures [H, W, 3] uint8 RGB, each side at least 16 pixels -> distance, 0 for equal ones."""


def lpips(vgg16: Path, calibration: Path) -> Measure:
    """The measure of these two files of weights; needs torch."""
    import torch

    from training.features.distance import load_calibration, perceptual_distance
    from training.features.stored import load_features

    features = load_features(vgg16)
    weights = load_calibration(calibration, features)

    def measure(first: np.ndarray, second: np.ndarray) -> float:
        with torch.inference_mode():
            tensors = (
                torch.from_numpy(np.ascontiguousarray(p))[None].permute(0, 3, 1, 2).float() / 255.0
                for p in (first, second)
            )
            return float(perceptual_distance(features, *tensors, weights))

    return measure
