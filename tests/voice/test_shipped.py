"""The networks in the model repository on sounds with known phones: they follow speech and leave the rest alone."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from avatar.config import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, WindowConfig  # noqa: E402
from benchmarks.motion import Networks, agrees_nearby, compare, stream, summarize  # noqa: E402
from training.motion.lip_gap import LipGap  # noqa: E402
from training.speech_corpus import Phone, Utterance  # noqa: E402

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def networks():
    return Networks(PROJECT / "model_repository", threads=2)


@pytest.fixture(scope="module")
def lips():
    return LipGap.load(PROJECT / "avatars" / "default" / "head.npz")


@pytest.fixture(scope="module")
def hello() -> Utterance:
    import soxr
    from scipy.io import wavfile

    rate_hz, samples = wavfile.read(PROJECT / "examples" / "hello.wav")
    audio = soxr.resample(samples.astype(np.float32) / 32768, rate_hz, SAMPLE_RATE_HZ)
    timed = json.loads((Path(__file__).parent / "hello_phones.json").read_text(encoding="utf-8"))
    ends_s = [start_s for _, start_s in timed[1:]] + [len(audio) / SAMPLE_RATE_HZ]
    phones = tuple(Phone(ipa, start_s, end_s) for (ipa, start_s), end_s in zip(timed, ends_s, strict=True))
    return Utterance(audio, phones, "", "example")


@pytest.fixture(scope="module")
def measures(hello, networks, lips):
    return summarize([compare(hello, hello.audio, networks, WindowConfig(), lips)])


def test_lips_follow_the_example(measures):
    assert measures["gap correlation"] > 0.7
    assert measures["gap open vowels mm"] > 0.6 * measures["teacher's mm"]


def test_lips_close_on_m_b_p(measures):
    assert measures["closed m b p %"] >= 90.0


def test_lips_are_in_time(measures):
    assert abs(measures["lag ms"]) < 20.0


def test_the_mouth_rests_in_the_pauses(measures):
    assert measures["gap in silence mm"] < 1.0


@pytest.mark.parametrize("level_db", [-30.0, -60.0, None])
def test_without_speech_nothing_moves(networks, lips, level_db):
    count = 3 * SAMPLE_RATE_HZ
    audio = np.zeros(count, np.float32)
    if level_db is not None:
        audio = (np.random.default_rng(0).standard_normal(count) * 10 ** (level_db / 20)).astype(np.float32)
    motion = stream(audio, networks, WindowConfig())
    gap_mm = lips(motion.blendshapes)
    assert np.abs(gap_mm - lips.rest.mean()).max() < 1.0
    assert np.abs(np.diff(gap_mm)).max() < 0.3


def test_quiet_speech_moves_the_lips_as_loud_speech_does(hello, networks, lips):
    short = hello.audio[: 5 * SAMPLE_RATE_HZ]
    loud, quiet = (lips(stream(short * gain, networks, WindowConfig()).blendshapes) for gain in (1.0, 0.15))
    assert np.corrcoef(loud, quiet)[0, 1] > 0.95


def test_a_row_depends_on_its_windows_only(hello, networks):
    window = WindowConfig()
    speech = hello.audio[: 4 * SAMPLE_RATE_HZ]
    later = speech.copy()
    later[3 * SAMPLE_RATE_HZ :] = 0.0
    before, after = (stream(audio, networks, window).blendshapes for audio in (speech, later))
    settled = int((3.0 - window.lookahead_ms / 1000) * FEATURE_RATE_HZ)
    assert np.abs(before[:settled] - after[:settled]).max() < 1e-5


def test_a_frame_may_agree_one_row_away():
    labels = np.array([0, 0, 1, 1, 1, 2])
    predicted = np.array([1, 1, 0, 1, 2, 3])
    assert agrees_nearby(predicted, labels).tolist() == [False, True, True, True, True, False]
