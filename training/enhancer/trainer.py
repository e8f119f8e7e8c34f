"""One training run: state, step, checkpoint, resumption."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from torch import Tensor

from avatar.networks.enhancer import Enhancer, EnhancerConfig, unfold
from training.enhancer.adversary import Adversary
from training.enhancer.batches import Batch, draw_batch
from training.enhancer.config import TrainingConfig
from training.enhancer.crops import cut, draw_windows
from training.enhancer.losses import losses, over
from training.enhancer.pairs import Pairs
from training.enhancer.schedule import learning_rate, progress
from training.enhancer.shipped import fitted, weights_of
from training.enhancer.steadiness import Moments, unsteadiness
from training.features.distance import perceptual_distance
from training.features.network import Features


@dataclass(frozen=True, slots=True)
class Report:
    """Means since the last report.

    Attributes:
        step: steps done.
        done: part of the run that is done.
        step_s: seconds a step.
        terms: unweighted loss terms by name.
    """

    step: int
    done: float
    step_s: float
    terms: dict[str, float]

    def __str__(self) -> str:
        terms = " ".join(f"{name} {value:.5f}" for name, value in self.terms.items())
        return f"step {self.step} {self.done:6.1%} {self.step_s:.2f} s/step {terms}"


class Trainer:
    """Holds what a run changes: weights, their average, optimizer, step, elapsed time, and the discriminator if any.

    Raises:
        ValueError: the perceptual term has a weight, but there are no features for it, or the temporal one without
            moments.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: EnhancerConfig = EnhancerConfig(),
        features: Features | None = None,
        moments: Moments | None = None,
    ):
        if config.loss.perceptual > 0 and features is None:
            raise ValueError(
                f"the perceptual term has the weight {config.loss.perceptual} and needs features, got none: "
                "see training.features"
            )
        if config.loss.temporal > 0 and moments is None:
            raise ValueError(f"the temporal term has the weight {config.loss.temporal} and needs moments, got none")
        torch.manual_seed(config.seed)
        self.config = config
        self.moments = moments if config.loss.temporal > 0 else None
        self.features = features if config.loss.perceptual > 0 else None
        self.network = Enhancer(network).to(memory_format=torch.channels_last)
        self.averaged = Enhancer(network).to(memory_format=torch.channels_last).requires_grad_(False)
        self.averaged.load_state_dict(self.network.state_dict())
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            fused=True,
        )
        self.adversary = Adversary(config.adversary) if config.loss.adversarial > 0 else None
        self.step = 0
        self.elapsed_s = 0.0

    @property
    def done(self) -> float:
        return progress(self.step, self.elapsed_s, self.config)

    def run(
        self,
        pairs: Pairs,
        checkpoint: Path | None = None,
        report: Callable[[Report], None] = lambda report: None,
        refresh: Callable[[Pairs], Pairs] = lambda pairs: pairs,
    ) -> None:
        """Trains to the end of the schedule.

        Args:
            pairs: to begin with.
            checkpoint: written every so often and at the end.
            report: called every so many steps.
            refresh: called after each checkpoint with the pairs at hand; training goes on with what it returns.
        """
        started_s, before_s, saved_s = monotonic(), self.elapsed_s, monotonic()
        history: list[dict[str, float]] = []
        reported_s = monotonic()
        while self.done < 1.0:
            history.append(self._step(pairs))
            now_s = monotonic()
            self.elapsed_s = before_s + now_s - started_s
            if self.step % self.config.report_steps == 0 or self.done >= 1.0:
                names = dict.fromkeys(name for row in history for name in row)
                terms = {name: float(np.mean([row[name] for row in history if name in row])) for name in names}
                report(Report(self.step, self.done, (now_s - reported_s) / len(history), terms))
                history, reported_s = [], now_s
            if checkpoint is not None and (now_s - saved_s > self.config.checkpoint_s or self.done >= 1.0):
                self.save(checkpoint)
                pairs, saved_s = refresh(pairs), monotonic()

    def _step(self, pairs: Pairs) -> dict[str, float]:
        config = self.config
        rng = np.random.default_rng((config.seed, self.step))
        batch = draw_batch(pairs, config.batch, config.shift_px, rng)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.done, config)
        raster = batch.raster.permute(0, 3, 1, 2).float() / 255.0
        truth = batch.truth.permute(0, 3, 1, 2).float() / 255.0
        picture = unfold(self.network.enhance(batch.raster, batch.mask))
        terms = losses(picture, truth, batch.attention, batch.background, config.loss)
        total, report = terms.total(config.loss), terms.values()
        if self.features is not None or self.adversary is not None:
            further, named = self._crop_terms(batch, picture, raster, truth, rng)
            total, report = total + further, report | named
        if self.moments is not None and self.step % config.loss.temporal_steps == 0:
            temporal = unsteadiness(self.network, self.moments(rng))
            total = total + config.loss.temporal * config.loss.temporal_steps * temporal
            report["temporal"] = temporal.item()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
        self.optimizer.step()
        self.step += 1
        self._average()
        return report

    def _crop_terms(
        self, batch: Batch, picture: Tensor, raster: Tensor, truth: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Perceptual and adversarial term of random crops, weighted and by name; teaches the adversary."""
        config, report = self.config, {}
        windows = draw_windows(batch.mask, batch.attention, config.crops, rng)
        got, drawn, wanted = (
            cut(over(image, batch.background), windows, config.crops.size_px).clamp(0.0, 1.0)
            for image in (picture, raster, truth)
        )
        total = got.new_zeros(())
        if self.features is not None:
            perceptual = perceptual_distance(self.features, got[:, :3], wanted[:, :3]).mean()
            total = total + config.loss.perceptual * perceptual
            report["perceptual"] = perceptual.item()
        if self.adversary is not None and (strength := self.adversary.strength(self.done)) > 0:
            adversarial = self.adversary.pull(got, drawn)
            total = total + strength * config.loss.adversarial * adversarial
            report["adversarial"] = adversarial.item()
            report["discriminator"] = self.adversary.learn(got, wanted, drawn).item()
        return total, report

    def _average(self) -> None:
        """Moves the average toward the weights; early in the run it follows faster, so that it forgets the start."""
        decay = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.network.parameters()), 1.0 - decay)

    def save(self, path: Path) -> None:
        """Writes everything needed to go on, or to export, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        state = {
            "config": asdict(self.network.config),
            "training": asdict(self.config),
            "weights": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "adversary": None if self.adversary is None else self.adversary.state_dict(),
        }
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Goes on where `save` was called; a discriminator that the file lacks begins anew."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["weights"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        if self.adversary is not None and state.get("adversary") is not None:
            self.adversary.load_state_dict(state["adversary"])

    def start_from(self, path: Path) -> None:
        """Takes the averaged weights of another run, or an exported network, and begins a schedule of its own.

        Of layers of another width it takes the channels that both have.
        """
        if path.suffix == ".onnx":
            state = weights_of(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)["averaged"]
        state = fitted(state, self.network.state_dict())
        self.network.load_state_dict(state)
        self.averaged.load_state_dict(state)
