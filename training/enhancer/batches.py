"""Random batches of pairs, moved by a few pixels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.enhancer.attention import UNIT
from training.enhancer.pairs import Pairs


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one step.

    Attributes:
        raster: [batch, h, w, 4] uint8.
        mask: [batch, h, w] uint8.
        truth: [batch, h, w, 4] uint8.
        attention: [batch, 1, h, w] float32, 1.0 on the face.
        background: [batch, 3, 1, 1] float32 in [0, 1].
    """

    raster: Tensor
    mask: Tensor
    truth: Tensor
    attention: Tensor
    background: Tensor


def draw_batch(pairs: Pairs, size: int, shift_px: int, rng: np.random.Generator) -> Batch:
    """Pairs drawn without repetition inside the batch; both frames of a pair are moved by the same whole pixels.

    Every avatar is drawn equally often, however many pairs it has. What enters the frame at its border repeats the
    border: clothes that reach the lower edge still do.
    """
    chosen = rng.choice(len(pairs), size=min(size, len(pairs)), replace=False, p=even_shares(pairs.names))
    rows = []
    for index in chosen:
        dy, dx = rng.integers(-shift_px, shift_px + 1, size=2)
        arrays = (pairs.raster[index], pairs.mask[index], pairs.truth[index], pairs.attention[index])
        rows.append([shift(array, int(dx), int(dy)) for array in arrays])
    raster, mask, truth, attention = (torch.from_numpy(np.stack(array)) for array in zip(*rows, strict=True))
    background = torch.from_numpy(rng.uniform(size=(len(chosen), 3, 1, 1)).astype(np.float32))
    return Batch(raster, mask, truth, attention[:, None].float() / UNIT, background)


def even_shares(names: Sequence[str]) -> np.ndarray:
    """Probability [N] of each pair, so that those of every avatar, the first part of a name, add up to the same."""
    avatars = [name.split("/")[0] for name in names]
    count = Counter(avatars)
    return np.array([1 / (len(count) * count[avatar]) for avatar in avatars])


def shift(array: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """Moves a picture [H, W, ...] right by `dx` and down by `dy` pixels; borders repeat."""
    height, width = array.shape[:2]
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    columns = np.clip(np.arange(width) - dx, 0, width - 1)
    return array[rows][:, columns]
