"""SVOX Pico, statistical voices of five women, with the state durations that drive its vocoder.

Needs `py-nanotts` (Apache-2.0, engine and voices), whose extension module exports the C interface of Pico. The engine
is a chain of units joined by buffers; the items that its acoustic model hands to the next unit hold each phone with
its frames of 4 ms, and are read as they pass.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np

from training.speech_corpus.store import Phone, Utterance, conform

RATE_HZ = 16_000
FRAME_S = 0.004
MEMORY_BYTES = 3 * 1024 * 1024
TEXT_BYTES = 30_000

LATE_S = 0.025
"""By how much the sound comes after the frames (the vocoder's delay, measured on the energy around obstruents)."""

UNITS = 9
SENTENCE_PHONOLOGY, ACOUSTIC_MODEL = 5, 6
"""Places in the chain of units whose output is read."""

PHONE_ITEM, SYLLABLE_ITEM = ord("h"), ord("y")
UNACCENTED = ord("0")
BUSY = 201
MAGIC = 0x5069436F


def _table(text: str) -> Mapping[int, str]:
    pairs = (entry.partition(":") for entry in text.split())
    return MappingProxyType({int(number): symbol for number, _, symbol in pairs})


@dataclass(frozen=True, slots=True)
class Inventory:
    """Numbers of a language's phones.

    Attributes:
        ipa: what each number sounds like.
        closures: gaps that belong to the phone after them.
        pause: silence.
    """

    ipa: Mapping[int, str]
    closures: frozenset[int]
    pause: int


INVENTORIES = MappingProxyType({
    "en-US": Inventory(
        _table(
            "37:l̩ 38:n̩ 39:ə 40:ɑː 42:ð 43:ɪ 45:ŋ 47:ɔɪ 48:ʃ 49:θ 50:ʊ 52:ʌ 53:ʒ 54:aɪ 55:aʊ 56:b 57:d 58:dʒ 62:f 63:ɡ "
            "64:h 65:iː 66:j 67:k 68:l 69:m 70:n 71:oʊ 72:p 73:æ 74:ɹ 75:s 76:t 77:tʃ 78:uː 79:v 80:w 81:z 82:p 83:t "
            "84:k 86:ʔ 90:ɝː 91:ɚ 92:eɪ 93:ɔː 94:ɔː 95:ɾ 96:t 97:i 98:ɛ"
        ),
        frozenset({88, 89}),
        87,
    ),
    "en-GB": Inventory(
        _table(
            "36:ɜː 37:l̩ 38:ə 39:ɒ 40:ɑː 41:ð 42:ɪ 43:ɪə 44:ŋ 45:ɔː 46:ɔɪ 47:ʃ 48:θ 49:ʊ 50:ʊə 51:ʌ 52:ʒ 53:aɪ 54:aʊ "
            "55:b 56:d 57:dʒ 58:ɛ 59:ɛə 60:eɪ 61:f 62:ɡ 63:h 64:iː 65:j 66:k 67:l 68:m 69:n 70:əʊ 71:p 72:æ 73:ɹ 74:s "
            "75:t 76:tʃ 77:uː 78:v 79:w 80:z 87:p 88:t 89:k 91:ʔ 93:ə"
        ),
        frozenset({94, 95}),
        92,
    ),
    "de-DE": Inventory(
        _table(
            "36:ø 37:øː 38:ɐ 39:œ 40:l̩ 41:m̩ 42:n̩ 43:ʔ 44:ə 45:ç 46:ɛ 47:ɛː 48:ɪ 49:ŋ 50:ɔ 51:ɔø 52:ʃ 53:ʊ 54:ʏ 55:ʒ "
            "56:ɐ 57:i 59:u 60:a 61:aː 62:aɪ 63:aʊ 64:b 65:d 66:dʒ 67:e 68:eː 69:f 70:ɡ 71:h 72:i 73:iː 74:j 75:k 76:l "
            "77:m 78:n 79:o 80:oː 81:p 82:pf 83:ʁ 84:s 85:t 86:tʃ 87:ts 88:u 89:uː 90:v 91:x 92:y 93:yː 94:z "
            "97:ɑ̃ 98:ɔ 101:p 102:t 103:k"
        ),
        frozenset({99, 100}),
        104,
    ),
    "es-ES": Inventory(
        _table(
            "36:β 37:ð 38:ɣ 39:ɲ 40:ʎ 41:ŋ 42:θ 43:w 44:a 45:b 46:d 47:e 48:f 49:ɡ 50:i 51:j 53:k 54:l 55:m 56:n 57:o "
            "58:p 59:ɾ 60:r 61:s 62:t 63:tʃ 64:u 65:x"
        ),
        frozenset({70, 71}),
        69,
    ),
    "fr-FR": Inventory(
        _table(
            "38:ø 39:ə 40:œ 41:ʔ 43:ɛ 45:ɥ 46:ɲ 47:ŋ 48:ɔ 50:ʁ 51:ʃ 52:ʒ 53:a 55:b 56:d 57:e 58:f 59:ɡ 60:i 61:j 62:k "
            "63:l 64:m 65:n 66:o 67:p 68:s 69:t 70:u 71:v 72:w 73:y 74:z 75:œ̃ 76:ɛ̃ 77:ɔ̃ 78:ɑ̃ 85:a 86:ɛ 87:i 88:ɑ̃"
        ),
        frozenset({83, 84}),
        82,
    ),
})  # fmt: skip

VOICES = tuple(INVENTORIES)
ENGLISH = ("en-US", "en-GB")


class _Buffer(ctypes.Structure):
    pass


_PUT_ITEM = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.POINTER(_Buffer),
    ctypes.POINTER(ctypes.c_uint8),
    ctypes.c_uint16,
    ctypes.POINTER(ctypes.c_uint16),
)
_Buffer._fields_ = [
    ("bytes", ctypes.c_void_p),
    ("rear", ctypes.c_uint16),
    ("front", ctypes.c_uint16),
    ("length", ctypes.c_uint16),
    ("size", ctypes.c_uint16),
    ("common", ctypes.c_void_p),
    ("get_item", ctypes.c_void_p),
    ("put_item", _PUT_ITEM),
]


class _Unit(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_void_p)
            for name in ("initialize", "step", "terminate", "voice", "common", "input", "output")
        ),
        ("deallocate", ctypes.c_void_p),
        ("own", ctypes.c_void_p),
    ]


class _Control(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_uint8),
        ("current", ctypes.c_uint8),
        ("last_item_type", ctypes.c_uint8),
        ("units", ctypes.c_void_p * 25),
        ("status", ctypes.c_int * 25),
        ("outputs", ctypes.POINTER(_Buffer) * 25),
    ]


class _EngineMemory(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint32),
        ("memory", ctypes.c_void_p),
        ("common", ctypes.c_void_p),
        ("voice", ctypes.c_void_p),
        ("control", ctypes.POINTER(_Unit)),
    ]


_HANDLE, _TEXT, _COUNT = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int16)
_SIGNATURES = {
    "pico_initialize": (_HANDLE, ctypes.c_uint32, ctypes.POINTER(_HANDLE)),
    "pico_loadResource": (_HANDLE, _TEXT, ctypes.POINTER(_HANDLE)),
    "pico_getResourceName": (_HANDLE, _HANDLE, _TEXT),
    "pico_createVoiceDefinition": (_HANDLE, _TEXT),
    "pico_addResourceToVoiceDefinition": (_HANDLE, _TEXT, _TEXT),
    "pico_newEngine": (_HANDLE, _TEXT, ctypes.POINTER(_HANDLE)),
    "pico_putTextUtf8": (_HANDLE, _TEXT, ctypes.c_int16, _COUNT),
    "pico_getData": (_HANDLE, _TEXT, ctypes.c_int16, _COUNT, _COUNT),
    "pico_resetEngine": (_HANDLE, ctypes.c_int32),
}


@cache
def _package() -> Path:
    found = find_spec("py_nanotts")
    if found is None:
        raise RuntimeError("SVOX Pico is not there: pip install py-nanotts==0.1.1")
    return Path(found.submodule_search_locations[0])


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(next(_package().glob("_nanotts*.so"))))
    for name, arguments in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = ctypes.c_int, list(arguments)
    return library


def _check(status: int, what: str) -> None:
    if status < 0:
        raise RuntimeError(f"SVOX Pico could not {what}: status {status}")


class _Engine:
    """One voice; its system, resources and hooks live as long as the process."""

    def __init__(self, voice: str):
        self._pico = _library()
        self._memory = ctypes.create_string_buffer(MEMORY_BYTES)
        system, self._engine = _HANDLE(), _HANDLE()
        _check(self._pico.pico_initialize(self._memory, MEMORY_BYTES, ctypes.byref(system)), "start")
        _check(self._pico.pico_createVoiceDefinition(system, b"voice"), "define a voice")
        for pattern in (f"{voice}_ta.bin", f"{voice}_*_sg.bin"):
            resource, name = _HANDLE(), ctypes.create_string_buffer(200)
            path = next((_package() / "lang").glob(pattern))
            _check(
                self._pico.pico_loadResource(system, str(path).encode(), ctypes.byref(resource)), f"load {path.name}"
            )
            _check(self._pico.pico_getResourceName(system, resource, name), f"name {path.name}")
            _check(self._pico.pico_addResourceToVoiceDefinition(system, b"voice", name.value), f"use {path.name}")
        _check(self._pico.pico_newEngine(system, b"voice", ctypes.byref(self._engine)), "make an engine")
        self._syllables: list[bytes] = []
        self._phones: list[bytes] = []
        self._hooks = self._listen()

    def _listen(self) -> list:
        """Puts a listener before the buffers' own way of taking items in."""
        engine = _EngineMemory.from_address(self._engine.value)
        if engine.magic != (self._engine.value & 0xFFFFFFFF) ^ MAGIC:
            raise RuntimeError("this build of SVOX Pico lays its engine out otherwise: use py-nanotts==0.1.1")
        control = _Control.from_address(engine.control.contents.own)
        if control.count != UNITS:
            raise RuntimeError(f"the engine has {UNITS} units, got {control.count}: use py-nanotts==0.1.1")
        return [
            self._hook(control.outputs[SENTENCE_PHONOLOGY].contents, SYLLABLE_ITEM, self._syllables),
            self._hook(control.outputs[ACOUSTIC_MODEL].contents, PHONE_ITEM, self._phones),
        ]

    @staticmethod
    def _hook(buffer: _Buffer, kind: int, heard: list[bytes]):
        put = _PUT_ITEM(ctypes.cast(buffer.put_item, ctypes.c_void_p).value)

        def listen(this, item, limit, written):
            status = put(this, item, limit, written)
            if status == 0 and item[0] == kind:
                heard.append(ctypes.string_at(item, 4 + item[3]))
            return status

        hook = _PUT_ITEM(listen)
        buffer.put_item = hook
        return hook

    def speak(self, marked: str) -> tuple[np.ndarray, list[bytes], list[bytes]]:
        """Sound int16 [samples], the items of the phones and those of the syllables."""
        self._syllables.clear()
        self._phones.clear()
        _check(self._pico.pico_resetEngine(self._engine, 0), "begin anew")
        data = marked.encode("utf-8") + b"\0"
        if len(data) > TEXT_BYTES:
            raise ValueError(f"a text has at most {TEXT_BYTES} bytes, got {len(data)}: speak sentence by sentence")
        taken, pieces, out = 0, [], ctypes.create_string_buffer(4096)
        count, kind, status = ctypes.c_int16(), ctypes.c_int16(), BUSY
        while taken < len(data) or status == BUSY:
            if taken < len(data):
                rest = data[taken:]
                _check(self._pico.pico_putTextUtf8(self._engine, rest, len(rest), ctypes.byref(count)), "take the text")
                taken += count.value
            status = self._pico.pico_getData(self._engine, out, len(out), ctypes.byref(count), ctypes.byref(kind))
            _check(status, "speak")
            pieces.append(out.raw[: count.value])
        return np.frombuffer(b"".join(pieces), dtype="<i2"), list(self._phones), list(self._syllables)


@cache
def _engine(voice: str) -> _Engine:
    return _Engine(voice)


def phones_of(items: list[bytes], syllables: list[bytes], inventory: Inventory) -> list[Phone]:
    """Phones with times from the first frame.

    Args:
        items: of the acoustic model: type, phone, number of states, length, then frames, pitch and spectrum of each
            state, 16 bits each.
        syllables: of the sentence phonology: type, -, accent, length, then phones. They hold the phones of `items`
            but the pauses, in the same order.
        inventory: of the language.

    Raises:
        ValueError: for a phone without a sound in `inventory`.
    """
    accents = [item[2] for item in syllables for _ in item[4:]]
    phones: list[Phone] = []
    clock_s, closed_from_s, sounding = 0.0, None, 0
    for item in items:
        number = item[1]
        frames = int(np.frombuffer(item, dtype="<u2", offset=4)[::3].sum())
        start_s, clock_s = clock_s, clock_s + frames * FRAME_S
        stress = 0
        if number != inventory.pause:
            stress, sounding = 2 if accents[sounding] != UNACCENTED else 0, sounding + 1
        if number in inventory.closures:
            closed_from_s = start_s
            continue
        if number != inventory.pause and number not in inventory.ipa:
            raise ValueError(f"phone {number} of SVOX Pico has no sound in its table: add its IPA")
        start_s, closed_from_s = start_s if closed_from_s is None else closed_from_s, None
        phones.append(Phone(inventory.ipa.get(number, ""), start_s, clock_s, stress))
    return phones


def speak(text: str, voice: str, rate: int = 100, pitch: int = 100, speed: float = 1.0) -> Utterance:
    """Speaks a sentence.

    Args:
        text: in the voice's language, without `<` and `&`.
        voice: one of `VOICES`, by language.
        rate: percent of the voice's own pace, 50 to 200.
        pitch: percent of the voice's own pitch, 50 to 200.
        speed: see `conform`.
    """
    marked = f'<speed level="{rate}"><pitch level="{pitch}">{text}</pitch></speed>'
    audio, items, syllables = _engine(voice).speak(marked)
    phones = phones_of(items, syllables, INVENTORIES[voice])
    phones = [Phone(p.ipa, p.start_s + LATE_S, p.end_s + LATE_S, p.stress) for p in phones]
    audio, conformed = conform(audio.astype(np.float32) / 32768, RATE_HZ, phones, speed)
    return Utterance(audio, conformed, text, f"pico:{voice}")
