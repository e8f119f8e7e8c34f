"""Loudness, pitch and stress of an utterance."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, median_filter

from avatar.config import FEATURE_HOP_SAMPLES, FEATURE_RATE_HZ, SAMPLE_RATE_HZ

PITCH_RANGE_HZ = (60.0, 450.0)
PITCH_WINDOW_SAMPLES = 1024
VOICED_CORRELATION = 0.5
FLOOR_DB = -60.0


@dataclass(frozen=True, eq=False)
class Prosody:
    """Per row of 20 ms, at its center.

    Attributes:
        loudness_db: float [R], against the loud parts of the utterance, -60 to about 3.
        pitch_semitones: float [R], against the utterance's median, interpolated through unvoiced sounds, smooth.
        voiced: bool [R].
    """

    loudness_db: np.ndarray
    pitch_semitones: np.ndarray
    voiced: np.ndarray


def _framed(audio: np.ndarray, rows: int, window: int) -> np.ndarray:
    padded = np.pad(audio, (window // 2, window))
    starts = np.arange(rows) * FEATURE_HOP_SAMPLES + FEATURE_HOP_SAMPLES // 2
    return np.lib.stride_tricks.sliding_window_view(padded, window)[starts]


def pitch(audio: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Fundamental frequency by normalized autocorrelation.

    Boersma, "Accurate short-term analysis of the fundamental frequency", 1993: the autocorrelation of the windowed
    sound divided by that of the window.

    Returns:
        Frequency in Hz [R], and the correlation at its period [R].
    """
    window = np.hanning(PITCH_WINDOW_SAMPLES)
    size = 2 * PITCH_WINDOW_SAMPLES
    frames = _framed(audio, rows, PITCH_WINDOW_SAMPLES)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window
    power = np.abs(np.fft.rfft(frames, size, axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, :PITCH_WINDOW_SAMPLES]
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)[:PITCH_WINDOW_SAMPLES]
    first, last = (int(SAMPLE_RATE_HZ / frequency_hz) for frequency_hz in reversed(PITCH_RANGE_HZ))
    normalized = correlation[:, first:last] / (correlation[:, :1] + 1e-7) / (of_window[first:last] / of_window[0])
    # A small preference for short periods keeps the octave.
    lag = np.argmax(normalized - 0.08 * np.log2(np.arange(first, last) / first), axis=1)
    return SAMPLE_RATE_HZ / (lag + first), normalized[np.arange(rows), lag]


def analyze(audio: np.ndarray, rows: int) -> Prosody:
    """Measures an utterance.

    Args:
        audio: float32 [samples], 16 kHz, clean.
        rows: how many rows of 20 ms.
    """
    level = np.sqrt(np.mean(_framed(audio, rows, 2 * FEATURE_HOP_SAMPLES) ** 2, axis=1))
    level_db = 20.0 * np.log10(np.maximum(level, 1e-6))
    loud_db = np.percentile(level_db[level_db > level_db.max() - 30.0], 85) if rows else 0.0
    loudness_db = np.maximum(gaussian_filter1d(level_db - loud_db, 1.0), FLOOR_DB)
    frequency_hz, correlation = pitch(audio, rows)
    voiced = (correlation > VOICED_CORRELATION) & (loudness_db > -25.0)
    semitones = np.zeros(rows)
    if voiced.any():
        raw = 12.0 * np.log2(frequency_hz)
        raw = median_filter(np.interp(np.arange(rows), np.flatnonzero(voiced), raw[voiced]), 5)
        semitones = gaussian_filter1d(np.clip(raw - np.median(raw[voiced]), -9.0, 9.0), 2.0)
    return Prosody(loudness_db, semitones, voiced)


def accents(prosody: Prosody, vowel: np.ndarray) -> np.ndarray:
    """Pulses of height 0 to 1 at the most prominent vowels, one row each.

    A vowel stands out by its loudness, its pitch and its length, in the sum of their deviations (Terken, "Fundamental
    frequency and perceived prominence", JASA 89(4), 1991); at most one in 400 ms counts.

    Args:
        prosody: of the utterance, R rows.
        vowel: bool [R], where a vowel sounds.
    """
    pulses = np.zeros(len(vowel))
    if not vowel.any():
        return pulses
    syllable = gaussian_filter1d(vowel.astype(float), 3.0)
    score = prosody.loudness_db.clip(-20.0, 6.0) / 6.0 + prosody.pitch_semitones / 3.0 + 2.0 * syllable
    score = np.where(vowel, gaussian_filter1d(score, 1.5), -np.inf)
    mean, deviation = score[vowel].mean(), score[vowel].std() + 1e-6
    peak = vowel & (score == maximum_filter1d(score, int(0.8 * FEATURE_RATE_HZ) | 1))
    pulses[peak] = np.clip((score[peak] - mean) / (2.0 * deviation), 0.0, 1.0)
    return pulses
