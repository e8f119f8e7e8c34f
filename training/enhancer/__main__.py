"""Command line: `python -m training.enhancer --pairs runs/pairs --avatar avatars/default --minutes 45`.

One network serves several avatars: name a folder of pairs for each, in the same order. Avatars that it serves already
need no pairs: `--rehearse` keeps what `--teacher` makes of them.
"""

import argparse
from datetime import datetime
from functools import reduce
from pathlib import Path

import torch

from avatar.networks.enhancer import EnhancerConfig
from training.enhancer.config import LossConfig, TrainingConfig
from training.enhancer.pairs import TRAIN, Entry, Pairs, load_pairs, name_of, read_manifest
from training.enhancer.rehearsal import rehearsed_pairs, teacher_of
from training.enhancer.sources import add_arguments, sources_of
from training.enhancer.steadiness import rendered_moments
from training.enhancer.strands import with_strands
from training.enhancer.synthetic import synthetic_pairs
from training.enhancer.trainer import Report, Trainer
from training.features.stored import load_features


def main() -> None:
    options = _parser().parse_args()
    sources = sources_of(options)
    if options.perceptual > 0 and options.features is None:
        raise SystemExit("--perceptual needs --features: weights of VGG, or those of `python -m training.features`")
    torch.set_num_threads(options.threads)
    config = TrainingConfig(
        steps=options.steps,
        minutes=options.minutes,
        batch=options.batch,
        learning_rate=options.learning_rate,
        seed=options.seed,
        loss=LossConfig(
            structure=options.structure,
            perceptual=options.perceptual,
            adversarial=options.adversarial,
            temporal=options.temporal,
        ),
    )
    network = EnhancerConfig()
    if options.quick:
        config = TrainingConfig(steps=20, batch=1, report_steps=5, loss=config.loss)
        network = EnhancerConfig(channels=(16, 32, 64), blocks=(1, 1, 1))
        pairs = synthetic_pairs(4, size_px=128)
    else:
        pairs = reduce(Pairs.joined, (load_pairs(_training_entries(folder), avatar) for folder, avatar in sources))
        pairs = with_strands(pairs, options.strands)
    if options.rehearse:
        exported = options.teacher or options.start_from
        if exported is None or exported.suffix != ".onnx":
            raise SystemExit(f"--rehearse needs an exported network as --teacher or --start-from, got {exported}")
        teacher = teacher_of(exported, network)
        for avatar in options.rehearse:
            pairs = pairs.joined(rehearsed_pairs(teacher, avatar, options.rehearse_count))
    features = load_features(options.features, options.feature_blocks) if options.perceptual > 0 else None
    moments = None
    if options.temporal > 0:
        moments = rendered_moments([*(avatar for _, avatar in sources), *options.rehearse])
    trainer = Trainer(config, network, features, moments)
    checkpoint = options.output / "enhancer.pt"
    if options.start_from is not None:
        trainer.start_from(options.start_from)
    if checkpoint.exists() and not options.restart:
        trainer.resume(checkpoint)
    parameters = sum(p.numel() for p in trainer.network.parameters())
    _log(f"{len(pairs)} pairs, {parameters / 1e6:.2f} M parameters, from step {trainer.step}")

    def refresh(pairs: Pairs) -> Pairs:
        if not options.follow:
            return pairs
        for folder, avatar in sources:
            new = [entry for entry in _training_entries(folder) if name_of(entry, avatar) not in pairs.names]
            if new:
                _log(f"{len(new)} new pairs of {avatar.name}")
                pairs = pairs.joined(with_strands(load_pairs(new, avatar), options.strands))
        return pairs

    trainer.run(pairs, checkpoint, report=_log, refresh=refresh)
    _log(f"wrote {checkpoint}")


def _training_entries(folder: Path) -> list[Entry]:
    return [entry for entry in read_manifest(folder) if entry.split == TRAIN]


def _log(line: str | Report) -> None:
    print(datetime.now().strftime("%H:%M:%S"), line, flush=True)


def _parser() -> argparse.ArgumentParser:
    defaults = TrainingConfig()
    parser = argparse.ArgumentParser(prog="python -m training.enhancer", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/enhancer"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="optimizer steps; 0: as --minutes allows")
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="length of the run; 0: as --steps says")
    parser.add_argument("--batch", type=int, default=defaults.batch, help="frames in a step")
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--structure", type=float, default=defaults.loss.structure, help="weight of 1 - SSIM")
    parser.add_argument(
        "--perceptual", type=float, default=defaults.loss.perceptual, help="weight of the distance of features; 0: off"
    )
    parser.add_argument("--features", type=Path, help="weights of the features: VGG's, or of `training.features`")
    parser.add_argument("--feature-blocks", type=int, help="how many blocks of them, the finest first; by default all")
    parser.add_argument(
        "--adversarial", type=float, default=defaults.loss.adversarial, help="weight of the discriminator; 0: off"
    )
    parser.add_argument(
        "--temporal",
        type=float,
        default=defaults.loss.temporal,
        help="weight of what does not move with the surface; 0: off",
    )
    parser.add_argument(
        "--strands", type=float, default=0.0, help="share of the detail in hair that is the raster's, 0 to 1"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--start-from", type=Path, help="checkpoint or exported model.onnx to begin with")
    parser.add_argument("--rehearse", type=Path, nargs="+", default=[], help="avatars to keep as they are drawn")
    parser.add_argument("--teacher", type=Path, help="exported model.onnx that draws them; by default --start-from")
    parser.add_argument("--rehearse-count", type=int, default=60, help="frames of each of them")
    parser.add_argument("--restart", action="store_true", help="ignore the checkpoint in --output")
    parser.add_argument("--follow", action="store_true", help="take in pairs that are rendered while training runs")
    parser.add_argument("--quick", action="store_true", help="a small network on drawn pairs, to try the code")
    return parser


if __name__ == "__main__":
    main()
