"""The enhancer as ONNX: RASTER and MASK to IMAGE, all UINT8, everything between inside the graph."""

from pathlib import Path

import torch
from torch import nn

from avatar.config import FRAME_SIZE
from avatar.enhancer import IMAGE, MASK, RASTER
from avatar.networks.enhancer import Enhancer, EnhancerConfig
from export.onnx import save, store_deep_weights_in_bytes, store_weights_in_half, trace


def load(checkpoint: str | None) -> Enhancer:
    """Loads the averaged weights of a checkpoint of `training.enhancer`; without one the output is the input."""
    if checkpoint is None:
        return Enhancer().eval()
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Enhancer(EnhancerConfig(**state["config"]))
    network.load_state_dict(state["averaged"])
    return network.eval()


def export(checkpoint: str | None, path: Path) -> nn.Module:
    """Writes `model.onnx` and returns the network it was made from."""
    network = load(checkpoint)
    raster = torch.zeros(2, FRAME_SIZE, FRAME_SIZE, 4, dtype=torch.uint8)
    mask = torch.zeros(2, FRAME_SIZE, FRAME_SIZE, dtype=torch.uint8)
    model = trace(network, (raster, mask), (RASTER, MASK), (IMAGE,))
    save(store_weights_in_half(store_deep_weights_in_bytes(model)), path)
    return network
