"""Speech features to face motion: bidirectional GRU, then attention over the window, coarse and fine."""

from dataclasses import asdict, dataclass

import torch
from torch import nn

from avatar.config import BLENDSHAPE_COUNT, VISEME_COUNT
from avatar.networks.audio_encoder import FEATURE_DIM

POSE_SCALE = (0.05, 0.05, 0.05, 0.002, 0.002, 0.002)
"""Radians and metres that the network's unit stands for, so that pose and coefficients learn at one pace."""

OVERSHOOT = 0.02
"""How far the unclamped coefficients reach beyond [0, 1]."""


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Sizes of the motion network.

    Attributes:
        width: of the GRU's input and of the attention.
        gru_layers: bidirectional.
        gru_width: of both directions together, even. On a CPU a GRU goes row by row, each of which reads all recurrent
            weights: its time grows with the square.
        coarse_rows: rows in one group of the coarse attention, divides `rows`.
        coarse_width: of the coarse attention.
        coarse_layers: pre-norm transformer layers over the groups.
        coarse_heads: divides `coarse_width`.
        attention_layers: pre-norm transformer layers after the GRU.
        attention_heads: divides `width`.
        rows: of the longest window, for the learned positions.
    """

    width: int = 512
    gru_layers: int = 2
    gru_width: int = 256
    coarse_rows: int = 5
    coarse_width: int = 768
    coarse_layers: int = 2
    coarse_heads: int = 12
    attention_layers: int = 1
    attention_heads: int = 8
    rows: int = 75

    def to_dict(self) -> dict:
        return asdict(self)


class TemporalAttention(nn.Module):
    """One pre-norm layer of self-attention over the rows of a window, with a feed-forward of twice the width.

    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, written out so that it exports to plain ONNX operators.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[batch, rows, width] to the same."""
        batch, count, width = rows.shape
        joint = self.query_key_value(self.attention_norm(rows))
        query, key, value = (
            joint.view(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        )
        weights = torch.softmax(query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5, dim=-1)
        rows = rows + self.merge((weights @ value).transpose(1, 2).reshape(batch, count, width))
        return rows + self.feed_forward(rows)


class CoarseAttention(nn.Module):
    """Attention over groups of rows beside the rows themselves, as in a U-Net of one level.

    Most parameters of the network sit here: a group is a syllable's worth of rows, so the words and the pace are seen
    at a fraction of the arithmetic. It begins as the identity.
    """

    def __init__(self, config: MotionConfig):
        super().__init__()
        if config.rows % config.coarse_rows:
            raise ValueError(f"coarse_rows must divide the {config.rows} rows of a window, got {config.coarse_rows}")
        self.coarse_rows = config.coarse_rows
        group = config.coarse_rows * config.width
        self.gather = nn.Sequential(nn.LayerNorm(group), nn.Linear(group, config.coarse_width))
        self.attention = nn.Sequential(
            *(TemporalAttention(config.coarse_width, config.coarse_heads) for _ in range(config.coarse_layers))
        )
        self.spread = nn.Sequential(nn.LayerNorm(config.coarse_width), nn.Linear(config.coarse_width, group))
        nn.init.zeros_(self.spread[1].weight)
        nn.init.zeros_(self.spread[1].bias)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[batch, rows, width] to the same."""
        batch, count, width = rows.shape
        groups = rows.reshape(batch, count // self.coarse_rows, self.coarse_rows * width)
        return rows + self.spread(self.attention(self.gather(groups))).reshape(batch, count, width)


class MotionNetwork(nn.Module):
    """Features of one window to coefficients, head pose and visemes of each row."""

    def __init__(self, config: MotionConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.project = nn.Sequential(nn.LayerNorm(FEATURE_DIM), nn.Linear(FEATURE_DIM, width), nn.GELU())
        self.positions = nn.Parameter(torch.randn(config.rows, width) * 0.02)
        self.gru = nn.GRU(width, config.gru_width // 2, config.gru_layers, batch_first=True, bidirectional=True)
        self.widen = nn.Linear(config.gru_width, width)
        self.coarse = CoarseAttention(config)
        self.attention = nn.Sequential(
            *(TemporalAttention(width, config.attention_heads) for _ in range(config.attention_layers))
        )
        self.norm = nn.LayerNorm(width)
        self.blendshapes = nn.Linear(width, BLENDSHAPE_COUNT)
        self.pose = nn.Linear(width, 6)
        self.viseme = nn.Linear(width, VISEME_COUNT)
        nn.init.constant_(self.blendshapes.bias, -4.0)
        self.register_buffer("pose_scale", torch.tensor(POSE_SCALE))

    def logits(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Before the output functions, for the losses; see `forward`."""
        # Windows end at the same place, however long they are.
        rows = self.project(features) + self.positions[self.config.rows - features.shape[1] :]
        rows = rows + self.widen(self.gru(rows)[0])
        rows = self.norm(self.attention(self.coarse(rows)))
        return self.blendshapes(rows), self.pose(rows), self.viseme(rows)

    def activate(self, blendshapes: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits to coefficients in [-OVERSHOOT, 1 + OVERSHOOT] and to a pose within twice `POSE_SCALE`.

        The overshoot lets a clamped coefficient be exactly 0 at rest while the unclamped one keeps its gradient.
        """
        coefficients = torch.sigmoid(blendshapes) * (1.0 + 2.0 * OVERSHOOT) - OVERSHOOT
        return coefficients, torch.tanh(pose) * 2.0 * self.pose_scale

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Moves the face.

        Args:
            features: float32 [batch, rows, 768] of the audio encoder; rows is a multiple of `coarse_rows`, at most
                the configuration's.

        Returns:
            blendshapes float32 [batch, rows, 52] in [0, 1], ARKit order; pose float32 [batch, rows, 6], axis-angle
            (rad) and translation (m); viseme float32 [batch, rows, 20], probabilities in the order of `avatar.visemes`.
        """
        blendshapes, pose, viseme = self.logits(features)
        coefficients, pose = self.activate(blendshapes, pose)
        return coefficients.clamp(0.0, 1.0), pose, torch.softmax(viseme, dim=-1)
