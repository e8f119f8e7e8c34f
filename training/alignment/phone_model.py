"""How likely each phone is in each row: a linear reading of the audio encoder's features."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from avatar.networks.audio_encoder import FEATURE_DIM, AudioEncoder, small_config
from training.audio_encoder import OTHER, PHONES
from training.motion.restore import restore

STORED = ("weight", "bias", "prior")

FLOOR = 1e-4
"""Added to probabilities: no row makes a path impossible."""

PRIOR_POWER, PRIOR_FLOOR = 0.3, 1e-3
"""How far the likelihood of a phone is freed from how frequent it was in training (Bourlard and Morgan,
"Connectionist Speech Recognition", 1994, with the power 1)."""


def fingerprint(encoder: AudioEncoder) -> str:
    """Of its weights."""
    digest = hashlib.sha256()
    for values in encoder.state_dict().values():
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class PhoneModel:
    """The audio encoder, and how its features are read.

    Attributes:
        encoder: in evaluation mode.
        weight: float32 [phones, 768].
        bias: float32 [phones].
        prior: float32 [phones], part of the rows that each had in training.
    """

    encoder: AudioEncoder
    weight: torch.Tensor
    bias: torch.Tensor
    prior: torch.Tensor

    @classmethod
    def fit(
        cls, encoder: AudioEncoder, features: torch.Tensor, phone: torch.Tensor, steps: int = 1500, seed: int = 0
    ) -> "PhoneModel":
        """Logistic regression on rows whose phone is known.

        Args:
            encoder: see there.
            features: float [rows, 768].
            phone: int64 [rows], classes of `PHONES`; rows of `OTHER` do not count.
        """
        generator = torch.Generator().manual_seed(seed)
        known = phone != OTHER
        features, phone = features[known], phone[known]
        mean, deviation = features.float().mean(dim=0), features.float().std(dim=0) + 1e-6
        weight = torch.zeros(len(PHONES), FEATURE_DIM, requires_grad=True)
        bias = torch.zeros(len(PHONES), requires_grad=True)
        optimizer = torch.optim.Adam([weight, bias], 2e-3)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
        for _ in range(steps):
            chosen = torch.randint(len(features), (4096,), generator=generator)
            rows = (features[chosen].float() - mean) / deviation
            loss = nn.functional.cross_entropy(rows @ weight.T + bias, phone[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        weight = weight.detach() / deviation
        prior = torch.bincount(phone, minlength=len(PHONES)).float()
        return cls(encoder, weight, bias.detach() - weight @ mean, prior / prior.sum())

    def adapted(self, features: torch.Tensor, phone: torch.Tensor, steps: int = 150, seed: int = 0) -> "PhoneModel":
        """The model moved towards rows of one speaker, held near to where it begins.

        Args:
            features: float32 [rows, 768].
            phone: int64 [rows], as they were aligned, partly wrong.
        """
        generator = torch.Generator().manual_seed(seed)
        # In units in which every feature varies alike, else the pull towards the beginning is not the same for all.
        deviation = features.std(dim=0) + 1e-6
        begin = self.weight * deviation
        weight, bias = begin.clone().requires_grad_(), self.bias.clone().requires_grad_()
        optimizer = torch.optim.Adam([weight, bias], 1e-3)
        for _ in range(steps):
            chosen = torch.randint(len(features), (2048,), generator=generator)
            logits = features[chosen] / deviation @ weight.T + bias
            loss = nn.functional.cross_entropy(logits, phone[chosen])
            loss = loss + 0.005 * (weight - begin).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return replace(self, weight=weight.detach() / deviation, bias=bias.detach())

    def log_likelihood(self, features: torch.Tensor) -> np.ndarray:
        """float32 [rows, phones] up to a constant, of features [rows, 768]."""
        probability = torch.softmax(features @ self.weight.T + self.bias, dim=-1)
        return (torch.log(probability + FLOOR) - PRIOR_POWER * torch.log(self.prior + PRIOR_FLOOR)).numpy()

    def save(self, path: Path) -> None:
        """Writes all but the encoder to an `.npz`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name).numpy() for name in STORED}
        np.savez(path, encoder=fingerprint(self.encoder), **arrays)

    @classmethod
    def load(cls, path: Path, encoder: AudioEncoder) -> "PhoneModel":
        """Of an encoder with the weights it was fitted to.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it was fitted to another encoder, whose features it would misread.
        """
        if not path.exists():
            raise FileNotFoundError(f"no phone model at {path}: make it with `python -m training.alignment`")
        with np.load(path) as arrays:
            if str(arrays["encoder"]) != fingerprint(encoder):
                raise ValueError(
                    f"a phone model reads the encoder it was fitted to, {path} was fitted to another: make it "
                    "again with `python -m training.alignment`"
                )
            return cls(encoder, *(torch.from_numpy(arrays[name]) for name in STORED))


def shipped_encoder(repository: Path) -> AudioEncoder:
    """The exported audio encoder, in evaluation mode."""
    return restore(AudioEncoder(small_config()), repository / "audio_encoder" / "1" / "model.onnx", "encoder").eval()
