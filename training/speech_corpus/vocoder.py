"""Other speakers from one: pitch, formants and breath changed apart from each other, phone times unchanged.

Morise, Yokomori, Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for real-time applications",
IEICE Trans. E99-D(7), 2016, by the package `pyworld` (MIT).
"""

from dataclasses import dataclass, replace

import numpy as np

from avatar.config import SAMPLE_RATE_HZ
from training.speech_corpus.store import Utterance

FRAME_MS = 5.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """What differs from the speaker as recorded.

    Attributes:
        pitch: factor of the fundamental frequency.
        range: factor of how far the pitch moves, in octaves, around its mean.
        formants: factor of the formant frequencies; 1.2 is about the step from a man's vocal tract to a woman's.
        breath: share of the voiced sound that becomes noise, 0 to 1.
        tilt_db: change of the spectrum from 0 to 8 kHz.
    """

    pitch: float = 1.0
    range: float = 1.0
    formants: float = 1.0
    breath: float = 0.0
    tilt_db: float = 0.0

    @classmethod
    def draw(cls, rng) -> "Speaker":
        """A speaker of `random.Random`, pitch and formants loosely tied as in people."""
        size = rng.uniform(-1.0, 1.0)
        return cls(
            pitch=2.0 ** (0.45 * size + rng.uniform(-0.35, 0.35)),
            range=rng.uniform(0.5, 1.6),
            formants=2.0 ** (0.22 * size + rng.uniform(-0.1, 0.1)),
            breath=rng.choice((0.0, rng.uniform(0.0, 0.6))),
            tilt_db=rng.uniform(-8.0, 8.0),
        )


def revoice(utterance: Utterance, speaker: Speaker) -> Utterance:
    """The same words at the same times by another speaker."""
    import pyworld

    audio = utterance.audio.astype(np.float64)
    pitch_hz, times_s = pyworld.dio(audio, SAMPLE_RATE_HZ, frame_period=FRAME_MS)
    pitch_hz = pyworld.stonemask(audio, pitch_hz, times_s, SAMPLE_RATE_HZ)
    envelope = pyworld.cheaptrick(audio, pitch_hz, times_s, SAMPLE_RATE_HZ)
    aperiodicity = pyworld.d4c(audio, pitch_hz, times_s, SAMPLE_RATE_HZ)
    voiced = pitch_hz > 0
    if voiced.any():
        octaves = np.log2(pitch_hz[voiced])
        pitch_hz[voiced] = speaker.pitch * 2.0 ** (octaves.mean() + speaker.range * (octaves - octaves.mean()))
        pitch_hz[voiced] = np.clip(pitch_hz[voiced], 60.0, 600.0)
    bins = envelope.shape[1]
    source = np.minimum(np.arange(bins) / speaker.formants, bins - 1.0)
    low = source.astype(int)
    high, fraction = np.minimum(low + 1, bins - 1), source - low
    logs = np.log(envelope)
    logs = (1 - fraction) * logs[:, low] + fraction * logs[:, high]
    logs += np.linspace(-0.5, 0.5, bins) * speaker.tilt_db * np.log(10.0) / 10.0
    aperiodicity = 1.0 - (1.0 - aperiodicity) * (1.0 - speaker.breath * np.linspace(0.3, 1.0, bins))
    spectra = [np.ascontiguousarray(part) for part in (np.exp(logs), aperiodicity)]
    sound = pyworld.synthesize(pitch_hz, *spectra, SAMPLE_RATE_HZ, FRAME_MS)[: len(audio)]
    sound = np.pad(sound, (0, len(audio) - len(sound)))
    sound *= np.sqrt(np.mean(audio**2) / (np.mean(sound**2) + 1e-9))
    name = f"{utterance.voice}~{speaker.pitch:.2f}~{speaker.formants:.2f}"
    return replace(utterance, audio=np.clip(sound, -1.0, 1.0).astype(np.float32), voice=name)
