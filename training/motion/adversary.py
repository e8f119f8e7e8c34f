"""A discriminator of motion clips, so that motion is not averaged to mush.

Where the sound leaves several motions open, regression learns their mean, which moves less than each of them. The
discriminator learns to tell such means from the teacher's motion, and the network learns to be taken for the teacher:
Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014; over patches in time as in Isola et al., "Image-to-Image
Translation with Conditional Adversarial Networks", CVPR 2017.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import nn

from avatar.config import BLENDSHAPE_COUNT
from avatar.networks.audio_encoder import AudioEncoder
from avatar.networks.motion import POSE_SCALE
from training.audio_encoder import MEL_BANDS, log_mel
from training.motion.windows import Batch

POSE_COUNT = 6
COEFFICIENT_SCALE = 4.0
VELOCITY_SCALE = 5.0
"""Brings the change from row to row to the range of the values themselves."""

SPECTRUM_MEAN, SPECTRUM_SCALE = -3.0, 0.25
"""Brings the log-mel spectrum to that range, too."""

KERNELS_STRIDES = ((5, 1), (5, 2), (5, 2), (3, 1))
"""One verdict sees 25 rows, half a second, and lies 4 rows from the next."""


@dataclass(frozen=True, slots=True)
class AdversaryConfig:
    """The discriminator and how it learns.

    Attributes:
        width: channels of its convolutions.
        hears: it sees the sound beside the motion, so that motion must also fit what is said.
        learning_rate: of Adam.
        gradient_penalty: R1, half the weight of the squared gradient at real motion (Mescheder et al., "Which Training
            Methods for GANs do actually Converge?", ICML 2018).
        noise: standard deviation that is added to real and predicted coefficients, and to the pose in the network's
            unit. The teacher's are exactly 0 at rest; without noise that alone would give predictions away.
        lead_steps: steps in which only the discriminator learns.
    """

    width: int = 96
    hears: bool = False
    learning_rate: float = 4e-4
    gradient_penalty: float = 0.5
    noise: float = 0.01
    lead_steps: int = 100


class MotionDiscriminator(nn.Module):
    """Clips of motion to verdicts: 1 for the teacher's, 0 for predicted."""

    def __init__(self, config: AdversaryConfig):
        super().__init__()
        self.hears = config.hears
        channels = 2 * (BLENDSHAPE_COUNT + POSE_COUNT) + (MEL_BANDS if config.hears else 0)
        layers: list[nn.Module] = []
        for kernel, stride in KERNELS_STRIDES:
            layers += [nn.Conv1d(channels, config.width, kernel, stride), nn.LeakyReLU(0.2)]
            channels = config.width
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, 1, 1))
        self.register_buffer("pose_scale", torch.tensor(POSE_SCALE))

    def forward(self, coefficients: torch.Tensor, pose: torch.Tensor, spectrum: torch.Tensor | None) -> torch.Tensor:
        """Judges.

        Args:
            coefficients: float32 [batch, R, 52].
            pose: float32 [batch, R, 6], rad and m.
            spectrum: float32 [batch, R, MEL_BANDS] of the sound where `hears`, else None.

        Returns:
            [batch, clips].
        """
        state = torch.cat([COEFFICIENT_SCALE * coefficients, pose / self.pose_scale], dim=-1)
        parts = [state[:, 1:], VELOCITY_SCALE * (state[:, 1:] - state[:, :-1])]
        if self.hears:
            parts.append(SPECTRUM_SCALE * (spectrum[:, 1:] - SPECTRUM_MEAN))
        return self.layers(torch.cat(parts, dim=-1).transpose(1, 2))[:, 0]


def spectrum_for(batch: Batch, hears: bool) -> torch.Tensor | None:
    """What the discriminator hears of the batch, if it does."""
    return log_mel(AudioEncoder.normalize(batch.audio.float())) if hears else None


class Adversary:
    """The discriminator and its optimizer. With every batch it learns, then judges.

    Least squares: Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017.
    """

    def __init__(self, config: AdversaryConfig = AdversaryConfig(), device: str | torch.device = "cpu"):
        self.config = config
        self.discriminator = MotionDiscriminator(config).to(device)
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), config.learning_rate, betas=(0.5, 0.99))
        self.steps = 0

    def state_dict(self) -> dict:
        """All that `load_state_dict` needs to go on."""
        return {
            "config": asdict(self.config),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict) -> None:
        """Raises ValueError if the state is of a discriminator with another view or width."""
        for name in ("width", "hears"):
            if state["config"][name] != getattr(self.config, name):
                raise ValueError(
                    f"a discriminator goes on with its own {name}, which is {state['config'][name]}, "
                    f"got {getattr(self.config, name)}: use the same `--adversary`, or train in another folder"
                )
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]

    def _noisy(self, coefficients: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = self.config.noise
        pose_noise = noise * self.discriminator.pose_scale * torch.randn_like(pose)
        return coefficients + noise * torch.randn_like(coefficients), pose + pose_noise

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        self.discriminator.requires_grad_(False)
        try:
            yield
        finally:
            self.discriminator.requires_grad_(True)

    def learn(
        self, real: tuple[torch.Tensor, torch.Tensor], fake: tuple[torch.Tensor, torch.Tensor], batch: Batch
    ) -> dict[str, float]:
        """One update of the discriminator.

        Args:
            real, fake: coefficients [batch, R, 52] and pose [batch, R, 6] of the teacher and as predicted.
            batch: whose sound they belong to.

        Returns:
            Its loss, and the part of all clips that it judged rightly, 0.5 by chance.
        """
        spectrum = spectrum_for(batch, self.config.hears)
        real = tuple(part.requires_grad_() for part in self._noisy(*(part.detach().float() for part in real)))
        fake = self._noisy(*(part.detach().float() for part in fake))
        on_real, on_fake = self.discriminator(*real, spectrum), self.discriminator(*fake, spectrum)
        gradients = torch.autograd.grad(on_real.mean(dim=1).sum(), real, create_graph=True)
        # In the discriminator's own unit, so that coefficients and pose count alike.
        units = (1.0 / COEFFICIENT_SCALE, self.discriminator.pose_scale)
        slope = sum(
            (gradient * unit).square().sum(dim=(1, 2)) for gradient, unit in zip(gradients, units, strict=True)
        ).mean()
        loss = (on_real - 1.0).square().mean() + on_fake.square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        (loss + 0.5 * self.config.gradient_penalty * slope).backward()
        self.optimizer.step()
        self.steps += 1
        right = 0.5 * ((on_real > 0.5).float().mean() + (on_fake <= 0.5).float().mean())
        return {"discriminator": float(loss.detach()), "told_apart": float(right)}

    def judge(self, coefficients: torch.Tensor, pose: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Loss of predicted motion: how far it is from being taken for the teacher's; 0 in the first `lead_steps`."""
        if self.steps <= self.config.lead_steps:
            return coefficients.new_zeros(())
        with self._frozen():
            moved = self._noisy(coefficients.float(), pose.float())
            return (self.discriminator(*moved, spectrum_for(batch, self.config.hears)) - 1.0).square().mean()

    def __call__(
        self, coefficients: torch.Tensor, pose: torch.Tensor, batch: Batch
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Learns from a batch, then judges it: the loss of predicted coefficients [batch, 75, 52], unclamped, and pose
        [batch, 75, 6], and numbers for the log."""
        with torch.autocast(coefficients.device.type, enabled=False):
            coefficients = coefficients.clamp(0.0, 1.0)
            numbers = self.learn((batch.blendshapes, batch.pose), (coefficients, pose), batch)
            loss = self.judge(coefficients, pose, batch)
        return loss, {"adversary": float(loss.detach()), **numbers}
