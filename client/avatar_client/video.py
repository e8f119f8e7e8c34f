"""Frames and their sound as a video file, encoded on a thread of its own.

The wheel of PyAV carries x264, which is GPL software; `docs/client.md` says what follows from that.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from avatar_client.errors import AvatarClientError, InvalidRequest
from avatar_client.types import Frame

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_FRAME_SAMPLES = 1024
_QUEUED_FRAMES = 32
_END = None
_BT709, _LIMITED_RANGE = 1, 1


class VideoError(AvatarClientError):
    """The video cannot be written."""


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How to encode.

    Attributes:
        codecs: encoders by preference; the first that this build of FFmpeg has is used.
        preset: x264's speed.
        tuning: x264's parameters on top of its preset. The default is `ultrafast` with what costs little:
            B-frames in a fixed pattern, deblocking, arithmetic coding; see docs/client.md.
        crf: x264's constant rate factor; lower is better and larger.
        bit_rate_bps: for the encoders without a rate factor.
        threads: encoder threads; one leaves the other cores to the server.
        audio_bit_rate_bps: of the AAC track.
    """

    codecs: Sequence[str] = field(default=("libx264", "libopenh264", "mpeg4"))
    preset: str = "ultrafast"
    tuning: str = "bframes=3:b-adapt=0:no-deblock=0:cabac=1"
    crf: int = 17
    bit_rate_bps: int = 4_000_000
    threads: int = 1
    audio_bit_rate_bps: int = 96_000


class VideoWriter:
    """Writes H.264 and AAC into MP4, MOV or MKV. The file appears under its name once it is complete.

    A frame is shown at (index - first index) / fps, and its slice of sound starts at that same time; where an
    interruption skipped frames the previous picture stays and the sound is silent. So both tracks keep one clock
    however long the session is.
    """

    def __init__(self, path: str | Path, fps: int, sample_rate_hz: int, settings: VideoSettings = VideoSettings()):
        """Checks the path; the encoder starts with the first frame, which tells the size.

        Raises:
            InvalidRequest: the suffix names no known container.
            VideoError: the folder is missing or cannot be written.
        """
        self.path = Path(path)
        self.frames = 0
        container = CONTAINERS.get(self.path.suffix.lower())
        if container is None:
            raise InvalidRequest(f"the video must end in {', '.join(CONTAINERS)}, got {self.path.name!r}")
        if self.path.is_dir():
            raise VideoError(f"{self.path} must be a file to write, got a folder")
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self._file = open(self._partial, "w+b")  # noqa: SIM115 - closed by _finish_thread
        except OSError as error:
            raise VideoError(
                f"cannot write to {self.path.parent or '.'}: {error.strerror}; give another path"
            ) from error
        self._tracks = _Tracks(self._file, container, fps, sample_rate_hz, settings)
        self._queue: queue.Queue[Frame | None] = queue.Queue(_QUEUED_FRAMES)
        self._failure: Exception | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._encode, name="avatar-encoder", daemon=True)
        self._thread.start()

    def write(self, frame: Frame) -> None:
        """Hands a frame with a raw RGB image to the encoder; waits while 32 frames are queued.

        Raises:
            VideoError: encoding has failed, or the frame has no RGB image.
        """
        if self._closed:
            raise VideoError(f"{self.path} is closed")
        if frame.image is None or frame.image.ndim != 3 or frame.image.shape[2] != 3:
            shape = None if frame.image is None else list(frame.image.shape)
            raise VideoError(
                f"a video frame must be a raw RGB image [height, width, 3], got {shape}; open the session so"
            )
        self._raise_failure()
        self._queue.put(frame)
        self.frames += 1

    def close(self) -> None:
        """Finishes the file and gives it its name. Without any frame there is no file.

        Raises:
            VideoError: encoding has failed; no file is left.
        """
        if self._closed:
            return
        self._finish_thread()
        if self._failure is not None or self.frames == 0:
            self._partial.unlink(missing_ok=True)
            self._raise_failure()
            return
        os.replace(self._partial, self.path)

    def abort(self) -> None:
        """Gives up: stops encoding and leaves no file."""
        if not self._closed:
            self._failure = self._failure or VideoError(f"{self.path} was given up")
            self._finish_thread()
            self._partial.unlink(missing_ok=True)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _finish_thread(self) -> None:
        self._closed = True
        self._queue.put(_END)
        self._thread.join()
        self._file.close()

    def _encode(self) -> None:
        """Encodes until the end; after a failure only empties the queue, so that `write` never waits for nothing."""
        while (frame := self._queue.get()) is not _END:
            if self._failure is None:
                self._try(self._tracks.write, frame)
        if self._failure is None:
            self._try(self._tracks.close)
        self._tracks.release()

    def _try(self, action, *arguments) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001 - raised again by write() and close()
            self._failure = error

    def _raise_failure(self) -> None:
        if isinstance(self._failure, VideoError):
            raise self._failure
        if self._failure is not None:
            raise VideoError(f"cannot encode {self.path}: {self._failure}") from self._failure


class _Tracks:
    """The two encoders and the muxer; used by one thread."""

    def __init__(self, file, container: str, fps: int, sample_rate_hz: int, settings: VideoSettings):
        options = {"movflags": "+faststart"} if container in ("mp4", "mov") else {}
        self._container: Any = av.open(file, mode="w", format=container, options=options)
        self._fps, self._rate_hz, self._settings = fps, sample_rate_hz, settings
        self._video: Any = None
        self._audio: Any = None
        self._first_index = 0
        self._sound: NDArray[np.int16] = np.zeros(0, np.int16)
        self._encoded_samples = 0

    def write(self, frame: Frame) -> None:
        assert frame.image is not None  # VideoWriter.write refuses others
        if self._video is None:
            self._open(frame, *frame.image.shape[:2])
        position = frame.index - self._first_index
        self._mux(self._video, _yuv(frame.image, position, self._fps))
        if self._audio is not None:
            self._add_sound(position, frame.audio)

    def close(self) -> None:
        if self._video is not None:
            for packet in self._video.encode():
                self._container.mux(packet)
        if self._audio is not None:
            self._encode_sound(self._sound)
            for packet in self._audio.encode():
                self._container.mux(packet)
        self._container.close()

    def release(self) -> None:
        """Lets go of the muxer while its file is still open: it writes to it until the very end."""
        with contextlib.suppress(Exception):
            self._container.close()
        self._container = self._video = self._audio = None

    def _open(self, frame: Frame, height: int, width: int) -> None:
        self._first_index = frame.index
        settings = self._settings
        codec = available_codec(settings.codecs)
        of_x264 = {"preset": settings.preset, "x264-params": settings.tuning, "crf": str(settings.crf)}
        options = of_x264 if codec == "libx264" else {}
        self._video = self._container.add_stream(codec, rate=self._fps, options=options)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        context = self._video.codec_context
        context.time_base = Fraction(1, self._fps)
        context.thread_count = settings.threads
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        if not options:
            context.bit_rate = settings.bit_rate_bps
        if frame.audio is not None:
            self._open_audio()

    def _open_audio(self) -> None:
        track_rate_hz = next((rate for rate in _AAC_RATES_HZ if rate >= self._rate_hz), _AAC_RATES_HZ[-1])
        # FFmpeg's faster search: half the time of its default, and truer to speech at 5 % more bits.
        self._audio = self._container.add_stream("aac", rate=track_rate_hz, options={"aac_coder": "fast"})
        self._audio.codec_context.layout = "mono"
        self._audio.codec_context.format = "fltp"
        self._audio.codec_context.bit_rate = self._settings.audio_bit_rate_bps
        self._audio.codec_context.thread_count = 1

    def _add_sound(self, position: int, samples: np.ndarray | None) -> None:
        """Appends the slice at the sample where its frame begins, after silence if frames were skipped."""
        if samples is None:
            return
        begin = position * self._rate_hz // self._fps
        written = self._encoded_samples + self._sound.size
        silence = np.zeros(max(0, begin - written - 1), np.int16)
        self._sound = np.concatenate([self._sound, silence, samples])
        whole = self._sound.size // _AAC_FRAME_SAMPLES * _AAC_FRAME_SAMPLES
        if whole:
            self._encode_sound(self._sound[:whole])
            self._sound = self._sound[whole:]

    def _encode_sound(self, samples: np.ndarray) -> None:
        if not samples.size:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="s16", layout="mono")
        frame.sample_rate = self._rate_hz
        frame.time_base = Fraction(1, self._rate_hz)
        frame.pts = self._encoded_samples
        self._encoded_samples += samples.size
        self._mux(self._audio, frame)

    def _mux(self, stream, frame) -> None:
        for packet in stream.encode(frame):
            self._container.mux(packet)


def available_codec(codecs: Sequence[str]) -> str:
    """The first of these encoders that FFmpeg has here."""
    for name in codecs:
        try:
            av.Codec(name, "w")
        except (av.codec.codec.UnknownCodecError, ValueError):
            continue
        return name
    raise VideoError(f"none of the encoders {', '.join(codecs)} is in this build of PyAV; install the wheel from PyPI")


def _yuv(image: np.ndarray, position: int, fps: int) -> av.VideoFrame:
    """The RGB image [height, width, 3] as a limited-range BT.709 frame at its time."""
    # The nearest row of two gives the same chroma to a level or two, in two thirds of the time.
    frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709", interpolation="POINT"
    )
    frame.colorspace, frame.color_range = _BT709, _LIMITED_RANGE
    frame.pts, frame.time_base = position, Fraction(1, fps)
    return frame
