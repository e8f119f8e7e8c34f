"""PSNR, SSIM and multi-scale SSIM of 8-bit pictures."""

import cv2
import numpy as np

PEAK = 255.0
SSIM_SIGMA_PX = 1.5
SSIM_RADIUS_PX = 5
"""The Gaussian window of Wang et al. (2004): 11 x 11 pixels, standard deviation 1.5."""

OCTAVE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the octaves in multi-scale SSIM, the finest first."""


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
    luminance, structure = _ssim_terms(first.astype(np.float64), second.astype(np.float64))
    return float(np.mean(luminance * structure))


def _ssim_terms(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance, and contrast times structure, of each channel and pixel whose window lies inside."""
    size_px = 2 * SSIM_RADIUS_PX + 1

    def mean(picture: np.ndarray) -> np.ndarray:
        blurred = cv2.GaussianBlur(picture, (size_px, size_px), SSIM_SIGMA_PX)
        return blurred[SSIM_RADIUS_PX:-SSIM_RADIUS_PX, SSIM_RADIUS_PX:-SSIM_RADIUS_PX]

    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_first, mean_second = mean(first), mean(second)
    variance_first = mean(first * first) - mean_first**2
    variance_second = mean(second * second) - mean_second**2
    covariance = mean(first * second) - mean_first * mean_second
    luminance = (2 * mean_first * mean_second + c1) / (mean_first**2 + mean_second**2 + c1)
    return luminance, (2 * covariance + c2) / (variance_first + variance_second + c2)


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Multi-scale SSIM (Wang, Simoncelli and Bovik, 2003, eq. 7) over up to five octaves, as many as the size allows.

    Args:
        first: [height, width, channels], each side at least 11 pixels.
        second: likewise.

    Returns:
        Product over the octaves of contrast and structure, and of luminance in the coarsest, each to its weight; the
        weights of the octaves used sum to one. A negative mean counts as 0.
    """
    _check_shapes(first, second)
    size_px = 2 * SSIM_RADIUS_PX + 1
    first, second = first.astype(np.float64), second.astype(np.float64)
    count = sum(min(first.shape[:2]) // 2**octave >= size_px for octave in range(len(OCTAVE_WEIGHTS)))
    if count == 0:
        raise ValueError(f"pictures must be at least {size_px} x {size_px} pixels, got {first.shape[:2]}")
    weights = np.array(OCTAVE_WEIGHTS[:count]) / sum(OCTAVE_WEIGHTS[:count])
    result = 1.0
    for octave, weight in enumerate(weights):
        if octave:
            first, second = (cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in (first, second))
        luminance, structure = _ssim_terms(first, second)
        last = octave == count - 1
        result *= max(float(np.mean(luminance * structure if last else structure)), 0.0) ** weight
    return result


def _check_shapes(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(
            f"pictures must have one shape [height, width, channels], got {first.shape} and {second.shape}"
        )
