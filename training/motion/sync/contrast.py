"""Losses that ask which clip of sound belongs to a clip of motion.

For the judge both ways: van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018. For
motion that is judged: Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild",
ACM Multimedia 2020, where the expert stays frozen.
"""

import torch
from torch import nn

from avatar.config import WindowConfig
from training.motion.losses import row_weights
from training.motion.sync.network import CLIP_ROWS, SyncNetwork
from training.motion.windows import Batch

GUARD_ROWS = 1
"""Clips this near to one another count neither as in step nor as out of it: phone times are no better."""

SPOKEN_SHARE = 0.5
"""Rows of a clip that must be speech: a closed mouth in silence fits every silence."""


def clips(values: torch.Tensor) -> torch.Tensor:
    """Mean over the rows of each clip: [batch, R] to [batch, R - 14]."""
    return values.unfold(1, CLIP_ROWS, 1).mean(dim=-1)


def spoken_clips(viseme: torch.Tensor) -> torch.Tensor:
    """bool [batch, R - 14]: clips that hold enough speech to be judged, of viseme [batch, R], 0 in silence."""
    return clips((viseme != 0).float()) >= SPOKEN_SHARE


def belongs_loss(query: torch.Tensor, candidates: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of naming, for each query, the candidate of its own time.

    Candidates out of step are all others of the same window but the nearest, and those of the batch's next window.

    Args:
        query, candidates: [batch, clips, embedding] of length 1.
        scale: what a cosine counts as a logit.

    Returns:
        [batch, clips], in nats.
    """
    count = query.shape[1]
    place = torch.arange(count, device=query.device)
    apart = (place[:, None] - place).abs()
    near = (apart > 0) & (apart <= GUARD_ROWS)
    logits = (scale * query @ candidates.transpose(1, 2)).masked_fill(near, -torch.inf)
    if len(query) > 1:
        logits = torch.cat([logits, scale * query @ candidates.roll(1, dims=0).transpose(1, 2)], dim=-1)
    return nn.functional.cross_entropy(logits.transpose(1, 2), place.expand(len(query), -1), reduction="none")


def weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """0 where nothing counts."""
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)


def contrastive_loss(network: SyncNetwork, batch: Batch, blendshapes: torch.Tensor) -> torch.Tensor:
    """What the judge learns by: sound names its motion and motion its sound.

    `blendshapes` [batch, R, 52] is the motion that belongs to the batch's sound.
    """
    sound, motion = network.embed_sound(batch.audio), network.embed_motion(blendshapes)
    counts = spoken_clips(batch.viseme).float()
    both = belongs_loss(motion, sound, network.scale) + belongs_loss(sound, motion, network.scale)
    return 0.5 * weighted_mean(both, counts)


class SyncLoss(nn.Module):
    """A frozen judge of predicted motion: can it tell which sound each clip belongs to?

    Only the motion is asked about, never answered with: clips out of step are clips of sound, so motion can gain
    nothing by spoiling its neighbors.
    """

    def __init__(self, network: SyncNetwork, window: WindowConfig = WindowConfig()):
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.register_buffer("clip_weights", clips(row_weights(window)[None]))

    def forward(self, blendshapes: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss in nats of predicted `blendshapes` [batch, 75, 52], and its numbers for the log."""
        with torch.autocast(blendshapes.device.type, enabled=False):
            with torch.no_grad():
                sound = self.network.embed_sound(batch.audio.float())
            motion = self.network.embed_motion(blendshapes.float())
            counts = spoken_clips(batch.viseme) * self.clip_weights
            loss = weighted_mean(belongs_loss(motion, sound, self.network.scale), counts)
            cosine = weighted_mean((motion * sound).sum(dim=-1).detach(), counts)
        return loss, {"sync": float(loss.detach()), "sync_cosine": float(cosine)}
