"""Two towers that lay sound and lip motion of the same 300 ms side by side.

After Chung and Zisserman, "Out of time: automated lip sync in the wild", ACCV-W 2016, with coefficients in place of
pictures. The sound is its log-mel spectrum, in which nothing is learned: a judge that read the features of the encoder
it judges could be pleased by features that hide the motion instead of by motion that fits the sound.
"""

from dataclasses import asdict, dataclass

import torch
from torch import nn

from avatar.blendshapes import ARKIT
from avatar.networks.audio_encoder import AudioEncoder
from training.audio_encoder import MEL_BANDS, log_mel

LIP_COLUMNS = tuple(i for i, name in enumerate(ARKIT) if name.startswith(("jaw", "mouth")))
"""Coefficients that move the lips."""

LIP_SCALE = 4.0
"""Brings coefficients of speech, seldom above 0.5, to the range of the spectrum."""

KERNELS = (5, 5, 5, 3)


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """Sizes of the towers.

    Attributes:
        width: channels of the convolutions.
        embedding: values by which a clip of sound is compared with a clip of motion.
    """

    width: int = 128
    embedding: int = 64

    def to_dict(self) -> dict:
        return asdict(self)


CLIP_ROWS = 1 + sum(kernel - 1 for kernel in KERNELS)
"""Rows that one embedding sees: 15, which is 300 ms."""


class RowNorm(nn.Module):
    """Layer normalization of each row by itself: nothing passes between rows that no kernel joins."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[batch, width, rows] to the same."""
        return self.norm(rows.transpose(1, 2)).transpose(1, 2)


def _tower(channels: int, config: SyncConfig) -> nn.Sequential:
    """Without padding, so that no embedding can tell where in the window it lies."""
    layers: list[nn.Module] = []
    for kernel in KERNELS:
        layers += [nn.Conv1d(channels, config.width, kernel), RowNorm(config.width), nn.GELU()]
        channels = config.width
    return nn.Sequential(*layers, nn.Conv1d(channels, config.embedding, 1))


class SyncNetwork(nn.Module):
    """Sound and motion of R rows to unit vectors of their R - 14 clips."""

    def __init__(self, config: SyncConfig = SyncConfig()):
        super().__init__()
        self.config = config
        self.sound = _tower(MEL_BANDS, config)
        self.motion = _tower(len(LIP_COLUMNS), config)
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("lip_columns", torch.tensor(LIP_COLUMNS))

    def embed_sound(self, audio: torch.Tensor) -> torch.Tensor:
        """float32 [batch, 320·R], 16 kHz in [-1, 1], to [batch, R - 14, embedding] of length 1."""
        spectrum = log_mel(AudioEncoder.normalize(audio)).transpose(1, 2)
        return nn.functional.normalize(self.sound(spectrum).transpose(1, 2), dim=-1)

    def embed_motion(self, blendshapes: torch.Tensor) -> torch.Tensor:
        """float32 [batch, R, 52] to [batch, R - 14, embedding] of length 1."""
        lips = LIP_SCALE * blendshapes[..., self.lip_columns].transpose(1, 2)
        return nn.functional.normalize(self.motion(lips).transpose(1, 2), dim=-1)

    @property
    def scale(self) -> torch.Tensor:
        """What a cosine counts as a logit, learned."""
        return self.log_scale.exp().clamp(max=50.0)
