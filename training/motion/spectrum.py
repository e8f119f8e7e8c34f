"""How fast motion moves, by frequency: averaged motion moves less than what it imitates, shaky motion more."""

import numpy as np

from avatar.config import FEATURE_RATE_HZ

BANDS_HZ = {"slow": (0.5, 4.0), "fast": (4.0, 12.0), "tremor": (14.0, 25.0)}
"""Syllables and words; single phones; faster than a face can follow speech."""

SEGMENT_ROWS = 50


def velocity_power(motion: np.ndarray) -> dict[str, float]:
    """Power of the velocity of all channels in each of `BANDS_HZ`, in units of the motion squared per second squared.

    Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Trans. Audio Electroacoustics
    15(2), 1967, over segments of 1 s.

    Args:
        motion: [..., R, channels] at 50 Hz, R at least 51.

    Raises:
        ValueError: if the motion is shorter.
    """
    from scipy.signal import welch

    if motion.shape[-2] <= SEGMENT_ROWS:
        raise ValueError(f"the spectrum needs more than {SEGMENT_ROWS} rows of motion, got {motion.shape[-2]}")
    velocity = np.diff(motion.astype(np.float64), axis=-2) * FEATURE_RATE_HZ
    frequency_hz, density = welch(velocity, FEATURE_RATE_HZ, nperseg=SEGMENT_ROWS, axis=-2)
    step_hz = frequency_hz[1] - frequency_hz[0]
    power = {}
    for name, (low_hz, high_hz) in BANDS_HZ.items():
        inside = (frequency_hz >= low_hz) & (frequency_hz < high_hz)
        power[name] = float(density[..., inside, :].sum(axis=(-2, -1)).mean() * step_hz)
    return power
