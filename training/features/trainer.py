"""One training run of a feature network on path-traced frames."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from training.enhancer.batches import draw_batch
from training.enhancer.crops import cut, draw_windows
from training.enhancer.losses import over
from training.enhancer.pairs import Pairs
from training.features.config import FeatureConfig
from training.features.distortions import distort
from training.features.network import Features
from training.features.tasks import Heads


def train(pairs: Pairs, config: FeatureConfig, report: Callable[[str], None] = print) -> tuple[Features, Heads]:
    """A feature network and its heads; the same pairs and configuration give the same weights."""
    torch.manual_seed(config.seed)
    features, heads = Features(config.layout), Heads(config.layout)
    parameters = [*features.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, config.steps, pct_start=0.1)
    for step in range(config.steps):
        picture, mask, classes = draw(pairs, config, np.random.default_rng((config.seed, step)))
        answers = heads(features(picture))
        parts, distortion = answers.losses(mask, classes)
        optimizer.zero_grad(set_to_none=True)
        (parts + config.distortion * distortion).backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % config.report_steps == 0:
            right = answers.accuracy(mask, classes)
            report(
                f"step {step + 1} parts {parts.item():.3f} {right[0]:.0%} "
                f"distortion {distortion.item():.3f} {right[1]:.0%}"
            )
    return features.eval().requires_grad_(False), heads


def accuracy(features: Features, heads: Heads, pairs: Pairs, config: FeatureConfig, draws: int) -> tuple[float, float]:
    """Shares of cells and of distortions that are named rightly, over `draws` batches of crops."""
    with torch.inference_mode():
        rows = []
        for draw_index in range(draws):
            picture, mask, classes = draw(pairs, config, np.random.default_rng((config.seed + 1, draw_index)))
            rows.append(heads(features(picture)).accuracy(mask, classes))
    parts, distortion = np.mean(rows, axis=0)
    return float(parts), float(distortion)


def draw(pairs: Pairs, config: FeatureConfig, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Distorted crops [n, 3, size, size] over random backgrounds, their parts [n, size, size] and classes [n]."""
    batch = draw_batch(pairs, config.frames, 0, rng)
    windows = draw_windows(batch.mask, batch.attention, config.crops, rng)
    truth = over(batch.truth.permute(0, 3, 1, 2).float() / 255.0, batch.background)[:, :3]
    picture, classes = distort(cut(truth, windows, config.crops.size_px), rng)
    return picture, cut(batch.mask[:, None], windows, config.crops.size_px)[:, 0], classes
