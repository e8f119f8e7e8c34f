"""Batches of windows at random places of the track."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from avatar.config import FEATURE_HOP_SAMPLES, WindowConfig
from training.motion.targets import Track
from training.speech_corpus.augment import HISTORY_SAMPLES, AugmentConfig, Augmenter
from training.speech_corpus.recordings import ADAPTATION

SHARES = {"kokoro": 0.45, "piper": 0.18, "flite": 0.14, "pico": 0.15, "espeak": 0.08}
"""Part of the windows by source, of those that there is speech of: natural voices count more. Speech of a source that
is not named here is not trained on."""


def shares_with(recorded: float) -> dict[str, float]:
    """`SHARES`, and recorded people's part of all windows.

    Args:
        recorded: in [0, 1). Weights that learn from these recordings carry their licence (docs/data.md).
    """
    if not 0.0 <= recorded < 1.0:
        raise ValueError(f"the share of recorded people must be in [0, 1), got {recorded}")
    if not recorded:
        return SHARES
    people = {f"recorded-{language}": recorded / len(ADAPTATION) for language in ADAPTATION}
    return {source: (1.0 - recorded) * share for source, share in SHARES.items()} | people


BEGINS_SHARE, ENDS_SHARE = 0.15, 0.05
"""Windows in which the audio begins or ends: outside of it are zeros, as in a session."""

RESAMPLED_SHARE, LARGEST_SPEED = 0.6, 1.3
"""Windows played faster or slower, by up to this factor: pitch, formants and pace change together."""


@dataclass(frozen=True, eq=False)
class Batch:
    """B windows of up to 75 rows, all tensors on one device; types and ranges as in `Track`, but float32 and int64."""

    audio: torch.Tensor
    blendshapes: torch.Tensor
    pose: torch.Tensor
    viseme: torch.Tensor
    phone: torch.Tensor
    bilabial: torch.Tensor

    def tail(self, rows: int) -> "Batch":
        """The last `rows` of each window."""
        audio = self.audio[:, -rows * FEATURE_HOP_SAMPLES :]
        return Batch(audio, *(getattr(self, name)[:, -rows:] for name in list(self.__dataclass_fields__)[1:]))

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def encoded_pieces(audio: torch.Tensor, piece_samples: int) -> torch.Tensor:
    """What the audio encoder sees of windows that are longer than what a session encodes at once.

    Args:
        audio: [batch, samples], at most twice as long as a piece.

    Returns:
        [batch, samples] where that is no longer than a piece, else the beginnings, then the ends,
        [2 * batch, piece_samples].
    """
    if audio.shape[1] <= piece_samples:
        return audio
    return torch.cat([audio[:, :piece_samples], audio[:, -piece_samples:]])


def whole_windows(rows: torch.Tensor, window_rows: int) -> torch.Tensor:
    """Features [batch, window_rows, width] of those of `encoded_pieces`; where both know a row, the end counts."""
    if rows.shape[1] == window_rows:
        return rows
    begins, ends = rows.chunk(2)
    return torch.cat([begins[:, : window_rows - ends.shape[1]], ends], dim=1)


def _sampled(audio: np.ndarray, places: np.ndarray) -> np.ndarray:
    """int16 [samples] at fractional `places`, float32 in [-1, 1], linear between samples."""
    begin = np.floor(places).astype(int)
    after = (places - begin).astype(np.float32)
    left, right = (audio[np.clip(begin + step, 0, len(audio) - 1)].astype(np.float32) for step in (0, 1))
    return (left + after * (right - left)) / 32767


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

    def _place(self, track: Track, rows: int) -> tuple[int, int, int]:
        """First row of a window of `rows`, and the rows [first, last) of the track that can be heard in it."""
        kind = self._rng.random()
        if kind < BEGINS_SHARE:
            start = int(self._rng.choice(track.starts[:-1]))
            return start + int(self._rng.integers(8, rows)) - rows, start, len(track)
        if kind < BEGINS_SHARE + ENDS_SHARE:
            end = int(self._rng.choice(track.starts[1:]))
            return end + int(self._rng.integers(1, 40)) - rows, 0, end
        return int(self._rng.integers(0, len(track) - rows)), 0, len(track)

    def _speed(self) -> float:
        if self._rng.random() >= RESAMPLED_SHARE:
            return 1.0
        return LARGEST_SPEED ** self._rng.uniform(-1.0, 1.0)

    def _window(self, track: Track) -> tuple[np.ndarray, ...]:
        speed = self._speed()
        start, first, last = self._place(track, int(np.ceil(self._rows * speed)))
        last = min(last, len(track))
        index = start + np.floor((np.arange(self._rows) + 0.5) * speed).astype(int)
        heard = (index >= first) & (index < last) & (index >= 0)
        index = np.clip(index, 0, len(track) - 1)
        places = np.arange(-HISTORY_SAMPLES, self._rows * FEATURE_HOP_SAMPLES) * speed + start * FEATURE_HOP_SAMPLES
        inside = (places >= max(0, first) * FEATURE_HOP_SAMPLES) & (places < last * FEATURE_HOP_SAMPLES)
        audio = _sampled(track.audio, places) * inside
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
