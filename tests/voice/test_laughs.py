"""Laughs have exact phone times and open the mouth without articulating."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from avatar.config import FEATURE_HOP_SAMPLES, SAMPLE_RATE_HZ  # noqa: E402
from training.motion.lip_gap import LipGap  # noqa: E402
from training.speech_corpus import laughs  # noqa: E402
from training.teacher import teach  # noqa: E402

from .test_teacher import spoken  # noqa: E402


@pytest.mark.parametrize("seed", range(20))
def test_a_bout(seed):
    sound, phones = laughs.laugh(np.random.default_rng(seed))
    assert np.all(np.isfinite(sound)) and np.abs(sound).max() <= 1.0
    assert phones[0].start_s == 0.0
    assert all(a.end_s == b.start_s for a, b in zip(phones, phones[1:], strict=False))
    assert phones[-1].end_s == pytest.approx(len(sound) / SAMPLE_RATE_HZ)
    levels = {"h": [], "ʌ": []}
    for phone in phones:
        piece = sound[round(phone.start_s * SAMPLE_RATE_HZ) : round(phone.end_s * SAMPLE_RATE_HZ)]
        levels[phone.ipa].append(np.sqrt(np.mean(piece**2)))
    assert np.mean(levels["ʌ"]) > 1.3 * np.mean(levels["h"])


def test_after_a_sentence(monkeypatch):
    monkeypatch.setattr(laughs, "LAUGH_SHARE", 1.0)
    sentence = spoken(("", 0.3), ("m", 0.1), ("ɑː", 0.3), ("", 0.3))
    laughed = laughs.with_laugh(sentence, np.random.default_rng(1))
    assert len(laughed.audio) % FEATURE_HOP_SAMPLES == 0
    assert np.array_equal(laughed.audio[: len(sentence.audio)], sentence.audio)
    assert [p.end_s for p in laughed.phones[:-1]] == pytest.approx([p.start_s for p in laughed.phones[1:]])
    assert laughed.phones[-1].end_s == pytest.approx(laughed.duration_s)
    targets = teach(laughed)
    gap_mm = LipGap.load()(targets.blendshapes)
    begin, end = (
        round(time_s * 50) for time_s in (laughed.phones[len(sentence.phones) + 1].start_s, laughed.phones[-1].start_s)
    )
    assert gap_mm[begin:end].max() > 3.0
    assert not targets.bilabial[begin:end].any()
    assert gap_mm[-1] < 0.0


def test_most_sentences_go_without():
    sentence = spoken(("", 0.3), ("m", 0.1), ("ɑː", 0.3), ("", 0.3))
    rng = np.random.default_rng(0)
    laughed = sum(laughs.with_laugh(sentence, rng) is not sentence for _ in range(1000))
    assert 20 < laughed < 70
