"""What rooms, lines and machines do to speech before it arrives: none of it may move the lips."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatar.config import SAMPLE_RATE_HZ
from training.speech_corpus.vocal_tract import bend, draw_warp

SPEECH_RMS = 0.1
"""Level of the corpus, see `store.conform`."""

HISTORY_SAMPLES = SAMPLE_RATE_HZ * 2 // 5
"""Sound before a window that reverberates into it."""

NOISE_BANK_S = 600
"""Of each kind of noise: so much that no tune is learned by heart."""


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How often and how much.

    Attributes:
        vocal_tract, reverberation, coloring, telephone, noise: probabilities.
        missing_band: probability that a band of 200 to 1500 Hz is 30 dB down, so that no cue is relied on alone.
        noise_only: probability that the speech is taken away and noise remains.
        onset: of that, the part in which the noise sets in within the window: what is new is not speech either.
        gaps: probability that pieces of 20 to 100 ms are missing, as where packets were lost.
        snr_db: range of speech over noise.
        level_db: range of the level of speech, root mean square, against full scale; what is louder is clipped.
    """

    vocal_tract: float = 0.5
    reverberation: float = 0.2
    coloring: float = 0.6
    missing_band: float = 0.12
    telephone: float = 0.1
    noise: float = 0.35
    noise_only: float = 0.15
    onset: float = 0.5
    gaps: float = 0.08
    snr_db: tuple[float, float] = (0.0, 35.0)
    level_db: tuple[float, float] = (-36.0, -6.0)


def _shaped_noise(rng: np.random.Generator, count: int, exponent: float) -> np.ndarray:
    """Noise whose power falls with frequency to the power of `exponent`, of unit root mean square."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.maximum(np.arange(len(spectrum)), count * 30 / SAMPLE_RATE_HZ)
    noise = np.fft.irfft(spectrum * frequency ** (-0.5 * exponent), count)
    return noise / np.sqrt(np.mean(noise**2))


def hum(rng: np.random.Generator, count: int) -> np.ndarray:
    """Mains hum with harmonics, or a slow melody of such tones."""
    times_s = np.arange(count) / SAMPLE_RATE_HZ
    tones = np.zeros(count)
    step = count // 40
    for start in range(0, count, step):
        piece = slice(start, start + step)
        base_hz = rng.choice((50.0, 60.0, 120.0, 220.0, 330.0, 440.0)) * 2 ** (rng.integers(-5, 6) / 12)
        for harmonic in range(1, 9):
            phase = 2 * np.pi * harmonic * base_hz * times_s[piece] + rng.uniform(0, 2 * np.pi)
            tones[piece] += np.sin(phase) * rng.uniform(0.3, 1.0) / harmonic
    return tones / np.sqrt(np.mean(tones**2))


def music(rng: np.random.Generator, count: int) -> np.ndarray:
    """Plucked chords of a scale over a beat, with unit root mean square."""
    sound, step = np.zeros(count), int(rng.uniform(0.18, 0.4) * SAMPLE_RATE_HZ)
    times_s = np.arange(4 * step) / SAMPLE_RATE_HZ
    root_hz = 110.0 * 2 ** (rng.integers(0, 12) / 12)
    for start in range(0, count, step):
        room = min(len(times_s), count - start)
        for _ in range(int(rng.integers(1, 4))):
            base_hz = root_hz * 2 ** (rng.choice((0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 19, 24)) / 12)
            harmonics = np.arange(1, 7)
            phases = 2 * np.pi * base_hz * harmonics[:, None] * times_s[:room] + rng.uniform(0, 6.28, (6, 1))
            tone = (np.sin(phases) * rng.uniform(0.2, 1.0, (6, 1)) / harmonics[:, None]).sum(axis=0)
            sound[start : start + room] += tone * np.exp(-times_s[:room] * rng.uniform(2.0, 9.0))
        if rng.random() < 0.5:
            length = min(1500, count - start)
            sound[start : start + length] += rng.standard_normal(length) * np.exp(-np.arange(length) / 250)
    return sound / np.sqrt(np.mean(sound**2))


def clicks(rng: np.random.Generator, count: int) -> np.ndarray:
    """Typing: short decaying bursts at uneven times."""
    clicks = np.zeros(count)
    for start in np.sort(rng.integers(0, count - 2000, count // 3000)):
        length = int(rng.integers(100, 900))
        burst = rng.standard_normal(length) * np.exp(-np.arange(length) / (length / 6))
        clicks[start : start + length] += burst * rng.uniform(0.3, 1.0)
    return clicks / np.sqrt(np.mean(clicks**2))


class Augmenter:
    """Draws a different disturbance for every window, reproducibly from its seed."""

    def __init__(self, config: AugmentConfig, speech: np.ndarray, seed: int):
        """`speech`: int16 [samples] of the corpus, to talk in the background."""
        self._config = config
        self._speech = speech
        self._rng = np.random.default_rng(seed)
        count = NOISE_BANK_S * SAMPLE_RATE_HZ
        self._bank = [_shaped_noise(self._rng, count, exponent).astype(np.float32) for exponent in (0.0, 1.0, 2.0)]
        # Hum is the most like a voice.
        self._bank += [self._pieces(make, count) for make in (hum, hum, music, clicks)]

    def _pieces(self, make: Callable[[np.random.Generator, int], np.ndarray], count: int) -> np.ndarray:
        """Pieces of 5 to 30 s, which differ in key and tempo, one after another: float32 [count]."""
        pieces: list[np.ndarray] = []
        while (missing := count - sum(map(len, pieces))) > 0:
            pieces.append(make(self._rng, int(self._rng.uniform(5.0, 30.0) * SAMPLE_RATE_HZ))[:missing])
        return np.concatenate(pieces).astype(np.float32)

    def _noise(self, count: int) -> np.ndarray:
        kind = int(self._rng.integers(0, len(self._bank) + 1))
        if kind < len(self._bank):
            start = int(self._rng.integers(0, len(self._bank[kind]) - count))
            return self._bank[kind][start : start + count]
        babble = np.zeros(count, np.float32)
        for start in self._rng.integers(0, max(1, len(self._speech) - count), 5):
            piece = self._speech[start : start + count].astype(np.float32) / 32768
            babble[: len(piece)] += piece
        return babble / (np.sqrt(np.mean(babble**2)) + 1e-3)

    def _response(self, count: int) -> np.ndarray | None:
        """Transfer function [count / 2 + 1] of the room, the equalizer and the line; none if all are off."""
        rng, config = self._rng, self._config
        frequency_hz = np.fft.rfftfreq(count, 1.0 / SAMPLE_RATE_HZ)
        response = None
        if rng.random() < config.reverberation:
            decay_s = rng.uniform(0.1, 0.6)
            room = rng.standard_normal(HISTORY_SAMPLES) * 10 ** (
                -3 * np.arange(HISTORY_SAMPLES) / SAMPLE_RATE_HZ / decay_s
            )
            room *= rng.uniform(0.1, 0.7) / np.sqrt(np.sum(room**2))
            room[0] = 1.0
            response = np.fft.rfft(room, count)
        if rng.random() < config.coloring:
            knots_hz = np.array([0.0, 150.0, 400.0, 800.0, 1500.0, 2500.0, 4000.0, 6000.0, 8000.0])
            gain = 10 ** (np.interp(frequency_hz, knots_hz, rng.uniform(-9.0, 9.0, len(knots_hz))) / 20)
            response = gain if response is None else response * gain
        if rng.random() < config.missing_band:
            low_hz, width_hz = rng.uniform(0.0, 7000.0), rng.uniform(200.0, 1500.0)
            band = np.where((frequency_hz >= low_hz) & (frequency_hz < low_hz + width_hz), 10 ** (-30 / 20), 1.0)
            response = band if response is None else response * band
        if rng.random() < config.telephone:
            band = 1.0 / (1.0 + (250.0 / np.maximum(frequency_hz, 1.0)) ** 8) / (1.0 + (frequency_hz / 3500.0) ** 16)
            response = band if response is None else response * band
        return response

    def __call__(self, audio: np.ndarray) -> tuple[np.ndarray, bool]:
        """Disturbs one window.

        Args:
            audio: float32 [HISTORY_SAMPLES + samples], clean speech at the corpus level.

        Returns:
            float32 [samples] in [-1, 1]; whether the speech is still in it.
        """
        rng, config = self._rng, self._config
        if rng.random() < config.vocal_tract:
            audio = bend(audio, draw_warp(rng))
        response = self._response(len(audio))
        if response is not None:
            audio = np.fft.irfft(np.fft.rfft(audio) * response, len(audio))
        audio = audio[HISTORY_SAMPLES:]
        speaks = rng.random() >= config.noise_only
        if not speaks:
            audio = np.zeros(len(audio), np.float32)
        if rng.random() < config.noise or not speaks:
            snr_db = rng.uniform(*config.snr_db)
            noise = self._noise(len(audio))
            if not speaks and response is not None:
                # What makes a noise has a place and a body, too.
                heard = np.fft.irfft(np.fft.rfft(noise, HISTORY_SAMPLES + len(noise)) * response)[: len(noise)]
                noise = heard / (np.sqrt(np.mean(heard**2)) + 1e-9)
            noise = noise * (SPEECH_RMS * 10 ** (-snr_db / 20))
            if not speaks and rng.random() < config.onset:
                noise[: rng.integers(len(noise))] = 0.0
            audio = audio + noise
        if rng.random() < config.gaps:
            audio = np.array(audio)
            for start in rng.integers(0, len(audio), int(rng.integers(1, 5))):
                audio[start : start + int(rng.uniform(0.02, 0.1) * SAMPLE_RATE_HZ)] = 0.0
        gain = 10 ** (rng.uniform(*config.level_db) / 20) / SPEECH_RMS
        return np.clip(audio * gain, -1.0, 1.0).astype(np.float32), speaks
