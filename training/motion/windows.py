"""Batches of windows at random places of the track."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from avatar.config import FEATURE_HOP_SAMPLES, WindowConfig
from training.motion.targets import Track
from training.speech_corpus.augment import HISTORY_SAMPLES, AugmentConfig, Augmenter

BEGINS_SHARE, ENDS_SHARE = 0.15, 0.05
"""Windows in which the audio begins or ends: outside of it are zeros, as in a session."""


@dataclass(frozen=True, eq=False)
class Batch:
    """B windows of 75 rows, all tensors on one device; types and ranges as in `Track`, but float32 and int64."""

    audio: torch.Tensor
    blendshapes: torch.Tensor
    pose: torch.Tensor
    viseme: torch.Tensor
    phone: torch.Tensor
    bilabial: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class WindowSampler:
    """Endless batches of one or more tracks in given proportions."""

    def __init__(self, tracks: list[Track], shares: list[float], augment: AugmentConfig, seed: int):
        self.replace(tracks, shares)
        self._rng = np.random.default_rng(seed)
        self._augmenter = Augmenter(augment, tracks[0].audio, seed)
        self._rows = WindowConfig().window_rows

    def replace(self, tracks: list[Track], shares: list[float]) -> None:
        """Draws from these tracks from now on."""
        self._tracks = tracks
        self._shares = np.array(shares) / np.sum(shares)

    def _place(self, track: Track) -> tuple[int, int, int]:
        """First row of a window, and the rows [first, last) of the track that can be heard in it."""
        kind = self._rng.random()
        rows = self._rows
        if kind < BEGINS_SHARE:
            start = int(self._rng.choice(track.starts[:-1]))
            return start + int(self._rng.integers(8, rows)) - rows, start, len(track)
        if kind < BEGINS_SHARE + ENDS_SHARE:
            end = int(self._rng.choice(track.starts[1:]))
            return end + int(self._rng.integers(1, 40)) - rows, 0, end
        return int(self._rng.integers(0, len(track) - rows)), 0, len(track)

    def _window(self, track: Track) -> tuple[np.ndarray, ...]:
        start, first, last = self._place(track)
        index = np.arange(start, start + self._rows)
        heard = (index >= first) & (index < last) & (index < len(track)) & (index >= 0)
        index = np.clip(index, 0, len(track) - 1)
        samples = np.arange(start * FEATURE_HOP_SAMPLES - HISTORY_SAMPLES, (start + self._rows) * FEATURE_HOP_SAMPLES)
        inside = (samples >= first * FEATURE_HOP_SAMPLES) & (samples < min(last, len(track)) * FEATURE_HOP_SAMPLES)
        audio = track.audio[np.clip(samples, 0, len(track.audio) - 1)].astype(np.float32) / 32767 * inside
        audio, speaks = self._augmenter(audio)
        audio = audio * inside[HISTORY_SAMPLES:]
        heard = heard & speaks
        keep = heard[:, None]
        return (
            audio.astype(np.float32),
            track.blendshapes[index] * keep,
            track.pose[index] * keep,
            track.viseme[index] * heard,
            track.phone[index] * heard,
            track.bilabial[index] & heard,
        )

    def batch(self, size: int) -> Batch:
        """Draws `size` windows."""
        chosen = self._rng.choice(len(self._tracks), size, p=self._shares)
        columns = [np.stack(column) for column in zip(*(self._window(self._tracks[i]) for i in chosen), strict=True)]
        types = (np.float32, np.float32, np.float32, np.int64, np.int64, np.bool_)
        return Batch(*(torch.from_numpy(column.astype(kind)) for column, kind in zip(columns, types, strict=True)))

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self.batch(16)
