"""How far forced alignment can be trusted: `python -m benchmarks.alignment --phones .data/alignment.npz`.

The bars for recorded people are about where their phones are labelled. This command labels speech whose phone times are
known in the way that recordings are labelled, from its text alone, and tells how far the labels are from the truth: of
the frames in speech the part whose viseme is right, and of m, b, p, where the alignment holds as many of them as were
said, the part whose middle is more than 40, 60 and 100 ms from the true one.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from avatar.config import FEATURE_HOP_SAMPLES, FEATURE_MS
from avatar.visemes import VISEME_INDEX, visemes_of
from benchmarks.motion import closures, table
from training.alignment.forced import align_speaker
from training.alignment.phone_model import PhoneModel, shipped_encoder
from training.audio_encoder import BILABIALS, PHONES, phone_rows
from training.speech_corpus import Utterance, pico_voice, read_shard, text
from training.speech_corpus.recordings import Recording

SHARDS = {"recorded-ru-read": "ru", "festival": "en-us", "piper": "en-us", "kokoro-unseen": "en-us"}
"""Language of the text of each."""

PICO = {"pico es": ("es-ES", "es"), "pico fr": ("fr-FR", "fr")}
"""Voice and language of sentences that are spoken on the spot."""
PICO_SEED = 900_001

FAR_MS = (40, 60, 100)

VISEME_OF_CLASS = np.array([VISEME_INDEX[visemes_of(phone)[0]] for phone in PHONES] + [0])
BILABIAL_CLASSES = [PHONES.index(phone) for phone in BILABIALS]


def middles(classes: np.ndarray) -> np.ndarray:
    """Of m, b, p in phone classes [rows], in rows."""
    return np.array([(run.start + run.stop - 1) / 2 for run in closures(np.isin(classes, BILABIAL_CLASSES))])


def distance(pairs: list[tuple[Utterance, Utterance]]) -> dict[str, float]:
    """How far labels lie from the truth, of utterances with true and with found times."""
    right, far_ms, said = [], [], 0
    for true, found in pairs:
        rows = len(found.audio) // FEATURE_HOP_SAMPLES
        labels, classes = (phone_rows(utterance.phones, rows).astype(int) for utterance in (true, found))
        speech = VISEME_OF_CLASS[labels] != 0
        right.append((VISEME_OF_CLASS[labels] == VISEME_OF_CLASS[classes])[speech])
        expected, got = middles(labels), middles(classes)
        said += len(expected)
        if len(expected) == len(got):
            far_ms.append((got - expected) * FEATURE_MS)
    far_ms = np.concatenate(far_ms)
    return {
        "viseme right, in speech %": 100.0 * np.mean(np.concatenate(right)),
        "m b p": said,
        "compared": len(far_ms),
        "late by ms": np.mean(far_ms),
        **{f"beyond {far} ms %": 100.0 * np.mean(np.abs(far_ms) > far) for far in FAR_MS},
    }


def measure(utterances: list[Utterance], language: str, model: PhoneModel) -> dict[str, float]:
    """Labels utterances of known times from their text, each voice by itself, and compares."""
    pairs = []
    for voice in sorted({utterance.voice for utterance in utterances}):
        spoken = [u for u in utterances if u.voice == voice]
        labelled = align_speaker([Recording(u.audio, u.text, voice) for u in spoken], language, model)
        pairs += [(true, found) for true, found in zip(spoken, labelled, strict=True) if found is not None]
    return distance(pairs)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.alignment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phones", type=Path, default=Path(".data/alignment.npz"), help="of training.alignment")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"), help="whose encoder it reads")
    parser.add_argument("--speech", type=Path, default=Path(".data/speech"))
    parser.add_argument("--sentences", type=int, default=60, help="of each set")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = PhoneModel.load(options.phones, shipped_encoder(options.repository))
    measured = {}
    for name, language in SHARDS.items():
        utterances = read_shard(options.speech / "validation" / f"{name}-000.npz")[: options.sentences]
        measured[name] = measure(utterances, language, model)
    for name, (voice, language) in PICO.items():
        sentences = islice(text.foreign(language, PICO_SEED), options.sentences)
        measured[name] = measure([pico_voice.speak(sentence, voice) for sentence in sentences], language, model)
    print(table(measured))


if __name__ == "__main__":
    main()
