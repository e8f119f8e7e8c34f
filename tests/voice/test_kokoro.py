"""Phone times and mixed voices of Kokoro."""

import random

import numpy as np
import pytest

from training.speech_corpus import Phone, kokoro_voice
from training.speech_corpus.kokoro_voice import (
    ENGLISH_VOICES,
    FOREIGN_VOICES,
    HELD_OUT_VOICES,
    RATE_HZ,
    RELEASE_S,
    SHORTEST_S,
    TIMBRE,
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


def test_a_mixed_voice_takes_timbre_and_prosody_in_its_own_shares():
    rng = np.random.default_rng(0)
    styles = {name: rng.standard_normal((3, 256)).astype(np.float32) for name in "abcd"}
    mixed = Style(timbre=(("b", 1.0),), prosody=(("a", 0.25), ("d", 0.75))).vector(styles, 2)
    prosody = slice(TIMBRE.stop, None)
    assert mixed.shape == (1, 256) and mixed.dtype == np.float32
    assert np.allclose(mixed[0, TIMBRE], styles["b"][2, TIMBRE])
    assert np.allclose(mixed[0, prosody], (0.25 * styles["a"][2] + 0.75 * styles["d"][2])[prosody])


def test_drawn_voices_differ_their_shares_add_up_and_none_is_held_out():
    rng = random.Random(0)
    styles = [Style.draw(rng, language) for language in ("en", "es") for _ in range(300)]
    mixtures = [style.timbre for style in styles] + [style.prosody for style in styles]
    assert all(np.isclose(sum(share for _, share in mixture), 1.0) for mixture in mixtures)
    heard = {name for mixture in mixtures for name, _ in mixture}
    assert heard == {*ENGLISH_VOICES, *FOREIGN_VOICES} and heard.isdisjoint(HELD_OUT_VOICES)
    assert len({style.timbre for style in styles}) > 200
    english = sum(name in ENGLISH_VOICES for style in styles[:300] for name, _ in style.timbre)
    assert english > 0.75 * sum(len(style.timbre) for style in styles[:300])
    # Every third voice or so is heard alone.
    assert sum(len(style.timbre) == 1 for style in styles) > 200


def test_missing_voices_are_named_with_their_package(monkeypatch, tmp_path):
    monkeypatch.setattr(kokoro_voice, "VOICES_DIR", tmp_path / "nothing")
    kokoro_voice._styles.cache_clear()
    with pytest.raises(FileNotFoundError, match="npm package kokoro-js"):
        kokoro_voice._styles()
