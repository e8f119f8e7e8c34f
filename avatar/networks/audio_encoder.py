"""Wav2Vec2 behind the tensors of the `audio_encoder` stage.

Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", NeurIPS 2020.
"""

import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

from avatar.config import FEATURE_HOP_SAMPLES

FEATURE_DIM = 768
RECEPTIVE_FIELD_SAMPLES = 400
"""Samples under one row of Wav2Vec2's convolutions."""

SILENCE_VARIANCE = 1e-5
"""Added to the window's variance (-50 dBFS): speech is brought to unit variance, the hiss of a pause is not."""


def small_config() -> Wav2Vec2Config:
    """The configuration that ships: the interface of wav2vec2-base in a tenth of its arithmetic."""
    return Wav2Vec2Config(
        hidden_size=FEATURE_DIM,
        num_hidden_layers=3,
        num_attention_heads=12,
        intermediate_size=768,
        conv_dim=(32, 64, 96, 128, 192, 256, 256),
        conv_bias=True,
        feat_extract_norm="group",
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=16,
        do_stable_layer_norm=True,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
        apply_spec_augment=False,
    )


class AudioEncoder(nn.Module):
    """Speech to features, one row per 20 ms.

    Args:
        config: of a Wav2Vec2 whose strides multiply to 320 and whose hidden size is 768.

    Raises:
        ValueError: if the configuration does not have that interface.
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        stride = 1
        for factor in config.conv_stride:
            stride *= factor
        if config.hidden_size != FEATURE_DIM or stride != FEATURE_HOP_SAMPLES:
            raise ValueError(
                f"the audio encoder must give {FEATURE_DIM} values every {FEATURE_HOP_SAMPLES} samples, got "
                f"{config.hidden_size} every {stride}: choose a Wav2Vec2 of the base size"
            )
        config._attn_implementation = "eager"
        self.wav2vec2 = Wav2Vec2Model(config)

    @classmethod
    def from_pretrained(cls, name_or_path: str) -> "AudioEncoder":
        """Loads any Wav2Vec2 in Hugging Face format, for example `facebook/wav2vec2-base-960h` or a folder."""
        wav2vec2 = Wav2Vec2Model.from_pretrained(name_or_path, attn_implementation="eager")
        encoder = cls(wav2vec2.config)
        encoder.wav2vec2 = wav2vec2
        return encoder.eval()

    @staticmethod
    def normalize(audio: torch.Tensor) -> torch.Tensor:
        """float32 [batch, samples] to [batch, samples + 80] of zero mean and unit variance, zeros at both ends."""
        centred = audio - audio.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        normalized = centred * torch.rsqrt(variance + SILENCE_VARIANCE)
        margin = (RECEPTIVE_FIELD_SAMPLES - FEATURE_HOP_SAMPLES) // 2
        return nn.functional.pad(normalized, (margin, margin))

    def convolve(self, normalized: torch.Tensor) -> torch.Tensor:
        """What the transformer sees, of `normalize`d windows: [batch, rows, last of `conv_dim`]."""
        convolved = self.wav2vec2.feature_extractor(normalized).transpose(1, 2)
        return self.wav2vec2.feature_projection.layer_norm(convolved)

    def transform(self, convolved: torch.Tensor) -> torch.Tensor:
        """The rest of the way from `convolve`d rows to features [batch, rows, 768]."""
        return self.wav2vec2.encoder(self.wav2vec2.feature_projection.projection(convolved)).last_hidden_state

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Encodes windows.

        Args:
            audio: float32 [batch, samples], 16 kHz mono in [-1, 1]; samples is a multiple of 320.

        Returns:
            float32 [batch, samples / 320, 768]; row i sees 25 ms centred on its 20 ms, and the window through
            attention.
        """
        return self.wav2vec2(self.normalize(audio)).last_hidden_state
