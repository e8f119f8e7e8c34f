"""Trains the judge of sync: `python -m training.motion.sync --speech .data/speech --out .data/motion`.

Stop it at any time; the same command goes on from the last checkpoint, `<out>/sync.pt`. At the end it tells, on the
validation shards, how far it finds the teacher's own motion from the sound, and motion that is late or early by 100 ms.
"""

import argparse
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from avatar.config import FEATURE_RATE_HZ
from training.motion.sync.measure import measure, offset_distances
from training.motion.sync.network import SyncNetwork
from training.motion.sync.train import SyncTrainConfig, SyncTrainer
from training.motion.targets import Corpus
from training.motion.windows import SHARES, WindowSampler
from training.speech_corpus import Utterance, read_shard
from training.speech_corpus.augment import AugmentConfig
from training.teacher import teach

SHIFTS_MS = (-100, 0, 100)


def late_by(rows: np.ndarray, late_rows: int) -> np.ndarray:
    """[R, ...] moved later, its first or last row held."""
    return rows[np.clip(np.arange(len(rows)) - late_rows, 0, len(rows) - 1)]


def report(network: SyncNetwork, utterances: list[Utterance]) -> str:
    """One line: what the judge finds for the teacher's motion late by each of `SHIFTS_MS`."""
    taught = [(utterance.audio, teach(utterance)) for utterance in utterances]
    parts = []
    for shift_ms in SHIFTS_MS:
        late_rows = shift_ms * FEATURE_RATE_HZ // 1000
        found = measure(
            sum(offset_distances(network, audio, late_by(t.blendshapes, late_rows), t.viseme) for audio, t in taught)
        )
        parts.append(
            f"late by {shift_ms} ms: offset {found.offset_ms:.0f} ms, distance {found.distance:.3f}, "
            f"confidence {found.confidence:.3f}"
        )
    return "; ".join(parts)


def main(arguments: list[str] | None = None) -> None:
    config = SyncTrainConfig()
    parser = argparse.ArgumentParser(
        prog="python -m training.motion.sync", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speech", type=Path, default=Path(".data/speech"), help="folder of training.speech_corpus")
    parser.add_argument("--out", type=Path, default=Path(".data/motion"), help="folder for targets and checkpoint")
    parser.add_argument("--minutes", type=float, default=config.minutes)
    parser.add_argument("--batch-size", type=int, default=config.batch_size)
    parser.add_argument("--learning-rate", type=float, default=config.learning_rate)
    parser.add_argument("--device", default=config.device)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU")
    parser.add_argument("--seed", type=int, default=config.seed)
    parser.add_argument("--sentences", type=int, default=15, help="of each validation shard, for the report")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    # Unwinds the loop, which saves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    folder = options.speech / "train"
    corpus = Corpus(folder, options.out / "targets", SHARES)
    if not corpus.refresh():
        parser.error(f"no speech in {folder}: run `python -m training.speech_corpus --out {options.speech}` first")
    trainer = SyncTrainer(
        SyncTrainConfig(
            minutes=options.minutes,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            device=options.device,
            seed=options.seed,
        ),
        options.out,
    )
    # A resumed run must not see the same windows again.
    trainer.run(WindowSampler(corpus.tracks, corpus.shares, AugmentConfig(), options.seed + trainer.step))
    judge = trainer.network.eval().cpu()
    for shard in sorted((options.speech / "validation").glob("*.npz")):
        print(f"{shard.stem}: {report(judge, read_shard(shard)[: options.sentences])}", flush=True)


if __name__ == "__main__":
    main()
