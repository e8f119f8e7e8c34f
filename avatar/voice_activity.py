"""Whether anybody may be speaking: decides when the networks rest. It must miss no speech; letting noise pass is cheap.

A block sounds like a voice if its level between 150 and 4000 Hz is above that of silence and stands out of the
steady sound around it: the lowest level of the last seconds (Martin, "Noise power spectral density estimation based
on optimal smoothing and minimum statistics", IEEE TSAP 9(5), 2001). The networks themselves tell speech from music
and typing; what rests here is silence, hiss and hum.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from avatar.config import SAMPLE_RATE_HZ

BLOCK_SAMPLES = SAMPLE_RATE_HZ // 50
FRAME_SAMPLES = 2 * BLOCK_SAMPLES
"""One block and the one before it."""

SMOOTH_BLOCKS = 4
"""Over which the level is averaged, so that the level of steady noise is steady."""


@dataclass(frozen=True, slots=True)
class VoiceActivityConfig:
    """Attributes:
    silence_dbfs: level in the band under which nobody speaks. Speech at -36 dBFS has its soft consonants at -60.
    above_floor_db: by how much a voice stands out of the lowest level of the last `floor_s`.
    floor_s: longer than anybody holds a vowel without the least dip.
    hold_ms: the networks go on for so long after the last voice: the lips come to rest, words have gaps.
    band_hz: where speech has its energy.
    """

    silence_dbfs: float = -66.0
    above_floor_db: float = 3.0
    floor_s: float = 5.0
    hold_ms: int = 700
    band_hz: tuple[float, float] = (150.0, 4000.0)


class VoiceActivity:
    """Follows one run of audio in blocks of 20 ms from its first sample, whatever the chunks it came in."""

    def __init__(self, config: VoiceActivityConfig = VoiceActivityConfig()):
        self._config = config
        frequency_hz = np.fft.rfftfreq(FRAME_SAMPLES, 1 / SAMPLE_RATE_HZ)
        self._band = (frequency_hz >= config.band_hz[0]) & (frequency_hz < config.band_hz[1])
        self._taper = np.hanning(FRAME_SAMPLES).astype(np.float32)
        # A full-scale square wave is 0 dBFS; two sides of the spectrum.
        self._scale = 2.0 / (FRAME_SAMPLES * float(np.sum(self._taper**2)))
        self._before = np.zeros(BLOCK_SAMPLES, np.float32)
        # Before its first sample a run is silent: a voice that starts at once stands out.
        self._levels = deque([config.silence_dbfs], maxlen=int(config.floor_s * SAMPLE_RATE_HZ) // BLOCK_SAMPLES)
        self._powers = deque([0.0] * SMOOTH_BLOCKS, maxlen=SMOOTH_BLOCKS)
        self._last_voice: int | None = None
        self.blocks = 0

    def push(self, audio: np.ndarray) -> None:
        """Takes the next whole blocks: float32 [N·320] at 16 kHz in [-1, 1]."""
        for block in audio.reshape(-1, BLOCK_SAMPLES):
            spectrum = np.fft.rfft(np.concatenate([self._before, block]) * self._taper)[self._band]
            self._powers.append(self._scale * float(np.sum(np.abs(spectrum) ** 2)))
            level_dbfs = 10.0 * np.log10(sum(self._powers) / SMOOTH_BLOCKS + 1e-12)
            floor_dbfs = max(self._config.silence_dbfs, min(self._levels) + self._config.above_floor_db)
            self.blocks += 1
            if level_dbfs > floor_dbfs:
                self._last_voice = self.blocks
            self._levels.append(level_dbfs)
            self._before = block

    @property
    def is_active(self) -> bool:
        """Whether a voice was heard in the last `hold_ms`."""
        if self._last_voice is None:
            return False
        return (self.blocks - self._last_voice) * 1000 * BLOCK_SAMPLES < self._config.hold_ms * SAMPLE_RATE_HZ
