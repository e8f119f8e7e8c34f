"""Losses of the motion network on batches of windows."""

from dataclasses import dataclass

import torch
from torch import nn

from avatar.blendshapes import ARKIT, INDEX
from avatar.config import WindowConfig
from avatar.head import Head
from avatar.networks.motion import MotionNetwork
from avatar.session_config import LOOKAHEADS_MS
from training.audio_encoder import phone_loss
from training.motion.lip_gap import LipGap, landmark_basis
from training.motion.windows import Batch

CHANNEL_WEIGHT = {
    "jawOpen": 4.0, "mouthClose": 4.0, "mouthFunnel": 3.0, "mouthPucker": 3.0, "mouthRoll": 2.0, "brow": 0.5,
    "eye": 0.2,
    "nose": 0.2, "cheek": 0.2,
}  # fmt: skip
"""By the beginning of the name; 1 for all others."""

SERVED_ROWS_WEIGHT = 2.0

WINDOWS = tuple(WindowConfig.for_lookahead(lookahead_ms) for lookahead_ms in LOOKAHEADS_MS)
"""All that a session may ask for; one network serves them."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What each loss counts in the sum.

    `closure` against `lip_gap` sets from which likelihood of an m, b, p on the lips close.
    """

    coefficients: float = 25.0
    velocity: float = 10.0
    acceleration: float = 20.0
    landmarks: float = 0.5
    lip_gap: float = 2.0
    closure: float = 6.0
    pose: float = 0.5
    viseme: float = 0.6
    phone: float = 0.5


def row_weights(window: WindowConfig) -> torch.Tensor:
    """[rows] of mean 1: more for rows that the motion track takes from a window.

    It takes the `hop_rows` that begin `lead_rows` before the end, and fades in from the ones after them. The others are
    trained too, since a shorter look-ahead or hop may take them.
    """
    rows = window.window_rows
    lead = window.lead_rows
    weights = torch.ones(rows)
    weights[rows - lead - 1 : rows - lead + window.hop_rows + 2] = SERVED_ROWS_WEIGHT
    return weights / weights.mean()


class MotionLoss(nn.Module):
    """Sum and parts of all losses."""

    def __init__(self, head: Head, weights: LossWeights = LossWeights()):
        """`head` is the one whose landmarks and lips are measured: linear in the 52 coefficients."""
        super().__init__()
        lip_gap = LipGap.of(head)
        self.weights = weights
        channel = torch.ones(len(ARKIT))
        for name, column in INDEX.items():
            for beginning, weight in CHANNEL_WEIGHT.items():
                if name.startswith(beginning):
                    channel[column] = weight
        self.register_buffer("channel", channel / channel.sum())
        for window in WINDOWS:
            self.register_buffer(f"rows_{window.window_rows}", row_weights(window))
        self.register_buffer("landmark_mm", 1000.0 * torch.from_numpy(landmark_basis(head)).flatten(0, 1))
        self.register_buffer("gap_weights", torch.from_numpy(lip_gap.weights))
        self.register_buffer("gap_rest", torch.from_numpy(lip_gap.rest))

    def _mean(self, per_row: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Over the batch and its rows from `first` on, of [batch, rows - first], each row by its weight."""
        rows = getattr(self, f"rows_{per_row.shape[1] + first}")
        return (per_row * rows[first:]).mean()

    def forward(
        self, network: MotionNetwork, features: torch.Tensor, phone_logits: torch.Tensor, batch: Batch
    ) -> tuple[torch.Tensor, dict[str, float], tuple[torch.Tensor, torch.Tensor]]:
        """Runs the motion network on features [batch, rows, 768] of one of `WINDOWS` and compares.

        Returns:
            The sum, its parts, and what the network said: unclamped coefficients [batch, rows, 52] and pose
            [batch, rows, 6].
        """
        blendshape_logits, pose_logits, viseme_logits = network.logits(features)
        coefficients, pose = network.activate(blendshape_logits, pose_logits)
        difference = coefficients - batch.blendshapes
        velocity = difference.diff(dim=1)
        acceleration = velocity.diff(dim=1)
        landmarks_mm = (difference @ self.landmark_mm.T).unflatten(-1, (-1, 3)).norm(dim=-1)
        gap_mm = coefficients @ self.gap_weights.T + self.gap_rest
        target_mm = batch.blendshapes @ self.gap_weights.T + self.gap_rest
        open_mm = torch.relu(gap_mm - target_mm).mean(dim=-1) * batch.bilabial
        parts = {
            "coefficients": self._mean(difference.abs() @ self.channel),
            "velocity": self._mean(velocity.abs() @ self.channel, first=1),
            "acceleration": self._mean(acceleration.abs() @ self.channel, first=2),
            "landmarks": self._mean(landmarks_mm.mean(dim=-1)),
            "lip_gap": self._mean((gap_mm - target_mm).abs().mean(dim=-1)) / 5.0,
            "closure": self._mean(open_mm) / 0.5,
            "pose": self._mean(((pose - batch.pose) / network.pose_scale).abs().mean(dim=-1)),
            "viseme": self._mean(
                nn.functional.cross_entropy(viseme_logits.transpose(1, 2), batch.viseme, reduction="none")
            ),
            "phone": self._mean(phone_loss(phone_logits, batch.phone)),
        }
        total = sum(getattr(self.weights, name) * value for name, value in parts.items())
        numbers = {name: float(value.detach()) for name, value in parts.items()}
        correct = (viseme_logits.detach().argmax(dim=-1) == batch.viseme).float()
        numbers["viseme_accuracy"] = float(self._mean(correct))
        return total, numbers, (coefficients, pose)
