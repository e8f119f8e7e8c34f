"""Flite through its shared library, with the segment times its synthesis is driven by.

Needs Debian's `libflite1` (a permissive licence of Carnegie Mellon University). Its voices are real speakers: one made
of diphones, three statistical ones trained on CMU ARCTIC.
"""

import ctypes
from functools import cache

import numpy as np

from training.speech_corpus.store import Phone, Utterance, conform

VOICES = ("kal16", "slt", "rms", "awb")

IPA = {
    "pau": "", "aa": "ɑː", "ae": "æ", "ah": "ʌ", "ao": "ɔː", "aw": "aʊ", "ax": "ə", "ay": "aɪ", "b": "b", "ch": "tʃ",
    "d": "d", "dh": "ð", "eh": "ɛ", "er": "ɚ", "ey": "eɪ", "f": "f", "g": "ɡ", "hh": "h", "ih": "ɪ", "iy": "iː",
    "jh": "dʒ", "k": "k", "l": "l", "m": "m", "n": "n", "ng": "ŋ", "ow": "oʊ", "oy": "ɔɪ", "p": "p", "r": "ɹ",
    "s": "s", "sh": "ʃ", "t": "t", "th": "θ", "uh": "ʊ", "uw": "uː", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ",
}  # fmt: skip
"""CMU's phone set to IPA."""


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("rate_hz", ctypes.c_int),
        ("count", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("features", ctypes.c_void_p)]


_SIGNATURES = {
    "feat_set_float": (None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float),
    "flite_synth_text": (ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(_Voice)),
    "utt_wave": (ctypes.POINTER(_Wave), ctypes.c_void_p),
    "utt_relation": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p),
    "relation_head": (ctypes.c_void_p, ctypes.c_void_p),
    "item_next": (ctypes.c_void_p, ctypes.c_void_p),
    "item_feat_string": (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p),
    "item_feat_float": (ctypes.c_float, ctypes.c_void_p, ctypes.c_char_p),
    "ffeature_string": (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p),
    "delete_utterance": (None, ctypes.c_void_p),
}


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        for name in ("usenglish", "cmulex"):
            ctypes.CDLL(f"libflite_{name}.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise RuntimeError(f"flite is not there ({error}): install the Debian package libflite1") from error
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.flite_init()
    return library


@cache
def _voice(name: str):
    library = ctypes.CDLL(f"libflite_cmu_us_{name}.so.1")
    register = getattr(library, f"register_cmu_us_{name}")
    register.restype, register.argtypes = ctypes.POINTER(_Voice), [ctypes.c_void_p]
    return register(None)


def speak(text: str, voice: str, stretch: float = 1.0, pitch_hz: float | None = None, speed: float = 1.0) -> Utterance:
    """Speaks English.

    Args:
        text: English.
        voice: one of `VOICES`.
        stretch: above 1 speaks slower at the same pitch.
        pitch_hz: mean of the intonation, the voice's own if none.
        speed: see `conform`.
    """
    flite, chosen = _library(), _voice(voice)
    flite.feat_set_float(chosen.contents.features, b"duration_stretch", stretch)
    if pitch_hz is not None:
        flite.feat_set_float(chosen.contents.features, b"int_f0_target_mean", pitch_hz)
    utterance = flite.flite_synth_text(text.encode("ascii", "ignore"), chosen)
    try:
        wave = flite.utt_wave(utterance).contents
        audio = np.ctypeslib.as_array(wave.samples, (wave.count,)).astype(np.float32) / 32768
        rate_hz = wave.rate_hz
        phones, start_s = [], 0.0
        item = flite.relation_head(flite.utt_relation(utterance, b"Segment"))
        while item:
            ipa = IPA[flite.item_feat_string(item, b"name").decode()]
            stressed = flite.ffeature_string(item, b"R:SylStructure.parent.stress") == b"1"
            end_s = flite.item_feat_float(item, b"end")
            phones.append(Phone(ipa, start_s, end_s, 2 if stressed and ipa else 0))
            start_s, item = end_s, flite.item_next(item)
    finally:
        flite.delete_utterance(utterance)
    audio, conformed = conform(audio, rate_hz, phones, speed)
    return Utterance(audio, conformed, text, f"flite:{voice}")
