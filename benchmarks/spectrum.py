"""How much fine texture a picture has: the energy of its high spatial frequencies in one part of the figure."""

import numpy as np

WINDOW_PX = 32
"""Usual edge of the windows that are analyzed; they overlap by half."""

COVERAGE = 0.98
"""Share of a window that the part must fill, so that its outline is not taken for texture."""

BANDS_PX = ((2.0, 4.0), (4.0, 8.0))
"""Wavelengths from (with) to (without)."""


def band_energy(picture: np.ndarray, region: np.ndarray, window_px: int = WINDOW_PX) -> np.ndarray | None:
    """Energy of luma in each band of wavelengths, the mean over the windows that a region fills.

    Windows are tapered (Hann) and freed of their mean before the Fourier transform (Welch, 1967).

    Args:
        picture: [H, W, 3] uint8 RGB.
        region: [H, W] bool.
        window_px: edge of a window.

    Returns:
        [bands] float64, squared steps of 255 a pixel; None where the region fills no window.
    """
    luma = picture.astype(np.float64) @ (0.299, 0.587, 0.114)
    taper = np.outer(np.hanning(window_px), np.hanning(window_px))
    frequency = np.fft.fftfreq(window_px)
    radius = np.hypot(frequency[:, None], frequency[None])
    bands = [(radius > 1 / long_px) & (radius <= 1 / short_px) for short_px, long_px in BANDS_PX]
    energies = []
    for top in range(0, luma.shape[0] - window_px + 1, window_px // 2):
        for left in range(0, luma.shape[1] - window_px + 1, window_px // 2):
            window = np.s_[top : top + window_px, left : left + window_px]
            if region[window].mean() < COVERAGE:
                continue
            values = luma[window]
            power = np.abs(np.fft.fft2((values - values.mean()) * taper)) ** 2
            energies.append([power[band].sum() for band in bands])
    if not energies:
        return None
    return np.mean(energies, axis=0) / (window_px**2 * np.square(taper).sum())
