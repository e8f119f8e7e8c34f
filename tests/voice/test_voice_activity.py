"""Networks rest in silence and steady noise, and never while somebody speaks."""

import wave
from pathlib import Path

import numpy as np
import pytest

from avatar.config import SAMPLE_RATE_HZ, WindowConfig
from avatar.motion import Motion
from avatar.speech import Speech, whole_features
from avatar.voice_activity import BLOCK_SAMPLES, VoiceActivity, VoiceActivityConfig

HELLO = Path("examples/hello.wav")
SPOKEN = 0.05
"""Level over which the example is somebody's voice for certain, of a root mean square of 0.1."""


def hello() -> np.ndarray:
    import soxr

    with wave.open(str(HELLO)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate_hz = file.getframerate()
    audio = soxr.resample(pcm.astype(np.float32) / 32768, rate_hz, SAMPLE_RATE_HZ)
    audio *= 0.1 / np.sqrt(np.mean(audio[np.abs(audio) > 0.01] ** 2))
    return audio[: len(audio) // BLOCK_SAMPLES * BLOCK_SAMPLES]


def follow(audio: np.ndarray, config: VoiceActivityConfig = VoiceActivityConfig()) -> np.ndarray:
    """Active or not after each block."""
    activity, active = VoiceActivity(config), []
    for block in audio.astype(np.float32).reshape(-1, BLOCK_SAMPLES):
        activity.push(block)
        active.append(activity.is_active)
    return np.array(active)


def noise(seconds: float, dbfs: float) -> np.ndarray:
    count = int(seconds * SAMPLE_RATE_HZ)
    return np.random.default_rng(0).standard_normal(count) * 10 ** (dbfs / 20)


def hum(seconds: float, dbfs: float) -> np.ndarray:
    times_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tones = sum(np.sin(2 * np.pi * 50 * n * times_s + n) / n for n in range(1, 12))
    return tones / np.sqrt(np.mean(tones**2)) * 10 ** (dbfs / 20)


def test_silence_and_hiss_rest_from_the_start():
    assert not follow(np.zeros(SAMPLE_RATE_HZ * 2)).any()
    assert not follow(noise(2.0, -70.0)).any()


@pytest.mark.parametrize("sound", [noise(12.0, -30.0), hum(12.0, -25.0)], ids=["noise", "hum"])
def test_steady_noise_rests_once_it_is_known_to_be_steady(sound):
    active = follow(sound)
    assert active[:20].any(), "a sound that begins could be a voice"
    assert not active[6 * 50 :].any()


@pytest.mark.parametrize("change", ["as it is", "-36 dBFS", "10 dB noise", "0 dB noise", "after steady noise"])
def test_no_word_is_missed(change):
    audio = hello()
    level = np.sqrt(np.mean(audio.reshape(-1, BLOCK_SAMPLES) ** 2, axis=1))
    if change == "-36 dBFS":
        audio = audio * 10 ** (-16 / 20)
    elif "dB noise" in change:
        audio = audio + noise(len(audio) / SAMPLE_RATE_HZ, -20.0 - float(change.split()[0]))
    elif change == "after steady noise":
        before = noise(8.0, -30.0)
        audio = np.concatenate([before, audio + noise(len(audio) / SAMPLE_RATE_HZ, -30.0)])
        level = np.concatenate([np.zeros(len(before) // BLOCK_SAMPLES), level])
    assert follow(audio)[level > SPOKEN].all()


def test_one_held_vowel_is_a_voice():
    times_s = np.arange(4 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    vowel = 0.1 * sum(np.sin(2 * np.pi * 120 * n * times_s) / n for n in range(1, 20))
    assert follow(vowel).all()


def test_it_does_not_depend_on_chunks_of_the_stream():
    pcm = np.round(hello() * 32767).astype(np.int16)

    def activity(chunk: int) -> list[bool]:
        speech, active = Speech(SAMPLE_RATE_HZ, WindowConfig()), []
        for start in range(0, len(pcm), chunk):
            speech.push(pcm[start : start + chunk])
            active += [window.is_active for window in speech.windows(speech.received_s)]
        speech.end()
        return active + [window.is_active for window in speech.windows(speech.received_s)]

    assert activity(len(pcm)) == activity(777) == activity(16)


def test_resting_networks_lose_nothing():
    """With the networks that ship: what they say where they rest is rest, and speech is as if they never rested."""
    onnxruntime = pytest.importorskip("onnxruntime")
    encoder, motion = (
        onnxruntime.InferenceSession(f"model_repository/{stage}/1/model.onnx", providers=["CPUExecutionProvider"])
        for stage in ("audio_encoder", "motion")
    )
    silence = np.zeros(3 * SAMPLE_RATE_HZ, np.float32)
    pcm = np.round(np.concatenate([silence, hello()[: 4 * SAMPLE_RATE_HZ], silence]) * 32767).astype(np.int16)
    window, tracks, runs = WindowConfig(), [], []
    for may_rest in (True, False):
        speech, count, features = Speech(SAMPLE_RATE_HZ, window), 0, None
        speech.push(pcm)
        speech.end()
        for item in speech.windows(speech.received_s):
            if may_rest and not item.is_active:
                speech.settle(Motion.rest(window.window_rows))
                continue
            count += 1
            (encoded,) = encoder.run(["FEATURES"], {"AUDIO": item.audio[None]})
            features = whole_features(encoded[0], features, window)
            rows = motion.run(["BLENDSHAPES", "POSE", "VISEME"], {"FEATURES": features[None]})
            speech.settle(Motion(*(array[0] for array in rows)))
        times_s = np.arange(0.0, len(pcm) / SAMPLE_RATE_HZ - 0.02, 0.02)
        tracks.append(np.stack([speech.track.sample(time_s).blendshapes for time_s in times_s]))
        runs.append(count)
    assert runs[0] < 0.6 * runs[1]
    assert np.abs(tracks[0] - tracks[1]).max() < 0.12
