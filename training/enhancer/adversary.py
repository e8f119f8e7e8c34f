"""The adversarial term: a discriminator that learns beside the enhancer.

Sources: hinge loss, Lim and Ye, "Geometric GAN", 2017; penalty on the gradient at real pictures (R1), Mescheder et al.,
"Which Training Methods for GANs do actually Converge?", 2018; the penalty in every so many steps only, Karras et al.,
"Analyzing and Improving the Image Quality of StyleGAN", 2020.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.enhancer.config import AdversaryConfig
from training.enhancer.discriminator import Discriminator


class Adversary:
    """Discriminator, its optimizer, and how many steps it has learned."""

    def __init__(self, config: AdversaryConfig = AdversaryConfig()):
        self.config = config
        self.network = Discriminator(config.channels, config.scales)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.learning_rate, betas=(0.0, 0.99), fused=True
        )
        self.step = 0

    def strength(self, done: float) -> float:
        """Share of the term's weight when `done` of the run, in [0, 1], is done: 0 to the start, then a ramp to 1."""
        return min(max((done - self.config.start) / self.config.ramp, 0.0), 1.0)

    def pull(self, picture: Tensor, raster: Tensor) -> Tensor:
        """The enhancer's term, less for crops that pass as path-traced; its gradient goes to the picture alone."""
        self.network.requires_grad_(False)
        verdicts = self.network(picture, raster)
        self.network.requires_grad_(True)
        return -_mean([verdict.mean() for verdict in verdicts])

    def learn(self, picture: Tensor, truth: Tensor, raster: Tensor) -> Tensor:
        """One step of the discriminator on the same crops of all three -> its hinge loss, 2 where it knows nothing."""
        real, fake = self.network(truth, raster), self.network(picture.detach(), raster)
        hinge = _mean([
            functional.relu(1.0 - r).mean() + functional.relu(1.0 + f).mean() for r, f in zip(real, fake, strict=True)
        ])  # fmt: skip
        loss = hinge
        if self.config.r1 > 0 and self.step % self.config.r1_steps == 0:
            loss = loss + 0.5 * self.config.r1 * self.config.r1_steps * gradient_penalty(self.network, truth, raster)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return hinge.detach()

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def gradient_penalty(network: Discriminator, truth: Tensor, raster: Tensor) -> Tensor:
    """Mean square length of the gradient of the verdicts at path-traced crops, by patch.

    The verdicts of a crop are summed before the gradient and its square is divided by their number: of patches that do
    not overlap that is the mean of R1 over them, whatever the size of the crop.
    """
    truth = truth.detach().requires_grad_(True)
    terms = []
    for verdict in network(truth, raster):
        (gradient,) = torch.autograd.grad(verdict.sum(), truth, create_graph=True)
        terms.append(gradient.square().sum() / verdict.numel())
    return _mean(terms)


def _mean(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean()
