"""Recorded people with phone times by forced alignment. Only tests use them.

Needs the unpacked Debian packages `asterisk-core-sounds-<language>` (transcripts) and `-g722` (sound), CC-BY-SA-3.0:
no weights are made from them.
"""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from avatar.config import SAMPLE_RATE_HZ
from training.speech_corpus import espeak_voice
from training.speech_corpus.flite_voice import IPA
from training.speech_corpus.store import Phone, Utterance, conform

SPEAKERS = {"en": "en_US_f_Allison", "es": "es_MX_f_Allison", "fr": "fr_CA_f_June", "it": "it_IT_m_Carlo",
            "ru": "ru_RU_f_IvrvoiceRU"}  # fmt: skip
SHORTEST_WORDS = 3
"""Shorter prompts are single digits and letters."""

FRAME_S = 0.01
"""Of pocketsphinx and of the time warping."""

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


def _cepstra(audio: np.ndarray) -> np.ndarray:
    """[frames, 26] mel cepstra and their slopes every 10 ms, mean and variance removed."""
    from scipy.fft import dct

    hop, length = int(FRAME_S * SAMPLE_RATE_HZ), 400
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, (length // 2, length)), length)[::hop]
    frames = frames[: max(1, len(audio) // hop)] * np.hanning(length)
    power = np.abs(np.fft.rfft(frames, 512, axis=1)) ** 2
    edges = 700 * (10 ** (np.linspace(50, 2750, 28) / 2595) - 1)
    frequency_hz = np.fft.rfftfreq(512, 1 / SAMPLE_RATE_HZ)[:, None]
    rising = (frequency_hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency_hz) / (edges[2:] - edges[1:-1])
    mel = np.log(power @ np.maximum(0, np.minimum(rising, falling)) + 1e-5)
    cepstra = dct(mel, axis=1, norm="ortho")[:, :13]
    cepstra = np.concatenate([cepstra, 2 * np.gradient(cepstra, axis=0)], axis=1)
    return (cepstra - cepstra.mean(axis=0)) / (cepstra.std(axis=0) + 1e-6)


def _warp(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """For every frame of `ours` [N, D] the frame of `theirs` [M, D] beside it [N], by dynamic time warping.

    Sakoe, Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE TASSP 26(1), 1978.
    """
    cost = np.sqrt(np.maximum(0, (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * ours @ theirs.T))
    n, m = cost.shape
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(2, n + m + 1):
        i = np.arange(max(1, diagonal - m), min(n, diagonal - 1) + 1)
        j = diagonal - i
        best = np.minimum(np.minimum(total[i - 1, j], total[i, j - 1]), total[i - 1, j - 1] + 0.2 * cost[i - 1, j - 1])
        total[i, j] = cost[i - 1, j - 1] + best
    match, i, j = np.zeros(n, int), n, m
    while i > 0 and j > 0:
        match[i - 1] = j - 1
        step = np.argmin([total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]])
        i, j = i - (step != 2), j - (step != 1)
    return match


def align_by_synthesis(recording: Recording, voice: str, rate_wpm: int = 150) -> Utterance:
    """Phone times by warping espeak-ng's synthesis of the same text onto the recording, for languages without an
    acoustic model."""
    spoken = espeak_voice.speak(recording.text, voice, rate_wpm)
    match = _warp(_cepstra(spoken.audio), _cepstra(recording.audio))
    last = len(match) - 1

    def warped_s(time_s: float) -> float:
        return float(match[min(last, int(time_s / FRAME_S))]) * FRAME_S

    phones = [Phone(p.ipa, warped_s(p.start_s), warped_s(p.end_s), p.stress) for p in spoken.phones]
    audio, conformed = conform(recording.audio, SAMPLE_RATE_HZ, phones)
    return Utterance(audio, conformed, recording.text, f"recorded:{recording.speaker}")


def aligned(folder: Path, language: str) -> Iterator[Utterance]:
    """Recordings of a language that could be aligned."""
    for recording in recordings(folder, language):
        utterance = align_english(recording) if language == "en" else align_by_synthesis(recording, language)
        if utterance is not None:
            yield utterance
