"""The whole teacher: an utterance in, its targets at 50 Hz out."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from avatar.config import BLENDSHAPE_COUNT, FEATURE_HOP_SAMPLES, FEATURE_RATE_HZ
from avatar.visemes import VISEME_INDEX, VISEMES, visemes_of
from training.speech_corpus.store import Phone, Utterance
from training.teacher.dominance import Segments, blend, contact
from training.teacher.head_motion import BROW, brows, head_pose
from training.teacher.poses import CHANNELS, VOWELS, columns
from training.teacher.prosody import Prosody, accents, analyze

SHORTEST_SILENCE_S = 0.09
"""Shorter gaps are closures and breaths within speech: the mouth does not go to rest for them."""

FIRST_OF_DIPHTHONG = 0.6
"""Share of a diphthong's time that its first vowel takes."""

OVERSAMPLING = 4
SMOOTHING_S = 0.012

USUAL_PHONES_PER_S = 12.0
CLOSURE_HOLD_S, CLOSURE_RAMP_S = 0.060, 0.060
"""Three rows closed, so that a frame of a 30 FPS film lies within; lips close and part in about 60 ms (Löfqvist,
Gracco, 1997)."""

PRESS, ROLL = 0.15, 0.10
"""`mouthPress` and `mouthRoll` of closed lips."""

TUCK, TUCK_LIFT, TUCK_RAISE = 0.70, 0.50, 0.03
"""`mouthRollLower`, `mouthUpperUp` and extra `mouthClose` of f and v: the lower lip meets the edge of the upper teeth,
which shows."""

VOWEL_INDICES = np.array([VISEME_INDEX[name] for name in VISEMES if name in VOWELS])


@dataclass(frozen=True, eq=False)
class Targets:
    """What the network learns of one utterance, R rows of 20 ms, values at row centers.

    Attributes:
        blendshapes: float32 [R, 52] in [0, 1], ARKit order.
        pose: float32 [R, 6], rad and m.
        viseme: uint8 [R], index into `VISEMES`.
        bilabial: bool [R], where the lips must be closed.
    """

    blendshapes: np.ndarray
    pose: np.ndarray
    viseme: np.ndarray
    bilabial: np.ndarray


def _join_short_silence(phones: tuple[Phone, ...]) -> list[Phone]:
    """Gives short gaps within speech to the phone before them and joins neighbouring silences."""
    joined: list[Phone] = []
    for phone in phones:
        if not phone.ipa and joined and not joined[-1].ipa:
            joined[-1] = Phone("", joined[-1].start_s, phone.end_s)
        else:
            joined.append(phone)
    merged: list[Phone] = []
    for index, phone in enumerate(joined):
        inside = 0 < index < len(joined) - 1
        if not phone.ipa and inside and phone.end_s - phone.start_s < SHORTEST_SILENCE_S:
            before = merged.pop()
            merged.append(Phone(before.ipa, before.start_s, phone.end_s, before.stress))
        else:
            merged.append(phone)
    return merged


def segments_of(phones: tuple[Phone, ...], prosody: Prosody) -> Segments:
    """Splits phones into visemes and sets how far the mouth goes for each.

    Louder and stressed sounds go further, fast speech less far (JALI, section 4.2).
    """
    viseme, start_s, end_s, gain = [], [], [], []
    phones = _join_short_silence(phones)
    has_stress = any(phone.stress for phone in phones)
    for index, phone in enumerate(phones):
        names = visemes_of(phone.ipa)
        nearby = [p for p in phones[max(0, index - 3) : index + 4] if p.ipa]
        span_s = sum(p.end_s - p.start_s for p in nearby)
        pace = len(nearby) / max(span_s, 1e-3)
        rows = prosody.loudness_db[int(phone.start_s * FEATURE_RATE_HZ) : int(phone.end_s * FEATURE_RATE_HZ) + 1]
        loudness_db = float(np.median(rows)) if len(rows) else 0.0
        goes = np.clip((USUAL_PHONES_PER_S / max(pace, 1.0)) ** 0.3, 0.8, 1.15)
        if names[0] in VOWELS:
            goes *= np.clip(1.08 + 0.03 * loudness_db, 0.7, 1.15)
            if has_stress:
                goes *= 1.06 if phone.stress else 0.94
        shares = [1.0]
        if len(names) > 1:
            shares = [FIRST_OF_DIPHTHONG] + [(1.0 - FIRST_OF_DIPHTHONG) / (len(names) - 1)] * (len(names) - 1)
        clock_s = phone.start_s
        for name, share in zip(names, shares, strict=True):
            viseme.append(VISEME_INDEX[name])
            start_s.append(clock_s)
            clock_s += share * (phone.end_s - phone.start_s)
            end_s.append(clock_s)
            gain.append(goes)
    return Segments(np.array(viseme), np.array(start_s), np.array(end_s), np.array(gain))


def _contacts(segments: Segments, name: str, times_s: np.ndarray) -> np.ndarray:
    chosen = segments.viseme == VISEME_INDEX[name]
    return contact(segments.start_s[chosen], segments.end_s[chosen], times_s, CLOSURE_HOLD_S, CLOSURE_RAMP_S)


def mouth(segments: Segments, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [T, 52] of the mouth, and how closed the lips must be [T]."""
    channel = dict(zip(CHANNELS, blend(segments, times_s).T, strict=True))
    closed = _contacts(segments, "PP", times_s)
    tucked = _contacts(segments, "FF", times_s) * (1.0 - closed)
    free = (1.0 - closed) * (1.0 - tucked)
    jaw = channel["jawOpen"] * (1.0 - 0.45 * np.maximum(closed, tucked))
    channel["jawOpen"] = jaw
    channel["mouthClose"] = jaw * np.maximum(closed, tucked) + TUCK_RAISE * tucked
    channel["mouthFunnel"] = channel["mouthFunnel"] * (1.0 - 0.95 * closed) * (1.0 - 0.7 * tucked)
    channel["mouthPucker"] = channel["mouthPucker"] * (1.0 - 0.4 * np.maximum(closed, tucked))
    channel["mouthLowerDown"] = channel["mouthLowerDown"] * free
    channel["mouthUpperUp"] = channel["mouthUpperUp"] * free + TUCK_LIFT * tucked
    channel["mouthPress"] = PRESS * closed
    channel["mouthRollUpper"] = ROLL * closed
    channel["mouthRollLower"] = ROLL * closed + TUCK * tucked
    channel["tongueOut"] = channel["tongueOut"] * free
    coefficients = np.zeros((len(times_s), BLENDSHAPE_COUNT))
    for name, values in channel.items():
        coefficients[:, columns(name)] = values[:, None]
    return coefficients, closed


def teach(utterance: Utterance) -> Targets:
    """Makes the targets of an utterance from its phones and its clean sound."""
    rows = len(utterance.audio) // FEATURE_HOP_SAMPLES
    prosody = analyze(utterance.audio, rows)
    segments = segments_of(utterance.phones, prosody)
    fine_s = (np.arange(rows * OVERSAMPLING) + 0.5) / (FEATURE_RATE_HZ * OVERSAMPLING)
    coefficients, closed = mouth(segments, fine_s)
    smooth = gaussian_filter1d(coefficients, SMOOTHING_S * FEATURE_RATE_HZ * OVERSAMPLING, axis=0)
    # Smoothing must not part closed lips: what a closure asks for stays as it is.
    smooth = closed[:, None] * coefficients + (1.0 - closed[:, None]) * smooth
    middle = slice(OVERSAMPLING // 2, None, OVERSAMPLING)
    blendshapes = smooth[middle]

    times_s = (np.arange(rows) + 0.5) / FEATURE_RATE_HZ
    viseme = segments.viseme[
        np.clip(np.searchsorted(segments.end_s, times_s, side="right"), 0, len(segments.viseme) - 1)
    ]
    speech = np.clip(gaussian_filter1d((viseme != 0).astype(float), 6.0) * 1.15, 0.0, 1.0)
    pulses = accents(prosody, np.isin(viseme, VOWEL_INDICES))
    raised = brows(pulses) * speech
    for name, height in BROW.items():
        blendshapes[:, columns(name)] = np.clip(height * raised, 0.0, 0.35)[:, None]
    return Targets(
        np.clip(blendshapes, 0.0, 1.0).astype(np.float32),
        head_pose(prosody, pulses, speech).astype(np.float32),
        viseme.astype(np.uint8),
        closed[middle] > 0.98,
    )
