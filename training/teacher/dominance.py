"""Co-articulation by dominance functions, and lip contacts that nothing may override.

Cohen and Massaro, "Modeling coarticulation in synthetic visual speech", in Models and Techniques in Computer
Animation, 1993: every segment pulls on every articulator with D(t) = α·exp(−θ·|τ|), and the articulator follows Σ D·T
/ Σ D, eq. 1 to 3. Here τ is the time outside the segment's core, so that long sounds hold their aim.
"""

from dataclasses import dataclass

import numpy as np

from training.teacher.poses import AIMS, GROUP_OF_CHANNEL, STRENGTHS

ATTACK_S = np.array([0.055, 0.120, 0.080, 0.050])
"""Time constant before a segment, by group: rounding begins about two phones early."""

DECAY_S = np.array([0.060, 0.070, 0.070, 0.050])
"""Time constant after a segment, by group."""

CORE_SHARE = 0.4
"""Middle part of a sound that holds its aim."""

SILENCE_EASE_S = 0.10
"""Silence holds rest except this long at its ends, in which the mouth prepares and lets go."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Visemes in order of time, S of them.

    Attributes:
        viseme: int [S], index into `VISEMES`.
        start_s, end_s: float [S], without gaps.
        gain: float [S], how far the articulators go for it, about 1.
    """

    viseme: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    gain: np.ndarray


def cores(segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Start and end [S] of the part that holds the aim."""
    duration_s = segments.end_s - segments.start_s
    margin_s = 0.5 * (1.0 - CORE_SHARE) * duration_s
    margin_s = np.where(segments.viseme == 0, np.minimum(SILENCE_EASE_S, 0.45 * duration_s), margin_s)
    return segments.start_s + margin_s, segments.end_s - margin_s


def blend(segments: Segments, times_s: np.ndarray) -> np.ndarray:
    """Coefficients that the segments agree on.

    Args:
        segments: S visemes.
        times_s: float [T].

    Returns:
        float [T, 8] in the order of `CHANNELS`.
    """
    core_start_s, core_end_s = cores(segments)
    before_s = np.maximum(core_start_s - times_s[:, None], 0.0)[:, :, None]
    after_s = np.maximum(times_s[:, None] - core_end_s, 0.0)[:, :, None]
    dominance = STRENGTHS[segments.viseme] * np.exp(-(before_s / ATTACK_S + after_s / DECAY_S))
    aims = AIMS[segments.viseme] * segments.gain[:, None]
    total = dominance.sum(axis=1)
    blended = np.empty((len(times_s), AIMS.shape[1]))
    for group in range(STRENGTHS.shape[1]):
        channels = np.flatnonzero(group == GROUP_OF_CHANNEL)
        weights = dominance[:, :, group] / np.maximum(total[:, group : group + 1], 1e-30)
        blended[:, channels] = weights @ aims[:, channels]
    return blended


def contact(start_s: np.ndarray, end_s: np.ndarray, times_s: np.ndarray, hold_s: float, ramp_s: float) -> np.ndarray:
    """How far a contact is made: 1 while it holds, with raised-cosine approach and release.

    Args:
        start_s, end_s: float [C] of the sounds that need it.
        times_s: float [T].
        hold_s: least time at 1, so that at least one frame of a 30 FPS film shows it.
        ramp_s: length of approach and of release.

    Returns:
        float [T] in [0, 1].
    """
    if len(start_s) == 0:
        return np.zeros(len(times_s))
    middle_s = 0.5 * (start_s + end_s)
    half_s = np.maximum(0.5 * (end_s - start_s), 0.5 * hold_s)
    outside_s = np.maximum(np.abs(times_s[:, None] - middle_s) - half_s, 0.0)
    return (0.5 + 0.5 * np.cos(np.pi * np.minimum(outside_s / ramp_s, 1.0))).max(axis=1)
