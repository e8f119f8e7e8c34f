"""Windows on what viewers look at: eyes and mouth, hair, skin.

Perceptual and adversarial terms see these instead of whole frames, which would cost several times the rest of a step.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar.head import Part
from training.enhancer.config import CropConfig

FOCUS_WEIGHT = 3.0
"""Attention above this lies at the eyes and the mouth."""


@dataclass(frozen=True, slots=True)
class Window:
    """A square of one frame of a batch: its upper left pixel."""

    frame: int
    top: int
    left: int


def draw_windows(mask: Tensor, attention: Tensor, config: CropConfig, rng: np.random.Generator) -> list[Window]:
    """Windows about random pixels of each region, moved into the frame.

    Args:
        mask: [batch, h, w] uint8, part ids.
        attention: [batch, 1, h, w] float, 1.0 on the face.
        config: how many of which region; of a region that a frame lacks they come from the figure, or from anywhere.
        rng: draws the pixels.
    """
    windows = []
    for frame in range(len(mask)):
        parts, focus = mask[frame].numpy(), attention[frame, 0].numpy() > FOCUS_WEIGHT
        regions = ((focus, config.focus), (parts == Part.HAIR, config.hair), (parts == Part.SKIN, config.skin))
        for region, count in regions:
            places = next(np.flatnonzero(r) for r in (region, parts > 0, np.ones_like(focus)) if r.any())
            for place in rng.choice(places, size=count):
                middle = np.unravel_index(place, parts.shape)
                corner = (np.clip(m - config.size_px // 2, 0, max(side - config.size_px, 0))
                          for m, side in zip(middle, parts.shape, strict=True))  # fmt: skip
                windows.append(Window(frame, *map(int, corner)))
    return windows


def cut(pictures: Tensor, windows: list[Window], size_px: int) -> Tensor:
    """[batch, channels, h, w] -> [windows, channels, size_px, size_px], or as much of it as the frame has."""
    return torch.stack([
        pictures[w.frame, :, w.top : w.top + size_px, w.left : w.left + size_px] for w in windows
    ])  # fmt: skip
