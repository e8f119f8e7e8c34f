"""PSNR and SSIM of 8-bit pictures."""

import cv2
import numpy as np

PEAK = 255.0
SSIM_SIGMA_PX = 1.5
SSIM_RADIUS_PX = 5
"""The Gaussian window of Wang et al. (2004): 11 x 11 pixels, standard deviation 1.5."""


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two pictures of one shape, on the scale 0 to 255; infinite where they are equal."""
    _check_shapes(first, second)
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Mean SSIM (Wang et al., "Image quality assessment", 2004, eq. 13) of two pictures on the scale 0 to 255.

    Args:
        first: [height, width, channels], each side at least 11 pixels.
        second: likewise.

    Returns:
        Mean over the channels and the pixels whose window lies inside the picture, in [-1, 1].
    """
    _check_shapes(first, second)
    size_px = 2 * SSIM_RADIUS_PX + 1
    if min(first.shape[:2]) < size_px:
        raise ValueError(f"pictures must be at least {size_px} x {size_px} pixels, got {first.shape[:2]}")
    first, second = first.astype(np.float64), second.astype(np.float64)

    def mean(picture: np.ndarray) -> np.ndarray:
        blurred = cv2.GaussianBlur(picture, (size_px, size_px), SSIM_SIGMA_PX)
        return blurred[SSIM_RADIUS_PX:-SSIM_RADIUS_PX, SSIM_RADIUS_PX:-SSIM_RADIUS_PX]

    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_first, mean_second = mean(first), mean(second)
    variance_first = mean(first * first) - mean_first**2
    variance_second = mean(second * second) - mean_second**2
    covariance = mean(first * second) - mean_first * mean_second
    luminance = (2 * mean_first * mean_second + c1) / (mean_first**2 + mean_second**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variance_first + variance_second + c2)))


def _check_shapes(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(
            f"pictures must have one shape [height, width, channels], got {first.shape} and {second.shape}"
        )
