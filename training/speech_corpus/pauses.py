"""Silence around sentences."""

import numpy as np

from avatar.config import FEATURE_HOP_SAMPLES, SAMPLE_RATE_HZ
from training.speech_corpus.store import Phone, Utterance

PAUSE_S = (0.15, 0.8)
LONG_PAUSE_S = 2.5
LONG_PAUSE_SHARE = 0.08
"""Between sentences is silence, sometimes so long that a window holds nothing else."""


def with_pauses(utterance: Utterance, rng: np.random.Generator) -> Utterance:
    """Silence before and after, so that the whole fills rows exactly."""
    before_s, after_s = rng.uniform(*PAUSE_S, 2)
    if rng.random() < LONG_PAUSE_SHARE:
        after_s = LONG_PAUSE_S
    before = int(before_s * SAMPLE_RATE_HZ)
    total = before + len(utterance.audio) + int(after_s * SAMPLE_RATE_HZ)
    total = -(-total // FEATURE_HOP_SAMPLES) * FEATURE_HOP_SAMPLES
    audio = np.zeros(total, np.float32)
    audio[before : before + len(utterance.audio)] = utterance.audio
    shift_s = before / SAMPLE_RATE_HZ
    end_s = shift_s + utterance.duration_s
    phones = (
        Phone("", 0.0, shift_s),
        *(Phone(p.ipa, p.start_s + shift_s, p.end_s + shift_s, p.stress) for p in utterance.phones),
        Phone("", end_s, total / SAMPLE_RATE_HZ),
    )
    return Utterance(audio, phones, utterance.text, utterance.voice)


BREATH_SHARE = 0.25
BREATH_S = (0.2, 0.6)
BREATH_RMS = (0.002, 0.02)
BREATH_BAND_HZ = (300.0, 5000.0)


def with_breath(utterance: Utterance, rng: np.random.Generator) -> Utterance:
    """Sometimes a breath is taken in the silence before the first phone: noise that moves no lips."""
    silence_s = utterance.phones[0].end_s if not utterance.phones[0].ipa else 0.0
    length_s = min(rng.uniform(*BREATH_S), silence_s - 0.04)
    if rng.random() >= BREATH_SHARE or length_s < BREATH_S[0]:
        return utterance
    count = int(length_s * SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency_hz = np.fft.rfftfreq(count, 1.0 / SAMPLE_RATE_HZ)
    low_hz, high_hz = BREATH_BAND_HZ
    spectrum /= np.maximum(frequency_hz / low_hz, low_hz / np.maximum(frequency_hz, 1.0)) ** 0.7
    spectrum[frequency_hz > high_hz] *= 0.1
    breath = np.fft.irfft(spectrum, count) * np.hanning(count) ** 0.5
    breath *= rng.uniform(*BREATH_RMS) / (np.sqrt(np.mean(breath**2)) + 1e-9)
    audio = utterance.audio.copy()
    end = int((silence_s - 0.02) * SAMPLE_RATE_HZ)
    audio[end - count : end] += breath.astype(np.float32)
    return Utterance(audio, utterance.phones, utterance.text, utterance.voice)
