"""Sound files made on the spot."""

import struct
from pathlib import Path

import av
import numpy as np


def tone(duration_s: float, rate_hz: int, amplitude: float = 0.5, frequency_hz: float = 440.0) -> np.ndarray:
    """[samples] float32 sine."""
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)).astype(
        np.float32
    )


def write(path: Path, channels: np.ndarray, rate_hz: int, codec: str) -> Path:
    """Encodes [channels, samples] float32 with FFmpeg's `codec`; the container follows from the suffix."""
    container = av.open(str(path), "w")
    stream = container.add_stream(codec, rate=rate_hz)
    layout = "mono" if channels.shape[0] == 1 else "stereo"
    stream.codec_context.layout = layout
    stream.codec_context.format = av.Codec(codec, "w").audio_formats[0]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels, np.float32), format="fltp", layout=layout)
    frame.sample_rate, frame.pts = rate_hz, 0
    resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate_hz)
    size = stream.codec_context.frame_size or 4096
    fifo = av.AudioFifo()
    for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
        fifo.write(resampled)
    while (block := fifo.read(size, partial=True)) is not None:
        for packet in stream.encode(block):
            container.mux(packet)
    for packet in stream.encode(None):
        container.mux(packet)
    container.close()
    return path


def write_wav(
    path: Path, samples: np.ndarray, rate_hz: int, channels: int = 1, claimed_samples: int | None = None
) -> Path:
    """A WAV of [samples] or [samples, channels] uint8, int16 or float32, written byte by byte.

    Args:
        claimed_samples: length in the header, where it shall differ from the truth.
    """
    body = samples.tobytes()
    width = samples.dtype.itemsize
    kind = 3 if samples.dtype.kind == "f" else 1
    claimed = len(body) if claimed_samples is None else claimed_samples * width * channels
    layout = struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * channels * width, channels * width, 8 * width)
    path.write_bytes(
        b"RIFF"
        + struct.pack("<I", 36 + claimed)
        + b"WAVEfmt \x10\0\0\0"
        + layout
        + b"data"
        + struct.pack("<I", claimed)
        + body
    )
    return path


def write_silent_hours(path: Path, hours: float, rate_hz: int) -> Path:
    """A WAV of zeros that takes no room on the disk."""
    samples = round(hours * 3600 * rate_hz)
    write_wav(path, np.zeros(0, np.int16), rate_hz, claimed_samples=samples)
    with open(path, "r+b") as file:
        file.truncate(44 + 2 * samples)
    return path
