"""Steadiness: what the network adds to a frame must move with the surface it lies on.

A network that sees single frames may answer a small turn of the head with other pores and other strands. Two frames of
a face that moves a little are drawn, the earlier one's residual is carried along the rasterizer's motion vectors, and
must meet that of the later one (after the temporal loss of Lai et al., "Learning Blind Video Temporal Consistency",
ECCV 2018, which compares pictures; the change of the light that the raster shows already is not held against them).
It takes neither path-traced frames nor memory for earlier ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from avatar.networks.enhancer import Enhancer, unfold

STEP = (0.02, 0.12)
"""Part of the way to another face that is made in one frame: from a slow turn to a fast jaw."""

FACES = 100_000
"""Faces are drawn from the first so many of `training.scene.expressions`, those of the training split alone."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Two frames, one after the other; each tensor with a batch axis of one.

    Attributes:
        raster, mask: of the later frame, uint8 [1, h, w, 4] and [1, h, w].
        before_raster, before_mask: of the earlier one.
        motion_vectors: float32 [1, h, w, 2], pixels (x, y) from each pixel of the later frame to its place in the
            earlier one; NaN where there is none.
    """

    raster: Tensor
    mask: Tensor
    before_raster: Tensor
    before_mask: Tensor
    motion_vectors: Tensor


Moments = Callable[[np.random.Generator], Moment]


def rendered_moments(avatars: Sequence[Path]) -> Moments:
    """Draws moments of these avatars by turns of chance."""
    from avatar.rasterizer import Renderer
    from training.scene.expressions import training_faces

    renderers = [Renderer.load(avatar, workers=1) for avatar in avatars]

    def draw(rng: np.random.Generator) -> Moment:
        renderer = renderers[rng.integers(len(renderers))]
        now, other = (training_faces(int(rng.integers(FACES)), 1)[0] for _ in range(2))
        step = np.float32(rng.uniform(*STEP))
        blendshapes = now.blendshapes + step * (other.blendshapes - now.blendshapes)
        pose = now.pose + step * (other.pose - now.pose)
        before = renderer.render(blendshapes, pose, blendshapes, pose)
        before = before.raster.copy(), before.mask.copy()
        frame = renderer.render(now.blendshapes, now.pose, blendshapes, pose)
        arrays = (frame.raster, frame.mask, *before, frame.motion_vectors.astype(np.float32))
        return Moment(*(torch.from_numpy(array[None].copy()) for array in arrays))

    return draw


def unsteadiness(network: Enhancer, moment: Moment) -> Tensor:
    """Mean absolute difference of color and alpha, 1.0 is white, over the pixels that both frames show.

    The earlier frame is a goal, not a pupil: over many moments every frame is as often the later one.
    """
    added = _residual(network, moment.raster, moment.mask)
    with torch.no_grad():
        before = _residual(network, moment.before_raster, moment.before_mask)
    carried, is_inside = carry(before, moment.motion_vectors)
    parts, _ = carry(moment.before_mask[:, None].float(), moment.motion_vectors, mode="nearest")
    is_same = is_inside & (parts == moment.mask[:, None])
    return ((added - carried).abs() * is_same).sum() / (added.shape[1] * is_same.sum().clamp(min=1))


def carry(picture: Tensor, motion_vectors: Tensor, mode: str = "bilinear") -> tuple[Tensor, Tensor]:
    """The earlier picture [b, c, h, w] as the later frame's pixels see it, and where that is known: bool [b, 1, h, w].

    Unknown pixels are 0.
    """
    height, width = picture.shape[2:]
    is_known = torch.isfinite(motion_vectors).all(dim=-1)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([columns, rows], dim=-1) + torch.nan_to_num(motion_vectors)
    size = torch.tensor([width, height])
    is_known &= ((places >= 0) & (places <= size - 1)).all(dim=-1)
    grid = (2.0 * places + 1.0) / size - 1.0
    carried = functional.grid_sample(picture, grid, mode=mode, align_corners=False)
    return carried * is_known[:, None], is_known[:, None]


def _residual(network: Enhancer, raster: Tensor, mask: Tensor) -> Tensor:
    """What the network adds: [batch, 4, h, w]."""
    return unfold(network.enhance(raster, mask)) - raster.permute(0, 3, 1, 2).float() / 255.0
