"""What a feature network learns from: which part a pixel shows, and what was done to the picture.

Both labels cost nothing: the rasterizer draws the parts, the distortions are our own. Parts make the features tell skin
from tooth from hair; distortions make them sensitive to blur, grain and cells at every scale, as in Madhusudana et al.,
"Image Quality Assessment Using Contrastive Learning" (CONTRIQUE), 2022. That features of such tasks measure likeness
about as well as those of supervised classification is a finding of Zhang et al. (2018, section 4).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.networks.enhancer import PART_COUNT
from training.features.distortions import CLASS_COUNT
from training.features.network import Layout

LABEL_PX = 4
"""Parts are told apart in cells of this edge; the label is that of the cell's first pixel."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Logits of a batch.

    Attributes:
        parts: [batch, 9, h / 4, w / 4].
        distortion: [batch, 10].
    """

    parts: Tensor
    distortion: Tensor

    def losses(self, mask: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropies against parts [batch, h, w] and classes [batch]."""
        parts = mask[:, ::LABEL_PX, ::LABEL_PX].long()
        return functional.cross_entropy(self.parts, parts), functional.cross_entropy(self.distortion, classes)

    def accuracy(self, mask: Tensor, classes: Tensor) -> tuple[float, float]:
        """Shares of the cells and of the distortions that are named rightly."""
        parts = mask[:, ::LABEL_PX, ::LABEL_PX].long()
        right = self.parts.argmax(1) == parts, self.distortion.argmax(1) == classes
        return float(right[0].float().mean()), float(right[1].float().mean())


class Heads(nn.Module):
    """One linear layer for each task over the activations of all blocks; thrown away after training."""

    def __init__(self, layout: Layout):
        super().__init__()
        widths = [block[-1] for block in layout]
        self.parts = nn.ModuleList(nn.Conv2d(width, PART_COUNT, 1) for width in widths)
        self.distortion = nn.Linear(2 * sum(widths), CLASS_COUNT)

    def forward(self, activations: list[Tensor]) -> Answers:
        """Activations of `training.features.network.Features` for pictures of [batch, 3, h, w]."""
        height, width = activations[0].shape[2] // LABEL_PX, activations[0].shape[3] // LABEL_PX
        parts = torch.stack([
            functional.interpolate(head(functional.adaptive_avg_pool2d(x, (min(height, x.shape[2]),
                                                                          min(width, x.shape[3])))), (height, width))
            for head, x in zip(self.parts, activations, strict=True)
        ]).sum(0)  # fmt: skip
        moments = [moment for x in activations for moment in (x.mean((2, 3)), x.square().mean((2, 3)).sqrt())]
        return Answers(parts, self.distortion(torch.cat(moments, dim=1)))
