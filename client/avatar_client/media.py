"""Sound files as a stream of int16 mono chunks.

PyAV is used because one wheel decodes every common format, resamples, and needs no FFmpeg on the machine.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from avatar_client.errors import InvalidAudio
from avatar_client.types import MAXIMUM_SAMPLE_RATE_HZ, MINIMUM_SAMPLE_RATE_HZ

STANDARD_INPUT = "-"
_RATE_FOR_LOW_RATES_HZ = 16_000
_FLOAT_FORMATS = ("flt", "fltp", "dbl", "dblp")
_log = logging.getLogger(__name__)


class AudioFile:
    """A sound file opened for one pass: WAV, FLAC, MP3, OGG and whatever else FFmpeg reads; any rate and channels.

    Nothing but the chunk at hand is kept in memory. Opening decodes up to the first samples, so that a file that is no
    sound fails here and not halfway.

    Attributes:
        sample_rate_hz: rate of the chunks: the file's own from 8 to 48 kHz, else 48 kHz above and 16 kHz below.
        duration_s: length the file claims, or None where it does not say.
    """

    def __init__(self, path: str | Path):
        """Opens a file, or standard input for `-`.

        Raises:
            InvalidAudio: there is no such file, it cannot be read, is empty, is no sound, or holds no samples.
        """
        self._name = "standard input" if str(path) == STANDARD_INPUT else str(path)
        self._container = _open_container(path, self._name)
        try:
            self._stream = self._sound_stream()
            source_rate_hz = self._stream.rate
            self.sample_rate_hz = delivered_rate_hz(source_rate_hz)
            self.duration_s = self._claimed_duration_s()
            self._resampler = AudioResampler(format="s16", layout="mono", rate=self.sample_rate_hz)
            self._decoded_samples = 0
            self._blocks = self._decode()
            self._first = next(self._blocks, None)
            if self._first is None:
                raise InvalidAudio(f"{self._name} holds no sound: 0 samples at {source_rate_hz} Hz; give a recording")
        except BaseException:
            self._container.close()
            raise

    def chunks(self, chunk_s: float = 0.5) -> Iterator[NDArray[np.int16]]:
        """Yields [samples] int16 mono chunks of `chunk_s` seconds, the last one shorter.

        Raises:
            InvalidAudio: a float file holds NaN or infinity.
        """
        size = max(1, round(chunk_s * self.sample_rate_hz))
        held: list[NDArray[np.int16]] = []
        held_samples = 0
        for block in self._all_blocks():
            held.append(block)
            held_samples += block.size
            if held_samples >= size:
                joined = np.concatenate(held)
                whole = held_samples // size * size
                for start in range(0, whole, size):
                    yield joined[start : start + size]
                held, held_samples = [joined[whole:]], held_samples - whole
        if held_samples:
            yield np.concatenate(held)

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _sound_stream(self):
        if not self._container.streams.audio:
            kinds = sorted({stream.type for stream in self._container.streams}) or ["nothing"]
            raise InvalidAudio(f"{self._name} must hold an audio stream, got {', '.join(kinds)}; give a sound file")
        stream = self._container.streams.audio[0]
        if not stream.rate:
            raise InvalidAudio(f"{self._name} states no sample rate, so it cannot be decoded; convert it to WAV first")
        return stream

    def _claimed_duration_s(self) -> float | None:
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / av.time_base if self._container.duration else None

    def _all_blocks(self) -> Iterator[NDArray[np.int16]]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._blocks

    def _decode(self) -> Iterator[NDArray[np.int16]]:
        """Yields whatever the decoder gives at a time, resampled. A damaged packet is left out, as players do."""
        damaged = 0
        for packet in self._packets():
            try:
                frames: Sequence[Any] = packet.decode()
            except av.error.InvalidDataError:
                damaged += 1
                continue
            for frame in frames:
                self._refuse_not_finite(frame)
                self._decoded_samples += frame.samples
                frame.pts = None
                yield from self._resampled(frame)
        yield from self._resampled(None)
        if damaged:
            _log.warning("%s: left out %d damaged packets", self._name, damaged)

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux(self._stream)
        except (av.error.EOFError, av.error.InvalidDataError) as error:
            _log.warning("%s ends early: %s", self._name, error)
        except OSError as error:
            raise InvalidAudio(f"{self._name} cannot be read to its end: {error}") from error

    def _resampled(self, frame: av.AudioFrame | None) -> Iterator[NDArray[Any]]:
        if frame is None and self._decoded_samples == 0:
            return
        for block in self._resampler.resample(frame):
            if block.samples:
                yield block.to_ndarray().reshape(-1)

    def _refuse_not_finite(self, frame: av.AudioFrame) -> None:
        if frame.format.name not in _FLOAT_FORMATS:
            return
        finite = np.isfinite(frame.to_ndarray())
        if finite.all():
            return
        channels = frame.layout.nb_channels
        by_sample = finite.all(axis=0) if frame.format.is_planar else finite.reshape(-1, channels).all(axis=1)
        position_s = (self._decoded_samples + int(np.argmin(by_sample))) / frame.sample_rate
        raise InvalidAudio(
            f"{self._name} must hold finite samples, got NaN or infinity at {position_s:.3f} s; repair the recording"
        )


def delivered_rate_hz(source_rate_hz: int) -> int:
    """The rate at which a file of this rate is delivered: its own where the server takes it."""
    if source_rate_hz > MAXIMUM_SAMPLE_RATE_HZ:
        return MAXIMUM_SAMPLE_RATE_HZ
    if source_rate_hz < MINIMUM_SAMPLE_RATE_HZ:
        return _RATE_FOR_LOW_RATES_HZ
    return source_rate_hz


def _open_container(path: str | Path, name: str):
    if str(path) == STANDARD_INPUT:
        source = sys.stdin.buffer
    else:
        source = str(path)
        if not Path(path).exists():
            raise InvalidAudio(f"there is no file {name}; check the path")
        if Path(path).is_dir():
            raise InvalidAudio(f"{name} must be a sound file, got a folder")
        if Path(path).is_file() and Path(path).stat().st_size == 0:
            raise InvalidAudio(f"{name} is empty: 0 bytes; give a recording")
    try:
        return av.open(source, mode="r", metadata_errors="replace")
    except PermissionError as error:
        raise InvalidAudio(f"{name} cannot be read: permission denied; check its mode and owner") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InvalidAudio(
            f"{name} is not a sound file that can be decoded ({_reason(error)}); give WAV, FLAC, MP3 or OGG"
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
