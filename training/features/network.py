"""A stack of 3x3 convolutions whose activations describe a picture: VGG's layers (Simonyan and Zisserman, 2015).

Layers are numbered as in torchvision's `vgg11` to `vgg19`, so that their state dicts load as they are; a smaller
stack trained here (`python -m training.features`) has the same form.
"""

import re
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colors, by which torchvision's weights want pictures normalized."""

Layout = tuple[tuple[int, ...], ...]
"""Channels of the convolutions of each block."""


class Features(nn.Module):
    """Blocks of 3x3 convolutions and ReLUs; between blocks the maximum of 2 x 2 cells."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        layers, taps, width = [], [], 3
        for block in layout:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for channels in block:
                layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
                width = channels
            taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.taps = frozenset(taps)
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """[batch, 3, h, w] RGB in [0, 1] -> last activation of block i, [batch, channels, h / 2**i, w / 2**i] each."""
        x, found = (picture - self.mean) / self.deviation, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


def layout_of(state: dict[str, Tensor]) -> Layout:
    """The blocks of a state dict with torchvision's names; layers of its classifier are passed over.

    Raises:
        ValueError: it is none of a VGG without batch normalization.
    """
    indices = sorted(int(found[1]) for found in map(re.compile(r"features\.(\d+)\.weight").fullmatch, state) if found)
    gaps = {b - a for a, b in pairwise(indices)}
    kernels = {tuple(state[f"features.{i}.weight"].shape[2:]) for i in indices}
    if indices[:1] != [0] or not gaps <= {2, 3} or kernels != {(3, 3)}:
        raise ValueError(
            f"the weights must be those of a VGG without batch normalization, features.0.weight and so on, "
            f"got {_some(state)}"
        )
    blocks: list[list[int]] = [[]]
    for before, index in pairwise([-2, *indices]):
        if index - before == 3:
            blocks.append([])
        blocks[-1].append(state[f"features.{index}.weight"].shape[0])
    return tuple(tuple(block) for block in blocks)


def _some(names: Iterable[str]) -> list[str]:
    return sorted(names)[:4]
