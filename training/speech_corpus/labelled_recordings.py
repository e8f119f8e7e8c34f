"""A recorded Russian speaker, with the phone labels of the voice that was made of him.

Only tests use them: Russian stays a language that training never hears.

Needs Debian's `festvox-ru`, unpacked or installed: the 620 sentences, read by one man, from which Festival's voice
`msu_ru_nsh` takes its units, under a permissive licence (Nickolay V. Shmyrev, 2005).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.speech_corpus.store import Phone, Utterance, conform

VOICE = Path("usr/share/festival/voices/russian/msu_ru_nsh_clunits")

EVERY = 10
"""Of the sentences, in the order of the voice, so that all of its texts have their part."""

_STRESSED = {"ii": "i", "yy": "ɨ", "uu": "u", "ee": "ɛ", "oo": "o", "aa": "a"}
_REDUCED = {"a": "ɐ", "e": "e", "i": "ɪ", "y": "ɨ", "u": "ʊ", "ae": "ə", "ay": "ə", "ur": "ʊ"}
_HARD = {letter: letter for letter in "pbtdkgfvszmnlr"} | {"h": "x"}
_SOFT = {name + name[-1]: f"{ipa}ʲ" for name, ipa in _HARD.items()}
_OTHER = {"pau": "", "c": "ts", "ch": "tɕ", "sh": "ʂ", "zh": "ʐ", "sch": "ɕ", "j": "j"}
IPA = _STRESSED | _REDUCED | _HARD | _SOFT | _OTHER
"""The voice's phone set, after L. M. Zakharov, "Acoustic variation of sounds in Russian speech", Moscow 2004."""


def _phones(lines: list[str]) -> list[Phone]:
    """Of a label file: after its head one line a phone, end in seconds, a color, name."""
    phones, start_s = [], 0.0
    for line in lines[lines.index("#") + 1 :]:
        end, _, name = line.split()
        phones.append(Phone(IPA[name], start_s, float(end), 2 if name in _STRESSED else 0))
        start_s = float(end)
    return phones


def labelled(folder: Path) -> Iterator[Utterance]:
    """Every tenth sentence.

    Args:
        folder: where the package was unpacked, holds `usr/share`.

    Raises:
        FileNotFoundError: if the package is not there.
    """
    from scipy.io import wavfile

    voice = folder / VOICE
    if not voice.exists():
        raise FileNotFoundError(
            f"no labelled recordings in {folder}: unpack the Debian package festvox-ru there (`apt-get download`, then "
            "`dpkg -x`)"
        )
    lines = (voice / "etc/txt.done.data").read_text(encoding="utf-8").splitlines()
    for line in lines[::EVERY]:
        name, text = line.split(maxsplit=2)[1:]
        rate_hz, pcm = wavfile.read(voice / "wav" / f"{name}.wav")
        phones = _phones((voice / "lab" / f"{name}.lab").read_text(encoding="ascii").splitlines())
        audio, conformed = conform(pcm.astype(np.float32) / 32768, rate_hz, phones)
        yield Utterance(audio, conformed, text.strip(' ")').replace("+", ""), f"recorded:{voice.name}")
