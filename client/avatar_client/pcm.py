"""Whatever a caller calls PCM, as int16 mono."""

import numpy as np
from numpy.typing import NDArray

from avatar_client.errors import InvalidAudio

PCM = NDArray[np.int16] | NDArray[np.float32] | NDArray[np.float64] | bytes | bytearray | memoryview

INT16_SCALE = 32768.0
LOUDEST_FLOAT = 4.0
"""Float samples up to this are taken for peaks and clipped; beyond it the scale must be wrong."""


def to_int16(pcm: PCM) -> NDArray[np.int16]:
    """The samples as a new or shared int16 array.

    Args:
        pcm: [samples] mono: int16, or float32/float64 in [-1, 1], or little-endian int16 bytes. May be empty.

    Raises:
        InvalidAudio: not mono, another type, NaN or infinity, half a sample, or a scale that cannot be [-1, 1].
    """
    if isinstance(pcm, (bytes, bytearray, memoryview)):
        raw = bytes(pcm)
        if len(raw) % 2:
            raise InvalidAudio(
                f"PCM bytes must be whole little-endian int16 samples, got {len(raw)} bytes; keep the odd byte back"
            )
        return np.frombuffer(raw, dtype="<i2")
    samples = np.asarray(pcm)
    if samples.ndim != 1:
        raise InvalidAudio(
            f"PCM must be mono with shape [samples], got shape {list(samples.shape)}; mix the channels down first"
        )
    if samples.dtype == np.int16:
        return samples.astype("<i2", copy=True)
    if samples.dtype in (np.float32, np.float64):
        return _from_float(samples)
    if samples.size == 0:
        return np.zeros(0, np.int16)
    raise InvalidAudio(f"PCM must be int16, or float32/float64 in [-1, 1], got {samples.dtype}; convert it first")


def _from_float(samples: NDArray) -> NDArray[np.int16]:
    finite = np.isfinite(samples)
    if not finite.all():
        first = int(np.argmin(finite))
        raise InvalidAudio(
            f"PCM must be finite, got {samples[first]} at sample {first} of this chunk; remove NaN and infinity"
        )
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    if peak > LOUDEST_FLOAT:
        raise InvalidAudio(
            f"float PCM must lie in [-1, 1], got a peak of {peak:g}; divide int16-scaled samples by 32768"
        )
    return np.clip(np.rint(samples * INT16_SCALE), -INT16_SCALE, INT16_SCALE - 1).astype(np.int16)
