"""The enhancer as ONNX: uint8 pictures in and out, everything between inside the graph."""

from pathlib import Path

import torch
from torch import Tensor, nn

from avatar.config import FRAME_SIZE
from avatar.networks.enhancer import PART_COUNT, Enhancer, EnhancerConfig

input_names = ("RASTER", "MASK")
output_names = ("IMAGE",)
dynamic_axes = {name: {0: "batch"} for name in (*input_names, *output_names)}


def build(checkpoint: Path | None) -> nn.Module:
    """The network ready for export.

    Args:
        checkpoint: file of `training.enhancer`; its averaged weights are taken. None: the untrained network, whose
            output is its input.
    """
    if checkpoint is None:
        return Enhancer().eval()
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Enhancer(EnhancerConfig(**state["config"]))
    network.load_state_dict(state["averaged"])
    return network.eval()


def example_inputs() -> tuple[Tensor, Tensor]:
    """`RASTER` and `MASK` of a batch of two, random, for tracing and for the comparison with the exported graph."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, FRAME_SIZE, FRAME_SIZE)
    raster = torch.randint(0, 256, (*shape, 4), dtype=torch.uint8, generator=generator)
    mask = torch.randint(0, PART_COUNT, shape, dtype=torch.uint8, generator=generator)
    return raster, mask
