"""Head and brows that go with the voice.

Graf, Cosatto, Ström, Huang, "Visual prosody: facial movements accompanying speech", FG 2002: nods of a few degrees and
raised brows accompany pitch accents, and slow turns follow the phrase. Blinks, gaze and sway are not part of it: they
do not follow from the sound.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from avatar.config import FEATURE_RATE_HZ
from training.teacher.prosody import Prosody

NOD_RAD = np.deg2rad(2.6)
"""Of the strongest accent, chin down."""

TURN_RAD = np.deg2rad(0.5)
"""Turn for one semitone of slow pitch movement."""

LEAN_M = 0.002
"""Towards the viewer at full loudness."""

BROW = {"browInnerUp": 0.22, "browOuterUp": 0.16}
"""At the strongest accent."""


def _pulse(rise_s: float, fall_s: float) -> np.ndarray:
    """A smooth bump of height 1 with its peak in the middle of the array."""
    times_s = np.arange(-FEATURE_RATE_HZ // 2, FEATURE_RATE_HZ // 2 + 1) / FEATURE_RATE_HZ
    return np.where(times_s < 0, np.exp(-0.5 * (times_s / rise_s) ** 2), np.exp(-0.5 * (times_s / fall_s) ** 2))


def _spread(pulses: np.ndarray, pulse: np.ndarray) -> np.ndarray:
    half = len(pulse) // 2
    return np.convolve(pulses, pulse)[half : half + len(pulses)]


def nods(pulses: np.ndarray) -> np.ndarray:
    """[R] depth of nods, 0 to about 1: the peak of each accent, quick down and slower back."""
    return _spread(pulses, _pulse(0.09, 0.14))


def brows(pulses: np.ndarray) -> np.ndarray:
    """[R] height of brows, 0 to about 1: up just before the accent, longer back."""
    return _spread(np.roll(pulses, -1), _pulse(0.08, 0.20))


def head_pose(prosody: Prosody, pulses: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Pose of the head.

    Args:
        prosody: R rows.
        pulses: [R], of `accents`.
        speech: [R] from 0 in silence to 1 in speech, smooth.

    Returns:
        float [R, 6], axis-angle (rad) and translation (m).
    """
    slow = gaussian_filter1d(prosody.pitch_semitones, 14.0)
    slope = gaussian_filter1d(np.gradient(gaussian_filter1d(prosody.pitch_semitones, 8.0)) * FEATURE_RATE_HZ, 10.0)
    loud = gaussian_filter1d(np.clip(1.0 + prosody.loudness_db / 25.0, 0.0, 1.0), 10.0)
    pose = np.zeros((len(pulses), 6))
    pose[:, 0] = NOD_RAD * nods(pulses) - np.deg2rad(0.45) * slow - np.deg2rad(0.6)
    pose[:, 1] = TURN_RAD * slow * 1.2
    pose[:, 2] = -np.deg2rad(0.12) * slope
    pose[:, 4] = -0.0006 * nods(pulses)
    pose[:, 5] = LEAN_M * loud
    limit = np.array([0.09, 0.09, 0.09, 0.003, 0.003, 0.003])
    return limit * np.tanh(pose * speech[:, None] / limit)
