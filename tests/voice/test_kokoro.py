"""Phone times of the unseen engine."""

import numpy as np

from training.speech_corpus import Phone
from training.speech_corpus.kokoro_voice import RATE_HZ, RELEASE_S, SHORTEST_S, end_with_sound


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
