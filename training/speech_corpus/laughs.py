"""Laughs between sentences: bouts of breathy calls behind which nothing is articulated.

Bachorowski, Smoski and Owren, "The acoustic features of human laughter", JASA 110(3), 2001: laughs differ widely in how
they are produced and in pitch, but not in articulation: the vowels are central throughout. So one vowel of drawn
formants serves a bout, voiced or not, and the lips follow the jaw.
"""

import numpy as np
from scipy.signal import lfilter

from avatar.config import FEATURE_HOP_SAMPLES, SAMPLE_RATE_HZ
from training.speech_corpus.store import Phone, Utterance

LAUGH_SHARE = 0.04
"""Of the sentences, one laugh after each."""

LEAD_S = (0.15, 0.6)
"""Silence before and after it."""

CALLS = (2, 9)
CALL_S, GAP_S = (0.06, 0.17), (0.04, 0.14)
PITCH_HZ = (110.0, 520.0)
VOICED_SHARE = 0.6
FORMANTS_HZ = ((450.0, 800.0), (1150.0, 1700.0), (2300.0, 3000.0), (3300.0, 4000.0))
BANDWIDTHS_HZ = (110.0, 130.0, 180.0, 250.0)
LEVEL_RMS = (0.03, 0.12)


def _filtered(source: np.ndarray, formants_hz: np.ndarray) -> np.ndarray:
    """A cascade of resonators (Klatt, "Software for a cascade/parallel formant synthesizer", JASA 67, 1980)."""
    for formant_hz, bandwidth_hz in zip(formants_hz, BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * bandwidth_hz / SAMPLE_RATE_HZ)
        b, c = 2.0 * radius * np.cos(2.0 * np.pi * formant_hz / SAMPLE_RATE_HZ), -(radius**2)
        source = lfilter([1.0 - b - c], [1.0, -b, -c], source)
    return source


def laugh(rng: np.random.Generator) -> tuple[np.ndarray, tuple[Phone, ...]]:
    """A bout: float32 [samples] at 16 kHz, and its phones from 0 s on, h and the open-mid central vowel by turns."""
    calls = int(rng.integers(*CALLS))
    fall = np.linspace(1.0, rng.uniform(0.5, 1.0), calls)
    call_s, gap_s = rng.uniform(*CALL_S), rng.uniform(*GAP_S)
    pitch_hz, is_voiced = np.exp(rng.uniform(*np.log(PITCH_HZ))), rng.random() < VOICED_SHARE
    formants_hz = np.array([rng.uniform(*span) for span in FORMANTS_HZ])
    pieces, phones, time_s = [], [], 0.0
    for call in range(calls):
        parts_s = np.array([gap_s, call_s]) * rng.uniform(0.85, 1.2, 2)
        aspirated, voiced = (int(part_s * SAMPLE_RATE_HZ) for part_s in parts_s)
        count = aspirated + voiced
        loudness = np.concatenate([np.full(aspirated, 0.25), 0.25 + 0.75 * np.hanning(voiced)]) * fall[call]
        source = rng.standard_normal(count) * (0.3 if is_voiced else 1.0)
        if is_voiced:
            glide = np.linspace(1.1, 0.9, voiced) * (1.0 + 0.02 * rng.standard_normal())
            phase = np.cumsum(pitch_hz * fall[call] ** 0.5 * glide / SAMPLE_RATE_HZ)
            pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(SAMPLE_RATE_HZ / pitch_hz)
            source[aspirated:] += lfilter([1.0], [1.0, -0.9], pulses)
        pieces.append(source * loudness)
        for ipa, length in (("h", aspirated), ("ʌ", voiced)):
            phones.append(Phone(ipa, time_s, time_s + length / SAMPLE_RATE_HZ))
            time_s = phones[-1].end_s
    sound = _filtered(np.concatenate(pieces), formants_hz)
    sound *= rng.uniform(*LEVEL_RMS) / (np.sqrt(np.mean(sound**2)) + 1e-9)
    return np.clip(sound, -1.0, 1.0).astype(np.float32), tuple(phones)


def with_laugh(utterance: Utterance, rng: np.random.Generator) -> Utterance:
    """Sometimes the speaker laughs after the sentence; the whole fills rows exactly."""
    if rng.random() >= LAUGH_SHARE:
        return utterance
    sound, phones = laugh(rng)
    lead, trail = (np.zeros(int(rng.uniform(*LEAD_S) * SAMPLE_RATE_HZ), np.float32) for _ in range(2))
    audio = np.concatenate([utterance.audio, lead, sound, trail])
    audio = np.pad(audio, (0, -len(audio) % FEATURE_HOP_SAMPLES))
    begin_s = (len(utterance.audio) + len(lead)) / SAMPLE_RATE_HZ
    end_s = begin_s + len(sound) / SAMPLE_RATE_HZ
    spoken = (
        *utterance.phones,
        Phone("", utterance.phones[-1].end_s, begin_s),
        *(Phone(p.ipa, p.start_s + begin_s, p.end_s + begin_s) for p in phones),
        Phone("", end_s, len(audio) / SAMPLE_RATE_HZ),
    )
    return Utterance(audio, spoken, utterance.text, utterance.voice)
