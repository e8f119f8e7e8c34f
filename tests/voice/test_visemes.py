"""The viseme set, its relatives, and the table from the IPA."""

import pytest

from avatar.config import VISEME_COUNT
from avatar.visemes import FROM_AZURE, FROM_OCULUS, OCULUS, TO_AZURE, TO_OCULUS, VISEME_INDEX, VISEMES, visemes_of

SPOKEN = (
    "n", "t", "ɪ", "ə", "s", "m", "d", "l", "k", "b", "p", "ɛ", "a", "ɹ", "z", "v", "f", "w", "ð", "ʌ", "aɪ", "eɪ",
    "j", "i", "ɒ", "r", "h", "ŋ", "ɐ", "iː", "uː", "ʃ", "ɡ", "æ", "e", "ɔː", "oʊ", "ɔ", "ɾ", "ʊ", "ɑː", "o", "eː",
    "dʒ", "əʊ", "θ", "tʃ", "əl", "oː", "aː", "u", "ɜː", "ɜ", "ᵻ", "ɚ", "aʊ", "ɨ", "ʒ", "ʉ", "iə", "y", "β", "ɛə",
    "ɔɪ", "œ", "ɲ", "eə", "ɯ", "ʁ", "ʉː", "ɔ̃", "ø", "ɟ", "ɛɪ", "ʋ", "əɪ", "ɣ", "t̪", "x", "øː", "aɪə", "oə", "ɔə",
    "ɛ̃", "ɑːɹ", "dʑ", "tɕ", "kʰ", "ts", "ç", "ɵ", "ɐ̃ʊ̃", "ʎ", "ʊə", "ɕ", "ɫ", "ã", "bʰ", "ʈʰ", "ɳ", "ɖ", "ʍ", "c",
    "œy", "ʝ", "aɪɚ",
)  # fmt: skip
"""What espeak-ng sends in ten languages."""


def test_order_is_fixed():
    assert len(VISEMES) == VISEME_COUNT == len(set(VISEMES))
    assert VISEMES[0] == "sil"
    assert VISEME_INDEX["PP"] == 1


def test_every_viseme_has_relatives_and_every_relative_a_viseme():
    assert set(TO_OCULUS) == set(TO_AZURE) == set(VISEMES)
    assert set(TO_OCULUS.values()) == set(OCULUS) == set(FROM_OCULUS)
    assert len(FROM_AZURE) == 22
    assert {name for names in FROM_AZURE for name in names} <= set(VISEMES)


@pytest.mark.parametrize("name", OCULUS)
def test_oculus_survives_the_way_there_and_back(name):
    assert TO_OCULUS[FROM_OCULUS[name]] == name


@pytest.mark.parametrize("name", VISEMES)
def test_azure_ids_of_single_sounds_come_back_to_a_viseme_that_looks_alike(name):
    back = FROM_AZURE[TO_AZURE[name]]
    assert TO_AZURE[back[0]] == TO_AZURE[name]


@pytest.mark.parametrize("ipa", SPOKEN)
def test_every_spoken_phone_shows_something(ipa):
    assert "sil" not in visemes_of(ipa)


def test_only_bilabial_closures_close_the_lips():
    closing = {ipa for ipa in SPOKEN if "PP" in visemes_of(ipa)}
    assert closing == {"m", "b", "p", "bʰ"}


@pytest.mark.parametrize(
    ("ipa", "expected"),
    [
        ("", ("sil",)),
        ("aɪ", ("AA", "IH")),
        ("ɔɪ", ("AO", "IH")),
        ("tʃ", ("CH",)),
        ("ts", ("SS",)),
        ("ɚ", ("AH", "RR")),
        ("uː", ("UW",)),
        ("pf", ("PP", "FF")),
        ("iʲ", ("IY",)),
    ],
)
def test_sequences(ipa, expected):
    assert visemes_of(ipa) == expected
