"""How sure the held-out phone times are: `python -m benchmarks.alignment --checkpoint .data/motion/motion.pt`.

The viseme accuracy of `benchmarks.motion` cannot exceed what the labels themselves are worth. This command lays the
true phones onto the sound where the trained audio encoder hears them, and tells how often that agrees with the labels,
and how often the encoder's free guess agrees with either. It is a check of labels, not of the network: an aligner that
knows the words should agree with exact times nearly everywhere.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from avatar.config import FEATURE_HOP_SAMPLES, WindowConfig
from avatar.networks.audio_encoder import AudioEncoder
from avatar.visemes import VISEME_INDEX, visemes_of
from benchmarks.motion import table
from export.audio_encoder import load
from training.audio_encoder import OTHER, PHONES, PhoneHead, classes_of, phone_rows
from training.motion.alignment import align
from training.speech_corpus import Utterance, read_shard

SETS = ("festival", "kokoro-unseen", "piper", "espeak-unseen")

VISEME_OF_CLASS = np.array([VISEME_INDEX[visemes_of(phone)[0]] for phone in PHONES] + [0])


def load_phone_head(checkpoint: Path) -> PhoneHead:
    """Of the averaged weights in a checkpoint of `training.motion`."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["averaged"]
    prefix = "module.phone_head."
    head = PhoneHead()
    head.load_state_dict({name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)})
    return head.eval()


@torch.inference_mode()
def hear(audio: np.ndarray, encoder: AudioEncoder, head: PhoneHead) -> np.ndarray:
    """Logarithms of the phones' probabilities, from the rows that a session takes of each window.

    Args:
        audio: float32 [samples], 16 kHz.

    Returns:
        float32 [samples / 320, phones].
    """
    window = WindowConfig()
    rows = len(audio) // FEATURE_HOP_SAMPLES
    first = window.window_rows - window.lead_rows
    steps = -(-rows // window.hop_rows)
    padded = np.zeros((steps * window.hop_rows + window.window_rows) * FEATURE_HOP_SAMPLES, np.float32)
    padded[first * FEATURE_HOP_SAMPLES :][: len(audio)] = audio
    windows = np.lib.stride_tricks.sliding_window_view(padded, window.window_samples)[:: window.hop_samples][:steps]
    logits = [head(encoder(torch.from_numpy(np.array(part)))) for part in np.array_split(windows, -(-steps // 32))]
    probability = torch.log_softmax(torch.cat(logits), dim=-1)[:, first : first + window.hop_rows]
    return probability.reshape(-1, len(PHONES))[:rows].numpy()


def visemes(utterance: Utterance, log_probability: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visemes [rows] of the labels, of the true phones as aligned, and of the free guess."""
    labels = phone_rows(utterance.phones, len(log_probability)).astype(int)
    said = np.array([c for phone in utterance.phones for c in classes_of(phone.ipa) if c != OTHER])
    aligned = said[align(log_probability, said)]
    return tuple(VISEME_OF_CLASS[classes] for classes in (labels, aligned, log_probability.argmax(axis=1)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.alignment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="of training.motion")
    parser.add_argument("--speech", type=Path, default=Path(".data/speech"))
    parser.add_argument("--sentences", type=int, default=15, help="of each set")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    encoder, head = load(str(options.checkpoint)), load_phone_head(options.checkpoint)
    measured = {}
    for name in SETS:
        utterances = read_shard(options.speech / "validation" / f"{name}-000.npz")[: options.sentences]
        parts = [visemes(u, hear(u.audio, encoder, head)) for u in utterances]
        labels, aligned, guess = (np.concatenate(part) for part in zip(*parts, strict=True))
        measured[name] = {
            "aligned agrees with label %": 100.0 * np.mean(aligned == labels),
            "in speech %": 100.0 * np.mean((aligned == labels)[labels != 0]),
            "guess agrees with label, in speech %": 100.0 * np.mean((guess == labels)[labels != 0]),
            "guess agrees with aligned, in speech %": 100.0 * np.mean((guess == aligned)[aligned != 0]),
        }
    print(table(measured))


if __name__ == "__main__":
    main()
