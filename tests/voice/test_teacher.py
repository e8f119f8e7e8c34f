"""The teacher on made-up timelines: what may never be wrong about a mouth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.blendshapes import INDEX
from avatar.config import FEATURE_RATE_HZ, SAMPLE_RATE_HZ
from avatar.visemes import VISEME_INDEX
from training.motion.lip_gap import LipGap
from training.speech_corpus.store import Phone, Utterance
from training.teacher import teach

LETTERS = (
    "m",
    "b",
    "p",
    "f",
    "v",
    "θ",
    "t",
    "k",
    "s",
    "ʃ",
    "n",
    "ɹ",
    "h",
    "ɑː",
    "æ",
    "ə",
    "iː",
    "ɪ",
    "ɔː",
    "oʊ",
    "uː",
    "w",
    "aɪ",
)


@pytest.fixture(scope="module")
def lips():
    return LipGap.load()


def spoken(*timed: tuple[str, float], loudness: float = 0.1) -> Utterance:
    """Phones with durations in seconds, sounding as noise that is silent in silence."""
    rng = np.random.default_rng(0)
    phones, clock_s, pieces = [], 0.0, []
    for ipa, duration_s in timed:
        phones.append(Phone(ipa, clock_s, clock_s + duration_s))
        count = round((clock_s + duration_s) * SAMPLE_RATE_HZ) - round(clock_s * SAMPLE_RATE_HZ)
        pieces.append(rng.standard_normal(count) * (loudness if ipa else 0.0))
        clock_s += duration_s
    return Utterance(np.concatenate(pieces).astype(np.float32), tuple(phones), "", "test")


def rows(start_s: float, end_s: float) -> slice:
    return slice(int(np.ceil(start_s * FEATURE_RATE_HZ - 0.5)), int(end_s * FEATURE_RATE_HZ + 0.5))


timelines = st.lists(st.tuples(st.sampled_from(LETTERS), st.floats(0.03, 0.25)), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(timelines)
def test_bilabials_close_whatever_is_around_them(lips, timeline):
    targets = teach(spoken(("", 0.3), *timeline, ("", 0.3)))
    gap_mm = lips(targets.blendshapes)
    assert (gap_mm[targets.bilabial] < lips.rest.mean()).all()
    closing = sum(ipa in ("m", "b", "p") for ipa, _ in timeline)
    assert (targets.bilabial.any()) == (closing > 0)


@settings(max_examples=60, deadline=None)
@given(timelines)
def test_values_are_in_range_and_move_without_jumps(timeline):
    targets = teach(spoken(("", 0.3), *timeline, ("", 0.3)))
    assert targets.blendshapes.min() >= 0.0
    assert targets.blendshapes.max() <= 1.0
    assert np.abs(np.diff(targets.blendshapes[:, INDEX["jawOpen"]])).max() < 0.15
    assert np.abs(targets.pose[:, :3]).max() < np.deg2rad(6.0)
    assert np.abs(targets.pose[:, 3:]).max() < 0.004
    eyes = [column for name, column in INDEX.items() if name.startswith("eye")]
    assert not targets.blendshapes[:, eyes].any()


def test_a_closure_lasts_at_least_three_rows():
    targets = teach(spoken(("", 0.3), ("ɑː", 0.15), ("b", 0.03), ("ɑː", 0.15), ("", 0.3)))
    assert targets.bilabial.sum() >= 3


def test_silence_rests(lips):
    targets = teach(spoken(("", 1.0), ("ɑː", 0.2), ("", 1.0)))
    resting = np.r_[0 : FEATURE_RATE_HZ // 2, -(FEATURE_RATE_HZ // 2) : 0]
    assert targets.blendshapes[resting].max() < 0.02
    assert np.abs(lips(targets.blendshapes)[resting] - lips.rest.mean()).max() < 0.2


def test_open_vowels_open(lips):
    targets = teach(spoken(("", 0.3), ("ɑː", 0.2), ("m", 0.1), ("ɑː", 0.2), ("", 0.3)))
    assert lips(targets.blendshapes)[rows(0.35, 0.45)].max() > 8.0


def test_rounding_begins_before_the_vowel():
    rounded = INDEX["mouthPucker"]
    before_u = teach(spoken(("", 0.3), ("s", 0.12), ("t", 0.08), ("uː", 0.2), ("", 0.3))).blendshapes[:, rounded]
    before_i = teach(spoken(("", 0.3), ("s", 0.12), ("t", 0.08), ("iː", 0.2), ("", 0.3))).blendshapes[:, rounded]
    during_t = rows(0.42, 0.50)
    assert before_u[during_t].mean() > before_i[during_t].mean() + 0.15


def test_labiodentals_tuck_the_lower_lip_without_closing_as_bilabials_do():
    targets = teach(spoken(("", 0.3), ("ɑː", 0.15), ("v", 0.1), ("ɑː", 0.15), ("", 0.3)))
    during = rows(0.47, 0.53)
    assert targets.blendshapes[during, INDEX["mouthRollLower"]].min() > 0.6
    assert not targets.bilabial.any()


def test_loud_vowels_open_further_than_soft_ones(lips):
    loud = spoken(("", 0.3), ("ɑː", 0.2), ("t", 0.08), ("ɑː", 0.2), ("", 0.3))
    audio = loud.audio.copy()
    audio[: int(0.5 * SAMPLE_RATE_HZ)] *= 0.2
    gap_mm = lips(teach(Utterance(audio, loud.phones, "", "test")).blendshapes)
    assert gap_mm[rows(0.3, 0.5)].max() < 0.9 * gap_mm[rows(0.58, 0.78)].max()


def test_short_gaps_within_speech_do_not_close_the_mouth(lips):
    targets = teach(spoken(("", 0.3), ("ɑː", 0.2), ("", 0.05), ("ɑː", 0.2), ("", 0.3)))
    assert lips(targets.blendshapes)[rows(0.5, 0.55)].min() > 6.0
    assert VISEME_INDEX["sil"] not in targets.viseme[rows(0.5, 0.55)]
