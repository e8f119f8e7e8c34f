"""Recorded people whose words are known.

Needs the unpacked Debian packages `asterisk-core-sounds-<language>` (transcripts) and `-g722` (sound), CC-BY-SA-3.0:
the weights that ship know nothing of them.
"""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from avatar.config import SAMPLE_RATE_HZ
from training.speech_corpus.flite_voice import IPA
from training.speech_corpus.store import Phone, Utterance, conform

SPEAKERS = {"en": "en_US_f_Allison", "es": "es_MX_f_Allison", "fr": "fr_CA_f_June", "it": "it_IT_m_Carlo",
            "ru": "ru_RU_f_IvrvoiceRU"}  # fmt: skip
ADAPTATION = ("en", "es", "fr")
"""Languages whose recordings a user may adapt to; Italian and Russian are for tests alone."""

SHORTEST_WORDS = 3
"""Shorter prompts are single digits and letters."""

FRAME_S = 0.01
"""Of pocketsphinx."""

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@dataclass(frozen=True, eq=False)
class Recording:
    """Attributes:
    audio: float32 [samples] at 16 kHz.
    text: what is said.
    speaker: folder name of the package.
    """

    audio: np.ndarray
    text: str
    speaker: str


def _decode(path: Path) -> np.ndarray:
    import av

    with av.open(str(path), format="g722") as container:
        pieces = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    return np.concatenate(pieces).astype(np.float32) / 32768


def recordings(folder: Path, language: str) -> Iterator[Recording]:
    """Prompts of at least three words, in the order of the transcript.

    Args:
        folder: where the packages were unpacked, holds `usr/share`.
        language: one of `SPEAKERS`.

    Raises:
        FileNotFoundError: if a package is not there.
    """
    sounds = folder / "usr/share/asterisk/sounds" / SPEAKERS[language]
    transcript = folder / f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz"
    if not transcript.exists() or not sounds.exists():
        raise FileNotFoundError(
            f"no recordings in {folder}: unpack the Debian packages asterisk-core-sounds-{language} and "
            f"asterisk-core-sounds-{language}-g722 there (`apt-get download`, then `dpkg -x`)"
        )
    with gzip.open(transcript, "rt", encoding="utf-8-sig") as lines:
        for line in lines:
            name, _, text = line.strip().partition(": ")
            path = sounds / f"{name}.g722"
            if line.startswith(";") or any(sign in text for sign in "[](){}<>/") or not path.exists():
                continue
            if len(text.split()) >= SHORTEST_WORDS:
                yield Recording(_decode(path), text, SPEAKERS[language])


@cache
def _decoder():
    import pocketsphinx

    model = Path(pocketsphinx.get_model_path()) / "en-us"
    return pocketsphinx.Decoder(
        hmm=str(model / "en-us"), dict=str(model / "cmudict-en-us.dict"), lm=None, samprate=SAMPLE_RATE_HZ,
        loglevel="FATAL",
    )  # fmt: skip


def align_english(recording: Recording) -> Utterance | None:
    """Phone times by pocketsphinx's bundled acoustic model; none where a word is unknown or no path is found."""
    decoder = _decoder()
    text = re.sub(r"\d", lambda match: f" {DIGITS[int(match.group())]} ", recording.text.lower())
    words = [word.strip("'") for word in re.sub(r"[^a-z']+", " ", text).split()]
    if not all(word and decoder.lookup_word(word) for word in words):
        return None
    pcm = np.round(recording.audio * 32767).astype(np.int16).tobytes()
    decoder.set_align_text(" ".join(words))
    try:
        for second in (False, True):
            if second:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(pcm, full_utt=True)
            decoder.end_utt()
        aligned = [part for word in decoder.get_alignment() for part in word]
    except RuntimeError:
        return None
    phones = []
    for part in aligned:
        name = part.name.lower()
        silent = name == "sil" or name.startswith("+")
        phones.append(Phone("" if silent else IPA[name], part.start * FRAME_S, (part.start + part.duration) * FRAME_S))
    if not phones:
        return None
    audio, conformed = conform(recording.audio, SAMPLE_RATE_HZ, phones)
    return Utterance(audio, conformed, recording.text, f"recorded:{recording.speaker}")


def aligned_english(folder: Path) -> Iterator[Utterance]:
    """English recordings that could be aligned."""
    for recording in recordings(folder, "en"):
        utterance = align_english(recording)
        if utterance is not None:
            yield utterance
