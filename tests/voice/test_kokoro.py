"""Phone times and mixed voices of Kokoro."""

import random

import numpy as np

from training.speech_corpus import Phone
from training.speech_corpus.kokoro_voice import (
    HELD_OUT_VOICE,
    RATE_HZ,
    RELEASE_S,
    SHORTEST_S,
    TIMBRE,
    VOICES,
    Style,
    end_with_sound,
)


def test_the_last_phone_before_a_pause_ends_with_its_sound():
    audio = np.zeros(2 * RATE_HZ)
    audio[: int(0.6 * RATE_HZ)] = np.sin(np.arange(int(0.6 * RATE_HZ)))
    phones = [
        Phone("l", 0.0, 0.4),
        Phone("i", 0.4, 1.2),
        Phone("", 1.2, 1.6),
        Phone("t", 1.6, 1.8),
        Phone("", 1.8, 2.0),
    ]
    ended = end_with_sound(phones, audio, RATE_HZ)
    assert ended[0] == phones[0]
    assert np.isclose(ended[1].end_s, 0.6 + RELEASE_S, atol=0.006)
    # A stop without release is silent and keeps its closure.
    assert np.isclose(ended[3].end_s, 1.6 + SHORTEST_S)
    assert all(a.end_s == b.start_s for a, b in zip(ended, ended[1:], strict=False))


def test_a_mixed_voice_takes_timbre_and_prosody_in_its_own_shares_and_nothing_of_the_held_out_one():
    rng = np.random.default_rng(0)
    styles = {name: rng.standard_normal((3, 1, 256)).astype(np.float32) for name in VOICES}
    styles[HELD_OUT_VOICE] = np.full((3, 1, 256), np.nan, np.float32)
    mixed = Style(timbre=(0.0, 1.0, 0.0, 0.0), prosody=(0.5, 0.0, 0.0, 0.5)).vector(styles, 2)
    prosody = slice(TIMBRE.stop, None)
    first, second, last = (styles[name][2, 0] for name in (VOICES[0], VOICES[1], VOICES[3]))
    assert mixed.shape == (1, 256) and mixed.dtype == np.float32
    assert np.allclose(mixed[0, TIMBRE], second[TIMBRE])
    assert np.allclose(mixed[0, prosody], 0.5 * (first + last)[prosody])


def test_drawn_voices_differ_and_their_shares_add_up():
    rng = random.Random(0)
    styles = [Style.draw(rng) for _ in range(200)]
    shares = np.array([style.timbre for style in styles] + [style.prosody for style in styles])
    assert np.allclose(shares.sum(axis=1), 1.0)
    assert shares.min() > -0.2 and shares.max() < 1.3
    assert len({style.timbre for style in styles}) > 100
    # Every voice is heard alone, too.
    assert all(np.any(np.all(shares == row, axis=1)) for row in np.eye(len(VOICES)))
