"""The audio of one session: PCM at the client's rate in, 16 kHz float for the networks and exact slices out."""

import numpy as np
import soxr

from avatar.config import SAMPLE_RATE_HZ
from avatar.errors import InvalidAudioError


class SampleQueue:
    """A growing one-dimensional array addressed by absolute sample number, whose past can be forgotten.

    Attributes:
        start: absolute number of the oldest sample still held.
        end: absolute number one past the newest sample.
    """

    def __init__(self, dtype: np.dtype):
        self._data = np.empty(4096, dtype)
        self.start = 0
        self.end = 0

    def append(self, samples: np.ndarray) -> None:
        count = self.end - self.start
        if count + len(samples) > len(self._data):
            grown = np.empty(max(2 * len(self._data), count + len(samples)), self._data.dtype)
            grown[:count] = self._data[:count]
            self._data = grown
        self._data[count : count + len(samples)] = samples
        self.end += len(samples)

    def read(self, first: int, last: int) -> np.ndarray:
        """Samples [first, last) as a copy, zeros outside [start, end)."""
        out = np.zeros(max(0, last - first), self._data.dtype)
        low, high = max(first, self.start), min(last, self.end)
        if low < high:
            out[low - first : high - first] = self._data[low - self.start : high - self.start]
        return out

    def forget(self, before: int) -> None:
        """Drops samples older than `before`; memory is compacted once half of it is stale."""
        before = min(before, self.end)
        stale = before - self.start
        if stale * 2 < len(self._data):
            return
        self._data = self._data[stale : self.end - self.start].copy()
        self.start = before


def to_float(pcm: np.ndarray) -> np.ndarray:
    """int16 [N] to float32 [N] in [-1, 1)."""
    return pcm.astype(np.float32) * np.float32(1 / 32768)


class StreamingResampler:
    """int16 PCM at any rate to float32 at 16 kHz; the concatenated output does not depend on the input's chunks."""

    def __init__(self, sample_rate_hz: int):
        self._stream = None
        if sample_rate_hz != SAMPLE_RATE_HZ:
            self._stream = soxr.ResampleStream(sample_rate_hz, SAMPLE_RATE_HZ, 1, "float32", "HQ")

    def push(self, pcm: np.ndarray, last: bool = False) -> np.ndarray:
        samples = to_float(pcm)
        if self._stream is None:
            return samples
        return self._stream.resample_chunk(samples, last=last)


def check_pcm(pcm: np.ndarray) -> np.ndarray:
    """The chunk as contiguous int16 [N].

    Raises:
        InvalidAudioError: the chunk is not a one-dimensional int16 array.
    """
    if pcm.ndim != 1 or pcm.dtype != np.int16:
        raise InvalidAudioError(
            f"audio must be mono int16 of shape [N], got {pcm.dtype} of shape {list(pcm.shape)}; "
            "mix down and convert before sending"
        )
    return np.ascontiguousarray(pcm)
