"""The corpus as one long track with its targets, cached per shard."""

import hashlib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from avatar.config import FEATURE_HOP_SAMPLES
from training.audio_encoder import phone_rows
from training.speech_corpus import Utterance, read_shard
from training.speech_corpus.pauses import with_pauses
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
        utterance = with_pauses(utterance, rng)
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
    sources += [root / "training" / "audio_encoder.py", root / "training" / "speech_corpus" / "pauses.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def load_track(shards: list[Path], cache: Path) -> Track:
    """Tracks of shards, from the cache where the teacher has not changed since.

    Raises:
        FileNotFoundError: if there is no shard.
    """
    if not shards:
        raise FileNotFoundError("no speech to train on: run `python -m training.speech_corpus` first")
    cache.mkdir(parents=True, exist_ok=True)
    tracks = []
    for number, shard in enumerate(shards):
        path = cache / f"{shard.parent.name}-{shard.stem}-{_fingerprint()}.npz"
        if not path.exists():
            track = track_of(read_shard(shard), number)
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, **{field.name: getattr(track, field.name) for field in fields(Track)})
            partial.replace(path)
            print(f"{path.name}: {len(track)} rows", flush=True)
        with np.load(path) as arrays:
            tracks.append(Track(**{name: arrays[name] for name in arrays.files}))
    return join(tracks)
