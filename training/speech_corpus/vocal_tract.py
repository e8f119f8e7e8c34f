"""Other vocal tracts on the fly: the spectral envelope bent along frequency, pitch and times unchanged.

After Jaitly, Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition", ICML WDLASL 2013, but on the
cepstrally smoothed envelope, so that harmonics stay where they are. Coarser than `vocoder.py`, and a hundred times
faster.
"""

import numpy as np
from scipy import fft
from scipy.ndimage import maximum_filter1d

from avatar.config import SAMPLE_RATE_HZ

FRAME_SAMPLES = 512
HOP_SAMPLES = FRAME_SAMPLES // 2
ENVELOPE_COEFFICIENTS = 32
"""Of the cepstrum, 2 ms: below the period of the highest voice, above the detail of formants."""

HARMONIC_BINS = 5
"""The envelope lies on the harmonics: the loudest of so many bins, 156 Hz, stands for the valleys between them."""

KNOTS_HZ = np.array([0.0, 700.0, 1800.0, 3500.0, 8000.0])
LARGEST_GAIN = 4.0
"""Natural logarithm of amplitude, 35 dB."""

_WINDOW = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)).astype(np.float32)


def draw_warp(rng: np.random.Generator) -> np.ndarray:
    """Where each bin of another speaker's envelope comes from: float [bins], in bins, rising.

    One factor for the length of the tract, and a smaller one of its own for each region of formants.
    """
    length = np.exp(rng.uniform(-0.18, 0.18))
    knots_hz = KNOTS_HZ * length * np.exp(rng.uniform(-0.07, 0.07, len(KNOTS_HZ)))
    bins = FRAME_SAMPLES // 2
    frequency_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, bins + 1)
    return np.clip(np.interp(frequency_hz, knots_hz, KNOTS_HZ) * (2 * bins / SAMPLE_RATE_HZ), 0.0, bins)


def bend(audio: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """Gives speech another envelope.

    Args:
        audio: float32 [samples], 16 kHz.
        warp: float [FRAME_SAMPLES / 2 + 1], the bin that each bin's envelope is taken from.

    Returns:
        float32 [samples]; half a frame at both ends fades.
    """
    count = len(audio)
    padded = np.pad(audio.astype(np.float32), (0, -(count - FRAME_SAMPLES) % HOP_SAMPLES))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::HOP_SAMPLES]
    spectrum = fft.rfft(frames * _WINDOW, axis=1)
    cepstrum = fft.irfft(maximum_filter1d(np.log(np.abs(spectrum) + 1e-4), HARMONIC_BINS, axis=1), axis=1)
    cepstrum[:, ENVELOPE_COEFFICIENTS : FRAME_SAMPLES - ENVELOPE_COEFFICIENTS + 1] = 0.0
    envelope = fft.rfft(cepstrum, axis=1).real
    low = np.minimum(warp.astype(int), envelope.shape[1] - 2)
    part = (warp - low).astype(np.float32)
    bent = envelope[:, low] + part * (envelope[:, low + 1] - envelope[:, low])
    spectrum *= np.exp(np.clip(bent - envelope, -LARGEST_GAIN, LARGEST_GAIN))
    pieces = fft.irfft(spectrum, axis=1) * _WINDOW
    sound = np.zeros(len(padded), np.float32)
    sound[: len(pieces) * HOP_SAMPLES] += pieces[:, :HOP_SAMPLES].ravel()
    sound[HOP_SAMPLES : (len(pieces) + 1) * HOP_SAMPLES] += pieces[:, HOP_SAMPLES:].ravel()
    return sound[:count]
