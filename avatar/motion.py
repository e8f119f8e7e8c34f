"""The motion track of one run of audio: overlapping windows merged into one 50 Hz track that frames sample.

Every rule here depends on absolute time alone, never on how the audio was cut into chunks or on the frame rate.
"""

import math
from dataclasses import dataclass

import numpy as np

from avatar.config import BLENDSHAPE_COUNT, FEATURE_RATE_HZ, VISEME_COUNT, WindowConfig
from avatar.visemes import VISEME_INDEX

POSE_COUNT = 6
ROW_COUNT = BLENDSHAPE_COUNT + POSE_COUNT + VISEME_COUNT
SMOOTHING = (0.25, 0.5, 0.25)
"""Weights of a row and of those beside it in its window: takes all that changes from row to row (25 Hz), half of what
does so at 12.5 Hz. A closure of the lips holds three rows at least, so its middle stays closed."""

FADE_ROWS = 2
"""Rows over which the track passes from one window to the next (40 ms)."""


@dataclass(frozen=True, slots=True)
class Motion:
    """What the face does at one moment or over rows of them.

    Attributes:
        blendshapes: [..., 52] float32, ARKit coefficients in Apple's order, in [0, 1].
        pose: [..., 6] float32, head rotation (rad, axis-angle x y z) and translation (m).
        viseme: [..., 20] float32, probabilities.
    """

    blendshapes: np.ndarray
    pose: np.ndarray
    viseme: np.ndarray

    def packed(self) -> np.ndarray:
        return np.concatenate([self.blendshapes, self.pose, self.viseme], axis=-1).astype(np.float32, copy=False)

    @classmethod
    def unpack(cls, rows: np.ndarray) -> "Motion":
        """rows: [..., 78] float32, the three parts side by side."""
        return cls(*np.split(rows, [BLENDSHAPE_COUNT, BLENDSHAPE_COUNT + POSE_COUNT], axis=-1))

    @classmethod
    def rest(cls, rows: int | None = None) -> "Motion":
        """Lips closed, head upright, silent: one moment, or `rows` of them."""
        packed = np.zeros((rows or 1, ROW_COUNT), np.float32)
        packed[:, BLENDSHAPE_COUNT + POSE_COUNT + VISEME_INDEX["sil"]] = 1.0
        return cls.unpack(packed if rows else packed[0])


class MotionTrack:
    """Merges the motion of window n = 0, 1, 2, … into rows of 20 ms.

    Window n settles the hop_rows rows up to row n·hop_rows, which begin `lead_rows` before its end: every settled row
    had at least `lookahead_ms - slack_ms - hop_ms` of audio after its centre, and any time t is settled once the audio
    up to t + lookahead_ms - slack_ms is there. The first FADE_ROWS of them are cross-faded from window n-1, which
    removes the step that two windows' different contexts would leave. Before that all are smoothed inside their window,
    which costs no look-ahead: the row after is there.
    """

    def __init__(self, window: WindowConfig):
        self._window = window
        self._rows = np.zeros((0, ROW_COUNT), np.float32)
        self._first_row = 0
        self._previous: np.ndarray | None = None
        self._windows = 0

    @property
    def settled_rows(self) -> int:
        return max(0, self._first_row + len(self._rows))

    def add(self, motion: Motion) -> None:
        """Takes the motion of the next window: [window_rows, ...] each."""
        packed = smoothed(motion.packed())
        hop = self._window.hop_rows
        first = (self._windows - 1) * hop + 1
        local = self._window.window_rows - self._window.lead_rows
        settled = packed[local : local + hop].copy()
        if self._previous is not None:
            fade = min(FADE_ROWS, hop, self._window.lead_rows - hop)
            weight = (np.arange(1, fade + 1, dtype=np.float32) / (fade + 1))[:, None]
            settled[:fade] = weight * settled[:fade] + (1 - weight) * self._previous[local + hop : local + hop + fade]
        self._previous = packed
        self._windows += 1
        self._rows = np.concatenate([self._rows, settled[max(0, -first) :]])

    def frames_after(self, windows: int, fps: int) -> int:
        """How many frames from time 0 are settled once `windows` windows have been added."""
        rows = (windows - 1) * self._window.hop_rows + 1
        # Row centres lie at (row + 0.5) / 50 s; the last settled one is row `rows - 1`.
        return math.floor(round((rows - 0.5) * fps / FEATURE_RATE_HZ, 9)) + 1 if rows > 0 else 0

    def is_settled(self, time_s: float) -> bool:
        return math.ceil(max(0.0, _position(time_s))) < self.settled_rows

    def sample(self, time_s: float) -> Motion:
        """Motion at `time_s`, linear between row centres; the time must be settled and not forgotten."""
        position = max(0.0, _position(time_s) - self._first_row)
        row = int(position)
        fraction = np.float32(position - row)
        if fraction == 0:
            return Motion.unpack(self._rows[row])
        return Motion.unpack((1 - fraction) * self._rows[row] + fraction * self._rows[row + 1])

    def forget(self, before_s: float) -> None:
        """Drops rows that no frame at or after `before_s` needs."""
        stale = int(max(0.0, _position(before_s))) - self._first_row
        if stale > 256:
            self._rows = self._rows[stale:].copy()
            self._first_row += stale


def smoothed(rows: np.ndarray) -> np.ndarray:
    """A window's rows [R, ...] by `SMOOTHING`; the first and the last as they are."""
    before, own, after = (np.float32(weight) for weight in SMOOTHING)
    result = rows.copy()
    result[1:-1] = before * rows[:-2] + own * rows[1:-1] + after * rows[2:]
    return result


def _position(time_s: float) -> float:
    # Row i holds the value at its centre, (i + 0.5) / 50 s. Rounding to 1 ns keeps k/fps on the same side of a row for
    # every path.
    return round(time_s * FEATURE_RATE_HZ - 0.5, 9)
