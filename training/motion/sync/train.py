"""Training of the judge, resumable at any time."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.motion.sync.contrast import contrastive_loss, spoken_clips
from training.motion.sync.network import SyncConfig, SyncNetwork
from training.motion.windows import Batch, WindowSampler

COMPARED_ROWS = (5, 15)
"""`in_step` sets motion in step against motion this far out of it, 100 to 300 ms."""


@dataclass(frozen=True, slots=True)
class SyncTrainConfig:
    """How long and how fast.

    Attributes:
        minutes: over all runs, on a CPU the processor's time; the learning rate falls to zero at its end.
        batch_size: windows of 1.5 s in one step.
        learning_rate: at its peak.
        weight_decay: of AdamW.
        amplitude: range of a factor on the motion of each window: predictions move less than the teacher.
        noise: standard deviation added to each coefficient, so that the judge lives by no detail that small.
        save_s: time between checkpoints.
        device: of torch.
        seed: of weights and disturbances.
    """

    minutes: float = 20.0
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    amplitude: tuple[float, float] = (0.6, 1.2)
    noise: float = 0.01
    save_s: float = 120.0
    device: str = "cpu"
    seed: int = 0


def in_step(network: SyncNetwork, batch: Batch) -> float:
    """Part of the comparisons in which motion in step is nearer to its sound than the same motion 100 to 300 ms out
    of step; 0.5 by chance, NaN where no clip is spoken."""
    with torch.inference_mode():
        cosine = network.embed_sound(batch.audio) @ network.embed_motion(batch.blendshapes).transpose(1, 2)
    place = torch.arange(cosine.shape[1], device=cosine.device)
    apart = (place[:, None] - place).abs()
    compared = (apart >= COMPARED_ROWS[0]) & (apart <= COMPARED_ROWS[1]) & spoken_clips(batch.viseme)[..., None]
    nearer = cosine.diagonal(dim1=1, dim2=2)[..., None] > cosine
    return float(nearer[compared].float().mean())


def load_judge(path: Path, device: str | torch.device = "cpu") -> SyncNetwork:
    """The judge from the checkpoint of `SyncTrainer`.

    Raises:
        FileNotFoundError: if there is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"no judge of sync at {path}: make it with `python -m training.motion.sync`")
    state = torch.load(path, map_location=device, weights_only=True)
    network = SyncNetwork(SyncConfig(**state["config"])).to(device)
    network.load_state_dict(state["network"])
    return network.eval()


class SyncTrainer:
    """The judge, its optimizer and their checkpoint `<folder>/sync.pt`."""

    def __init__(self, config: SyncTrainConfig, folder: Path, network: SyncConfig = SyncConfig()):
        torch.manual_seed(config.seed)
        self.config = config
        self.checkpoint = folder / "sync.pt"
        self.device = torch.device(config.device)
        self.network = SyncNetwork(network).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.step, self.elapsed_s = 0, 0.0
        self._clock_s = time.process_time if self.device.type == "cpu" else time.monotonic
        self._random = torch.Generator().manual_seed(config.seed)
        if self.checkpoint.exists():
            self._resume()

    @property
    def progress(self) -> float:
        return self.elapsed_s / (60.0 * self.config.minutes)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        if state["config"] != self.network.config.to_dict():
            raise ValueError(
                f"{self.checkpoint} holds a judge of {state['config']}, got {self.network.config.to_dict()}: "
                "train in another folder or with the same sizes"
            )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._random.set_state(state["random"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        print(f"sync: resumed at step {self.step}, {self.elapsed_s / 60:.1f} min", flush=True)

    def save(self) -> None:
        """Writes the checkpoint atomically."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        state = {
            "config": self.network.config.to_dict(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self._random.get_state(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _disturbed(self, blendshapes: torch.Tensor) -> torch.Tensor:
        """Motion that moves less or more, with a little noise."""
        low, high = self.config.amplitude
        factor = low + (high - low) * torch.rand((len(blendshapes), 1, 1), generator=self._random)
        noise = self.config.noise * torch.randn(blendshapes.shape, generator=self._random)
        return blendshapes * factor.to(self.device) + noise.to(self.device)

    def train_step(self, batch: Batch, started_s: float | None = None) -> dict[str, float]:
        """One update; counts the time since `started_s` of its own clock, or its own."""
        started_s = self._clock_s() if started_s is None else started_s
        rate = self.config.learning_rate * max(0.01, 0.5 + 0.5 * math.cos(math.pi * min(1.0, self.progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(self.device)
        self.network.train()
        loss = contrastive_loss(self.network, batch, self._disturbed(batch.blendshapes))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.elapsed_s += self._clock_s() - started_s
        return {"loss": float(loss.detach()), "scale": float(self.network.scale.detach())}

    def run(self, sampler: WindowSampler, log_every: int = 20) -> None:
        """Trains until the time is used up; `in_step` is that of the last batch before it is learned from."""
        saved_s = time.monotonic()
        try:
            while self.progress < 1.0:
                started_s = self._clock_s()
                batch = sampler.batch(self.config.batch_size)
                logs = (self.step + 1) % log_every == 0
                share = in_step(self.network, batch.to(self.device)) if logs else 0.0
                parts = self.train_step(batch, started_s)
                if logs:
                    text = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
                    print(f"sync step {self.step} {100 * self.progress:.1f} % {text} in_step {share:.3f}", flush=True)
                if time.monotonic() - saved_s > self.config.save_s:
                    self.save()
                    saved_s = time.monotonic()
        finally:
            self.save()
