"""Another vocal tract moves formants and leaves pitch and times alone."""

import numpy as np
import pytest

from avatar.config import SAMPLE_RATE_HZ
from training.speech_corpus.vocal_tract import FRAME_SAMPLES, bend, draw_warp

BINS = FRAME_SAMPLES // 2
INNER = slice(FRAME_SAMPLES, -FRAME_SAMPLES)


def vowel(formant_hz: float, pitch_hz: float = 120.0) -> np.ndarray:
    """A second of pulses through one resonance."""
    from scipy.signal import lfilter

    pulses = np.zeros(SAMPLE_RATE_HZ, np.float32)
    pulses[:: round(SAMPLE_RATE_HZ / pitch_hz)] = 1.0
    pole = 0.97 * np.exp(2j * np.pi * formant_hz / SAMPLE_RATE_HZ)
    return lfilter([0.1], np.real(np.poly([pole, pole.conj()])), pulses).astype(np.float32)


def center_hz(sound: np.ndarray) -> float:
    """Of the power around the formant."""
    power = np.abs(np.fft.rfft(sound[INNER], SAMPLE_RATE_HZ)[400:2500]) ** 2
    return float(np.average(np.arange(400, 2500), weights=power))


def period_samples(sound: np.ndarray) -> int:
    """Shift at which the sound is most like itself, beyond a pitch of 320 Hz."""
    inner = sound[INNER]
    return 50 + int(np.argmax([np.dot(inner[:-lag], inner[lag:]) for lag in range(50, 250)]))


def test_the_same_envelope_gives_the_same_sound():
    sound = vowel(900.0)
    assert np.allclose(bend(sound, np.arange(BINS + 1.0))[INNER], sound[INNER], atol=1e-5)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_the_formant_moves_and_the_pitch_stays(factor):
    sound = vowel(1200.0)
    other = bend(sound, np.clip(np.arange(BINS + 1.0) / factor, 0, BINS))
    assert center_hz(other) == pytest.approx(1200.0 * factor, rel=0.07)
    assert period_samples(other) == period_samples(sound)


def test_warps_rise_and_differ():
    rng = np.random.default_rng(0)
    warps = np.stack([draw_warp(rng) for _ in range(50)])
    assert warps.shape == (50, BINS + 1)
    assert (np.diff(warps, axis=1) >= 0).all()
    assert warps.min() >= 0 and warps.max() <= BINS
    assert warps[:, 64].std() > 4
