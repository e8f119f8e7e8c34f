"""Speech as it sounds behind a codec, in time with what went in."""

import io
import random
from dataclasses import dataclass, replace

import numpy as np

from avatar.config import SAMPLE_RATE_HZ
from training.speech_corpus.store import Utterance

LONGEST_DELAY_S = 0.15


@dataclass(frozen=True, slots=True)
class Codec:
    """Attributes:
    name: of FFmpeg's encoder.
    container: that holds its packets.
    rates_hz: sample rates it is used at.
    bit_rates: range in bits a second.
    """

    name: str
    container: str
    rates_hz: tuple[int, ...]
    bit_rates: tuple[int, int]


CODECS = (
    Codec("libopus", "ogg", (16_000, 24_000), (9_000, 24_000)),
    Codec("libmp3lame", "mp3", (16_000, 22_050), (24_000, 56_000)),
    Codec("pcm_mulaw", "wav", (8_000,), (64_000, 64_000)),
)


def through(audio: np.ndarray, codec: Codec, rate_hz: int, bit_rate: int) -> np.ndarray:
    """Encodes and decodes.

    Args:
        audio: float32 [samples], 16 kHz mono in [-1, 1].
        codec: one of `CODECS`.
        rate_hz: one of the codec's `rates_hz`.
        bit_rate: in bits a second.

    Returns:
        float32 [samples] at 16 kHz; the codec's delay is taken out.
    """
    import av
    import soxr

    pcm = np.round(soxr.resample(audio, SAMPLE_RATE_HZ, rate_hz).clip(-1, 1) * 32767).astype(np.int16)
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as container:
        stream = container.add_stream(codec.name, rate=rate_hz)
        stream.layout, stream.bit_rate = "mono", bit_rate
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        resampler = av.AudioResampler(stream.codec_context.format, "mono", rate_hz, stream.codec_context.frame_size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        to_float = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
        frames = [part for frame in container.decode(audio=0) for part in to_float.resample(frame)]
        frames += to_float.resample(None)
    heard = np.concatenate([part.to_ndarray().ravel() for part in frames])
    return _in_time(heard, audio)


def _in_time(heard: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Shifts `heard` to where it correlates best with `audio`, and cuts it to that length."""
    size = 1 << (len(heard) + len(audio)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(audio, size)), size)
    reach = int(LONGEST_DELAY_S * SAMPLE_RATE_HZ)
    delay = int(np.argmax(np.concatenate([cross[-reach:], cross[:reach]]))) - reach
    moved = heard[delay:] if delay >= 0 else np.pad(heard, (-delay, 0))
    return np.pad(moved, (0, max(0, len(audio) - len(moved))))[: len(audio)].astype(np.float32)


def transmit(utterance: Utterance, rng: random.Random) -> Utterance:
    """The utterance behind a codec drawn by `rng`."""
    codec = rng.choice(CODECS)
    audio = through(utterance.audio, codec, rng.choice(codec.rates_hz), rng.randint(*codec.bit_rates))
    return replace(utterance, audio=audio, voice=f"{utterance.voice}|{codec.name}")
