"""The corpus as one long track with its targets, cached per shard."""

import hashlib
import os
import zlib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from avatar.config import FEATURE_HOP_SAMPLES
from training.audio_encoder import phone_rows
from training.speech_corpus import Utterance, read_shard
from training.speech_corpus.laughs import with_laugh
from training.speech_corpus.pauses import with_breath, with_pauses
from training.teacher import teach


@dataclass(frozen=True, eq=False)
class Track:
    """Sentences one after another, R rows of 20 ms.

    Attributes:
        audio: int16 [R·320], 16 kHz, clean.
        blendshapes: float16 [R, 52].
        pose: float16 [R, 6].
        viseme: uint8 [R].
        phone: uint8 [R], index into `training.audio_encoder.PHONES`.
        bilabial: bool [R], where the lips must be closed.
        starts: int64 [U], first row of each sentence, in its leading silence.
    """

    audio: np.ndarray
    blendshapes: np.ndarray
    pose: np.ndarray
    viseme: np.ndarray
    phone: np.ndarray
    bilabial: np.ndarray
    starts: np.ndarray

    def __post_init__(self):
        if len(self.audio) != len(self) * FEATURE_HOP_SAMPLES:
            raise ValueError(
                f"a track of {len(self)} rows must have {FEATURE_HOP_SAMPLES} samples each, got {len(self.audio)}"
            )

    def __len__(self) -> int:
        return len(self.viseme)


def join(tracks: list[Track]) -> Track:
    """One after the other."""
    offsets = np.cumsum([0, *(len(track) for track in tracks[:-1])])
    parts = {
        name: np.concatenate([getattr(track, name) for track in tracks])
        for name in (field.name for field in fields(Track))
        if name != "starts"
    }
    starts = np.concatenate([track.starts + offset for track, offset in zip(tracks, offsets, strict=True)])
    return Track(**parts, starts=starts)


def track_of(utterances: list[Utterance], seed: int) -> Track:
    """Teaches every utterance and lays them one after another."""
    rng = np.random.default_rng(seed)
    parts = []
    for utterance in utterances:
        utterance = with_laugh(with_breath(with_pauses(utterance, rng), rng), rng)
        targets = teach(utterance)
        parts.append(
            Track(
                np.round(utterance.audio * 32767).astype(np.int16),
                targets.blendshapes.astype(np.float16),
                targets.pose.astype(np.float16),
                targets.viseme,
                phone_rows(utterance.phones, len(targets.viseme)),
                targets.bilabial,
                np.zeros(1, np.int64),
            )
        )
    return join(parts)


@cache
def _fingerprint() -> str:
    """Of the code that makes targets."""
    root = Path(__file__).parents[2]
    sources = [*sorted((root / "training" / "teacher").glob("*.py")), root / "avatar" / "visemes.py", Path(__file__)]
    sources += [root / "training" / "audio_encoder.py"]
    sources += [root / "training" / "speech_corpus" / name for name in ("pauses.py", "laughs.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def load_track(shard: Path, cache: Path) -> Track:
    """The track of a shard, from the cache where the teacher has not changed since."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{shard.parent.name}-{shard.stem}-{_fingerprint()}.npz"
    if not path.exists():
        track = track_of(read_shard(shard), zlib.crc32(shard.stem.encode()))
        # Two trainings may make the same targets at once.
        partial = path.with_suffix(f".{os.getpid()}.partial.npz")
        np.savez(partial, **{field.name: getattr(track, field.name) for field in fields(Track)})
        partial.replace(path)
        print(f"{path.name}: {len(track)} rows", flush=True)
    with np.load(path) as arrays:
        return Track(**{name: arrays[name] for name in arrays.files})


class Corpus:
    """The tracks of all shards of a folder, and of those that appear in it later."""

    def __init__(self, folder: Path, cache: Path, shares: dict[str, float]):
        """`shares`: part of the windows by source; a shard is named `<source>-<number>.npz`."""
        self._folder, self._cache, self._source_shares = folder, cache, shares
        self._tracks: dict[Path, Track] = {}

    def refresh(self, most: int | None = None) -> bool:
        """Loads at most `most` new shards; whether there were any."""
        found = [path for name in self._source_shares for path in self._folder.glob(f"{name}-*[0-9].npz")]
        new = sorted(path for path in found if path not in self._tracks)[:most]
        self._tracks |= {path: load_track(path, self._cache) for path in new}
        return bool(new)

    @property
    def tracks(self) -> list[Track]:
        return list(self._tracks.values())

    @property
    def shares(self) -> list[float]:
        """Part of the windows by track: a source's share is spread over its shards by their length."""
        rows: dict[str, int] = {}
        for path, track in self._tracks.items():
            source = path.stem.rpartition("-")[0]
            rows[source] = rows.get(source, 0) + len(track)
        return [
            self._source_shares[source] * len(track) / rows[source]
            for source, track in ((path.stem.rpartition("-")[0], track) for path, track in self._tracks.items())
        ]
