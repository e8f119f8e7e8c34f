"""espeak-ng through its shared library, with the phone events it sends while it speaks.

Needs Debian's `libespeak-ng1` and `espeak-ng-data` (GPL-3: they make training data and are never imported by what
ships).
"""

import ctypes
from functools import cache

import numpy as np

from training.speech_corpus.store import Phone, Utterance, conform

SYNCHRONOUS = 2
PHONEME_EVENTS, PHONEME_IPA = 1, 2
EVENT_LIST_TERMINATED, EVENT_PHONEME = 0, 7
PARAMETER_RATE, PARAMETER_PITCH, PARAMETER_RANGE = 1, 3, 4
CHARS_UTF8 = 1

PLOSIVE_LEAD_S = 0.035
"""espeak-ng's plosive event comes after the closure that its preceding vowel ends in (measured on the audio's
energy)."""

PLOSIVES = frozenset("pbtdkɡcɟʈɖq")


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Engine:
    """The library keeps one global voice, so the process has one engine."""

    def __init__(self):
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate_hz = self._library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS | PHONEME_IPA)
        if self.rate_hz <= 0:
            raise RuntimeError("espeak-ng did not start: install the Debian packages libespeak-ng1 and espeak-ng-data")
        self._pieces: list[np.ndarray] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, count, events) -> int:
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != EVENT_LIST_TERMINATED:
            if events[index].type == EVENT_PHONEME:
                symbol = bytes(events[index].id.string).decode("utf-8", errors="ignore")
                self._events.append((events[index].sample, symbol))
            index += 1
        return 0

    def speak(self, text: str, voice: str, rate_wpm: int, pitch: int, pitch_range: int):
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}: list them with `espeak-ng --voices`")
        for parameter, value in ((PARAMETER_RATE, rate_wpm), (PARAMETER_PITCH, pitch), (PARAMETER_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._pieces, self._events = [], []
        data = text.encode("utf-8")
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._pieces).astype(np.float32) / 32768, self._events


@cache
def _engine() -> _Engine:
    return _Engine()


def speak(
    text: str, voice: str, rate_wpm: int = 160, pitch: int = 50, pitch_range: int = 50, speed: float = 1.0
) -> Utterance:
    """Speaks a sentence.

    Args:
        text: in the voice's language.
        voice: espeak-ng's name with an optional variant, for example `en-us+f3`.
        rate_wpm: words a minute, 80 to 300.
        pitch: 0 to 100.
        pitch_range: 0 (monotone) to 100.
        speed: see `conform`.
    """
    engine = _engine()
    audio, events = engine.speak(text, voice, rate_wpm, pitch, pitch_range)
    phones = [Phone("", 0.0, 0.0)]
    for sample, symbol in events:
        if symbol.startswith("("):
            continue
        stress = 2 if "ˈ" in symbol else 1 if "ˌ" in symbol else 0
        ipa = symbol.strip("ˈˌ_:")
        start_s = sample / engine.rate_hz
        if ipa and ipa[0] in PLOSIVES and phones[-1].ipa:
            start_s = max(start_s - PLOSIVE_LEAD_S * 160 / rate_wpm, phones[-1].start_s + 0.01)
        phones.append(Phone(ipa, start_s, 0.0, stress))
    audio, conformed = conform(audio, engine.rate_hz, phones, speed)
    return Utterance(audio, conformed, text, f"espeak:{voice}")
