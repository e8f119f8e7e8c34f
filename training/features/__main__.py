"""Command line: `python -m training.features --pairs runs/pairs --avatar avatars/default`.

Trains a small feature network on path-traced frames, for the perceptual term of `training.enhancer` where VGG's weights
are not at hand.
"""

import argparse
from datetime import datetime, timezone
from functools import reduce
from pathlib import Path
from time import process_time

import torch

from training.enhancer.config import CropConfig
from training.enhancer.pairs import TRAIN, Pairs, load_pairs, read_manifest
from training.enhancer.sources import add_arguments, sources_of
from training.enhancer.synthetic import synthetic_pairs
from training.features.config import FeatureConfig
from training.features.stored import save_features
from training.features.trainer import accuracy, train

CHECKED_DRAWS = 20


def main() -> None:
    options = _parser().parse_args()
    sources = sources_of(options)
    torch.set_num_threads(options.threads)
    config = FeatureConfig(steps=options.steps, seed=options.seed)
    if options.quick:
        config = FeatureConfig(steps=20, crops=CropConfig(size_px=64), report_steps=5)
        learned, held_out = synthetic_pairs(4, size_px=128), synthetic_pairs(2, size_px=128, seed=1)
    else:
        learned, held_out = _pairs(sources, True), _pairs(sources, False)
    started_s = process_time()
    features, heads = train(learned, config)
    provenance = {
        "made by": "python -m training.features",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "tasks": "parts of path-traced frames; kind and level of blur, grain and 4 x 4 cells",
        "pictures": "drawn" if options.quick else [avatar.name for avatar in options.avatar],
        "frames": len(learned),
        "steps": config.steps,
        "cpu_s": round(process_time() - started_s, 1),
        "seed": config.seed,
        "torch": str(torch.__version__),
    }
    if held_out is not None:
        parts, distortion = accuracy(features, heads, held_out, config, CHECKED_DRAWS)
        provenance |= {"held-out parts right": round(parts, 4), "held-out distortions right": round(distortion, 4)}
    save_features(options.output, features, provenance)
    print(f"wrote {options.output}: {provenance}")


def _pairs(sources: list[tuple[Path, Path]], is_training: bool) -> Pairs | None:
    """Of the training split, or of the held-out ones; None where there are none."""
    found = []
    for folder, avatar in sources:
        entries = [entry for entry in read_manifest(folder) if (entry.split == TRAIN) == is_training]
        if entries:
            found.append(load_pairs(entries, avatar))
    if is_training and not found:
        folders = ", ".join(str(folder) for folder, _ in sources)
        raise SystemExit(f"{folders} must have frames of the training split, got none")
    return reduce(Pairs.joined, found) if found else None


def _parser() -> argparse.ArgumentParser:
    defaults = FeatureConfig()
    parser = argparse.ArgumentParser(prog="python -m training.features", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/features/features.pt"), help="file of the weights")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="drawn pairs and few steps, to try the code")
    return parser


if __name__ == "__main__":
    main()
