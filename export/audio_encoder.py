"""The audio encoder as ONNX: AUDIO FP32 [batch, samples] to FEATURES FP16 [batch, rows, 768]."""

from pathlib import Path

import torch
from torch import nn
from transformers import Wav2Vec2Config

from avatar.config import WindowConfig
from avatar.networks.audio_encoder import AudioEncoder, small_config
from export.onnx import save, store_weights_in_half, trace


class HalfFeatures(nn.Module):
    """Gives the features in the type that travels between the stages."""

    def __init__(self, encoder: AudioEncoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        return self.encoder(audio).half()


def load(checkpoint: str | None) -> AudioEncoder:
    """Loads a checkpoint of `training.motion` (a file), or any Wav2Vec2 in Hugging Face format (a folder or a name).

    Without a checkpoint the weights are random: the signature can be tried before anything is trained.
    """
    if checkpoint is None:
        return AudioEncoder(small_config()).eval()
    if Path(checkpoint).is_file():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        encoder = AudioEncoder(Wav2Vec2Config.from_dict(state["audio_encoder_config"]))
        encoder.load_state_dict(state["audio_encoder"])
        return encoder.eval()
    return AudioEncoder.from_pretrained(checkpoint)


def export(checkpoint: str | None, path: Path) -> nn.Module:
    """Writes `model.onnx` and returns the network it was made from."""
    network = HalfFeatures(load(checkpoint)).eval()
    example = torch.randn(2, WindowConfig().window_samples) * 0.1
    axes = {"AUDIO": "samples", "FEATURES": "rows"}
    save(store_weights_in_half(trace(network, (example,), ("AUDIO",), ("FEATURES",), axes)), path)
    return network
