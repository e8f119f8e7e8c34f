"""The motion network as ONNX: FEATURES FP16 [batch, rows, 768] to BLENDSHAPES, POSE and VISEME FP32."""

from pathlib import Path

import torch
from torch import nn

from avatar.config import WindowConfig
from avatar.networks.audio_encoder import FEATURE_DIM
from avatar.networks.motion import MotionConfig, MotionNetwork
from export.onnx import save, store_weights_in_half, trace


class FromHalfFeatures(nn.Module):
    """Takes the features in the type that travels between the stages."""

    def __init__(self, motion: MotionNetwork):
        super().__init__()
        self.motion = motion

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.motion(features.float())


def load(checkpoint: str | None) -> MotionNetwork:
    """Loads a checkpoint of `training.motion`; without one the weights are random."""
    if checkpoint is None:
        return MotionNetwork(MotionConfig()).eval()
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    motion = MotionNetwork(MotionConfig(**state["motion_config"]))
    motion.load_state_dict(state["motion"])
    return motion.eval()


def export(checkpoint: str | None, path: Path) -> nn.Module:
    """Writes `model.onnx` and returns the network it was made from."""
    network = FromHalfFeatures(load(checkpoint)).eval()
    example = torch.randn(2, WindowConfig().window_rows, FEATURE_DIM).half()
    outputs = ("BLENDSHAPES", "POSE", "VISEME")
    model = trace(network, (example,), ("FEATURES",), outputs, dict.fromkeys(("FEATURES", *outputs), "rows"))
    save(store_weights_in_half(model), path)
    return network
