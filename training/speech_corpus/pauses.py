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
