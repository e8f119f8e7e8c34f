"""The 20 visemes, what they are called elsewhere, and which of them a phone of the IPA shows.

The classes group what looks alike: consonants by the visible articulator, vowels by height and rounding on the chart
of the International Phonetic Association (revised 2020). They refine two published sets, to which they map:

* Meta, "Viseme Reference", Oculus Lipsync documentation: 15 visemes after MPEG-4 (ISO/IEC 14496-2, FBA).
* Microsoft, "Get facial position with viseme", Azure AI Speech documentation: viseme ids 0 to 21.
"""

import unicodedata
from types import MappingProxyType

VISEMES = (
    "sil", "PP", "FF", "TH", "DD", "KK", "CH", "SS", "NN", "RR", "HH", "AA", "AE", "AH", "EH", "IH", "IY", "AO", "OW",
    "UW",
)  # fmt: skip
"""Columns of `VISEME`."""

VISEME_INDEX = MappingProxyType({name: i for i, name in enumerate(VISEMES)})

OCULUS = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
"""Oculus Lipsync's order."""

TO_OCULUS = MappingProxyType({
    "sil": "sil", "PP": "PP", "FF": "FF", "TH": "TH", "DD": "DD", "KK": "kk", "CH": "CH", "SS": "SS", "NN": "nn",
    "RR": "RR",
    "HH": "sil", "AA": "aa", "AE": "aa", "AH": "aa", "EH": "E", "IH": "ih", "IY": "ih", "AO": "oh", "OW": "oh",
    "UW": "ou",
})  # fmt: skip
FROM_OCULUS = MappingProxyType({
    "sil": "sil", "PP": "PP", "FF": "FF", "TH": "TH", "DD": "DD", "kk": "KK", "CH": "CH", "SS": "SS", "nn": "NN",
    "RR": "RR",
    "aa": "AA", "E": "EH", "ih": "IH", "oh": "OW", "ou": "UW",
})  # fmt: skip

TO_AZURE = MappingProxyType({
    "sil": 0, "AE": 1, "AH": 1, "AA": 2, "AO": 3, "EH": 4, "IH": 6, "IY": 6, "UW": 7, "OW": 8, "HH": 12, "RR": 13,
    "NN": 14,
    "SS": 15, "CH": 16, "TH": 17, "FF": 18, "DD": 19, "KK": 20, "PP": 21,
})  # fmt: skip
"""Azure gives diphthongs one id; here they are two visemes in sequence."""
FROM_AZURE = (
    ("sil",), ("AH",), ("AA",), ("AO",), ("EH",), ("AH", "RR"), ("IY",), ("UW",), ("OW",), ("AA", "OW"), ("AO", "IH"),
    ("AA", "IH"), ("HH",), ("RR",), ("NN",), ("SS",), ("CH",), ("TH",), ("FF",), ("DD",), ("KK",), ("PP",),
)  # fmt: skip
"""Visemes of Azure's ids 0 to 21, in sequence where the id is a diphthong."""

_LETTERS = {
    "PP": "p b m ɓ ʙ",
    "FF": "f v ɱ ʋ ⱱ ɸ β",
    "TH": "θ ð",
    "DD": "t d ɗ ʈ ɖ r ɾ ɽ ɺ",
    "KK": "k g ɡ q ɢ ɠ x ɣ χ ʁ ʀ ŋ ɴ c ɟ ç ʝ ɰ",
    "CH": "ʃ ʒ ʧ ʤ ɕ ʑ ʨ ʥ ʂ ʐ",
    "SS": "s z ʦ ʣ",
    "NN": "n ɲ ɳ l ɫ ɬ ɮ ɭ ʎ ʟ",
    "RR": "ɹ ɻ",
    "HH": "h ɦ ħ ʕ ʔ",
    "AA": "a ɑ ɶ",
    "AE": "æ",
    "AH": "ə ʌ ɐ ɜ ɘ ɞ ɤ ᵊ",
    "EH": "e ɛ",
    "IH": "ɪ ɨ ɯ ᵻ",
    "IY": "i j",
    "AO": "ɔ ɒ œ",
    "OW": "o ʊ ø ɵ",
    "UW": "u w y ʉ ʏ ɥ ʍ",
}
_OF_LETTER = MappingProxyType({letter: name for name, letters in _LETTERS.items() for letter in letters.split()})
_OF_GROUP = MappingProxyType({
    "tʃ": ("CH",), "dʒ": ("CH",), "tɕ": ("CH",), "dʑ": ("CH",), "ʈʂ": ("CH",), "ɖʐ": ("CH",), "ts": ("SS",),
    "dz": ("SS",),
    "pf": ("PP", "FF"), "ɚ": ("AH", "RR"), "ɝ": ("AH", "RR"),
})  # fmt: skip
"""Affricates show their fricative from the start; r-colored vowels end in the approximant."""


def visemes_of(ipa: str) -> tuple[str, ...]:
    """Visemes that a phone shows, in sequence.

    Args:
        ipa: a phone, diphthong or affricate in IPA; marks of length, stress and secondary articulation are passed
            over. The empty string is silence.

    Returns:
        One name for most phones, two or more for diphthongs; `("sil",)` if nothing in `ipa` is a letter of the IPA.
    """
    names: list[str] = []
    position = 0
    while position < len(ipa):
        pair = ipa[position : position + 2]
        if pair in _OF_GROUP:
            names.extend(_OF_GROUP[pair])
            position += 2
            continue
        letter = ipa[position]
        if letter not in _OF_LETTER:
            letter = unicodedata.normalize("NFD", letter)[0]
        if letter in _OF_GROUP:
            names.extend(_OF_GROUP[letter])
        elif letter in _OF_LETTER:
            names.append(_OF_LETTER[letter])
        position += 1
    merged = [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
    return tuple(merged) or ("sil",)
