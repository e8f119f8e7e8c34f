"""Engines whose voices are recorded people: what they say and when each phone sounds."""

import importlib.util
from itertools import pairwise

import numpy as np
import pytest

from avatar.visemes import visemes_of
from training.speech_corpus import Utterance, festival_voice, pico_voice

needs_pico = pytest.mark.skipif(importlib.util.find_spec("py_nanotts") is None, reason="needs py-nanotts")
needs_festival = pytest.mark.skipif(
    bool(festival_voice.missing()), reason=f"needs Debian's packages of Festival: {', '.join(festival_voice.missing())}"
)


def level_db(utterance: Utterance, band_hz: tuple[float, float], symbols: set[str]) -> float:
    """Mean level in a band over the middle half of the phones that sound like one of `symbols`."""
    levels = []
    for phone in utterance.phones:
        if phone.ipa.rstrip("ː") in symbols and phone.end_s - phone.start_s > 0.03:
            quarter_s = (phone.end_s - phone.start_s) / 4
            piece = utterance.audio[int((phone.start_s + quarter_s) * 16_000) : int((phone.end_s - quarter_s) * 16_000)]
            power = np.abs(np.fft.rfft(piece * np.hanning(len(piece)))) ** 2 / len(piece)
            hz = np.fft.rfftfreq(len(piece), 1 / 16_000)
            levels.append(10 * np.log10(power[(hz >= band_hz[0]) & (hz < band_hz[1])].mean() + 1e-9))
    return float(np.mean(levels))


def check_times(utterance: Utterance) -> None:
    """Sibilants hiss where the phones say so, vowels sing, and phones cover the sound."""
    assert utterance.phones[0].start_s == 0.0
    assert utterance.phones[-1].end_s == pytest.approx(utterance.duration_s)
    assert all(a.end_s == b.start_s for a, b in pairwise(utterance.phones))
    hiss, sung = {"s", "ʃ"}, {"u", "i", "y", "ø", "ɛ", "a", "o"}
    assert level_db(utterance, (4000, 8000), hiss) > level_db(utterance, (4000, 8000), sung) + 6
    assert level_db(utterance, (100, 900), sung) > level_db(utterance, (100, 900), hiss) + 10


SENTENCES = {
    "en-US": ("Susie sells six shoes.", "s uː z i s ɛ l z s ɪ k s ʃ uː z"),
    "en-GB": ("Susie sells six shoes.", "s uː s iː s ɛ l z s ɪ k s ʃ uː z"),
    "de-DE": ("Süße Füße, schöne Suppe.", "z yː s ə f yː s ə ʃ øː n ə z ʊ p ə"),
    "es-ES": ("Siempre hay queso y sopa.", "s j e m p ɾ e a j k e s o i s o p a"),
    "fr-FR": ("Ses chats sont assis ici.", "s e ʃ a s ɔ̃ t a s i i s i"),
}


@needs_pico
@pytest.mark.parametrize("voice", pico_voice.VOICES)
def test_pico_says_when_each_phone_sounds(voice):
    text, expected = SENTENCES[voice]
    utterance = pico_voice.speak(text, voice)
    assert [phone.ipa for phone in utterance.phones if phone.ipa and phone.ipa != "ʔ"] == expected.split()
    check_times(utterance)


@needs_pico
def test_pico_changes_pace_and_pitch():
    slow, fast = (pico_voice.speak("My mother bumped the van.", "en-US", rate=rate) for rate in (70, 140))
    assert 1.5 < slow.duration_s / fast.duration_s < 2.2
    assert [p.ipa for p in slow.phones] == [p.ipa for p in fast.phones]
    assert pico_voice.speak("My mother bumped the van.", "en-US", rate=70).phones == slow.phones

    def pitch_hz(audio):
        loud = audio[int(0.2 * 16_000) : int(0.6 * 16_000)]
        echo = np.correlate(loud, loud, "full")[len(loud) - 1 :]
        return 16_000 / (40 + np.argmax(echo[40:200]))

    low, high = (pico_voice.speak("Mama, mama.", "en-US", pitch=pitch).audio for pitch in (70, 140))
    assert pitch_hz(high) > 1.4 * pitch_hz(low)


def test_a_closure_belongs_to_the_plosive_after_it_and_accents_to_their_syllables():
    def phone(number, *frames):
        states = np.zeros((5, 3), "<u2")
        states[: len(frames), 0] = frames
        return bytes([ord("h"), number, 5, 30]) + states.tobytes()

    inventory = pico_voice.Inventory(ipa={1: "a", 2: "p"}, closures=frozenset({3}), pause=9)
    items = [phone(9, 25), phone(1, 10, 15), phone(3, 20), phone(2, 5), phone(1, 25), phone(9, 50)]
    syllables = [b"y\x01" + b"0" + b"\x01" + bytes([1]), b"y\x01" + b"1" + b"\x03" + bytes([3, 2, 1])]
    phones = pico_voice.phones_of(items, syllables, inventory)
    assert [(p.ipa, p.stress) for p in phones] == [("", 0), ("a", 0), ("p", 2), ("a", 2), ("", 0)]
    assert [round(p.end_s, 6) for p in phones] == [0.1, 0.2, 0.3, 0.4, 0.6]
    with pytest.raises(ValueError, match="phone 7 .* has no sound"):
        pico_voice.phones_of([phone(7, 10)], [b"y\x010\x01\x07"], inventory)


def test_every_phone_of_pico_shows_a_viseme():
    for inventory in pico_voice.INVENTORIES.values():
        assert not set(inventory.ipa) & (inventory.closures | {inventory.pause})
        assert all(visemes_of(ipa) != ("sil",) for ipa in inventory.ipa.values())


@needs_festival
@pytest.mark.parametrize("voice", festival_voice.VOICES)
def test_festival_says_when_each_phone_sounds(voice):
    utterance = festival_voice.speak("Susie sells six shoes.", voice)
    spoken = [phone.ipa for phone in utterance.phones if phone.ipa]
    assert " ".join(spoken) == "s uː z iː s ɛ l z s ɪ k s ʃ uː z"
    check_times(utterance)


@needs_festival
def test_festival_speaks_slower_and_passes_over_what_could_end_its_string():
    plain, slow = (festival_voice.speak("He said salt.", "ked_diphone", stretch=stretch) for stretch in (1.0, 1.3))
    assert 1.2 < slow.duration_s / plain.duration_s < 1.4
    quoted = festival_voice.speak('He "said" s\\alt.', "ked_diphone")
    assert [p.ipa for p in quoted.phones] == [p.ipa for p in plain.phones]


def test_the_training_hours_are_shared_out_and_the_unseen_engine_has_none():
    from training.speech_corpus.__main__ import SOURCES

    assert sum(source.share for source in SOURCES.values()) == pytest.approx(1.0)
    assert all(SOURCES[name].share == 0.0 for name in ("festival", "kokoro-unseen", "espeak-unseen"))
