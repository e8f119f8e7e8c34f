"""The training loop: audio encoder, phone head and motion network together, resumable at any time."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from avatar.config import WindowConfig
from avatar.networks.audio_encoder import AudioEncoder, small_config
from avatar.networks.motion import MotionConfig, MotionNetwork
from training.audio_encoder import PhoneHead, SpectrumHead, distillation_loss, phone_loss, spectrum_loss
from training.motion.adversary import Adversary
from training.motion.losses import WINDOWS, MotionLoss
from training.motion.sync.contrast import SyncLoss
from training.motion.windows import Batch, WindowSampler, encoded_pieces, whole_windows


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How long and how fast.

    Attributes:
        minutes: training time over all runs, on a CPU the processor's time; the learning rate falls to zero at its end.
        batch_size: windows in one step.
        learning_rate: at its peak.
        warmup: part of the time in which it rises, again for every part that begins to learn.
        weight_decay: of AdamW.
        gradient_norm: largest, longer gradients are cut to it.
        average: decay per step of the averaged weights that are exported, at most.
        save_s: time between checkpoints.
        device: of torch.
        seed: of weights and batches.
        spectrum_share: first part of the time, in which the convolutions alone learn the spectrum.
        encoder_share: part of the time after it, in which the encoder alone learns phones; then all is trained
            together.
        bfloat16: arithmetic of the networks; weights, losses and optimizer stay in float32.
        compiled: the attention layers by `torch.compile`, which needs a C++ compiler and a minute.
        sync_weight: of the judge of sync beside the other losses, where the trainer has one.
        adversary_weight: of the discriminator of motion, where the trainer has one.
    """

    minutes: float = 80.0
    batch_size: int = 48
    learning_rate: float = 8e-4
    warmup: float = 0.01
    weight_decay: float = 0.01
    gradient_norm: float = 4.0
    average: float = 0.998
    save_s: float = 180.0
    device: str = "cpu"
    seed: int = 0
    spectrum_share: float = 0.06
    encoder_share: float = 0.4
    bfloat16: bool = False
    compiled: bool = False
    sync_weight: float = 0.1
    adversary_weight: float = 0.1


SPECTRUM_WEIGHT = 0.05
"""Of the spectrum beside the other losses, where training began with it: the convolutions must not forget it."""


WHOLE_EVERY = 9
"""Every so many steps the encoder sees windows as a whole, as in a session it does of those after a rest; else what a
session encodes at once. Odd, so that windows of both lengths have their turn."""


def learning_rate(config: TrainConfig, progress: float) -> float:
    """A linear warm-up wherever a part begins to learn, under half a cosine, for `progress` in [0, 1]."""
    begins = [0.0, config.spectrum_share, config.spectrum_share + config.encoder_share]
    since = progress - max(begin for begin in begins if begin <= progress)
    warm = min(1.0, (since + 5e-4) / config.warmup)
    return config.learning_rate * warm * max(0.01, 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress)))


def moving_average(decay: float) -> Callable:
    """Exponential average of weights that forgets its beginning: after n steps it decays by (1 + n) / (10 + n), at
    most `decay`. For `torch.optim.swa_utils.AveragedModel`, as its `multi_avg_fn`."""

    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor) -> None:
        weight = 1.0 - min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        for mean, value in zip(averaged, current, strict=True):
            mean.lerp_(value, weight)

    return update


class Trainer:
    """Networks, optimizer and their checkpoint.

    The checkpoint `<folder>/motion.pt` holds what training resumes from, and under `audio_encoder` and `motion` the
    averaged weights that `export` reads.
    """

    def __init__(
        self,
        config: TrainConfig,
        loss: MotionLoss,
        folder: Path,
        encoder: AudioEncoder | None = None,
        motion: MotionNetwork | None = None,
        teacher: AudioEncoder | None = None,
        sync: SyncLoss | None = None,
        adversary: Adversary | None = None,
    ):
        """Goes on from the checkpoint if there is one, then with the judges it holds in place of untrained ones.

        Args:
            config: how long and how fast.
            loss: of the motion network.
            folder: of the checkpoint.
            encoder, motion: networks to begin with.
            teacher: an audio encoder whose features ours shall learn; it is not trained.
            sync: a judge of the predicted motion; it is not trained.
            adversary: a discriminator that learns with the motion network, on the config's device.
        """
        torch.manual_seed(config.seed)
        encoder = encoder or AudioEncoder(small_config())
        self.config = config
        self.folder = folder
        self.device = torch.device(config.device)
        self.networks = nn.ModuleDict(
            {
                "audio_encoder": encoder,
                "motion": motion or MotionNetwork(MotionConfig()),
                "phone_head": PhoneHead(),
                "spectrum_head": SpectrumHead(encoder.wav2vec2.config.conv_dim[-1]),
            }
        ).to(self.device)
        self.loss = loss.to(self.device)
        self.teacher = teacher.eval().requires_grad_(False).to(self.device) if teacher else None
        self.sync = sync.to(self.device) if sync else None
        self.adversary = adversary
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.averaged = torch.optim.swa_utils.AveragedModel(self.networks, multi_avg_fn=moving_average(config.average))
        self.step, self.elapsed_s = 0, 0.0
        # On a machine shared with others the processor's time tells how much was learned.
        self._clock_s = time.process_time if self.device.type == "cpu" else time.monotonic
        if self.checkpoint.exists():
            self._resume()
        if config.compiled:
            motion = self.networks["motion"]
            for module in (encoder.wav2vec2.encoder, motion.coarse, motion.attention):
                module.compile(dynamic=False)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "motion.pt"

    @property
    def progress(self) -> float:
        return self.elapsed_s / (60.0 * self.config.minutes)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.networks.load_state_dict(state["networks"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.sync is not None and "sync" in state:
            self.sync.load_state_dict(state["sync"])
        if self.adversary is not None and "adversary" in state:
            self.adversary.load_state_dict(state["adversary"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        print(f"resumed at step {self.step}, {self.elapsed_s / 60:.1f} min", flush=True)

    def save(self) -> None:
        """Writes the checkpoint atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        average = self.averaged.module
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(
            {
                "networks": self.networks.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                **({"sync": self.sync.state_dict()} if self.sync is not None else {}),
                **({"adversary": self.adversary.state_dict()} if self.adversary is not None else {}),
                "audio_encoder": average["audio_encoder"].state_dict(),
                "audio_encoder_config": json.loads(average["audio_encoder"].wav2vec2.config.to_json_string()),
                "motion": average["motion"].state_dict(),
                "motion_config": average["motion"].config.to_dict(),
            },
            partial,
        )
        partial.replace(self.checkpoint)

    def _losses(self, batch: Batch, window: WindowConfig) -> tuple[torch.Tensor, dict[str, float]]:
        """Of what is trained at this time, on windows of one kind."""
        encoder, rows = self.networks["audio_encoder"], batch.phone.shape[1]
        is_whole = self.step % WHOLE_EVERY == 0
        audio = batch.audio if is_whole else encoded_pieces(batch.audio, window.encoded_samples)
        normalized = encoder.normalize(audio)
        convolved = encoder.convolve(normalized)
        parts: dict[str, float] = {}
        beside = convolved.new_zeros(())
        if self.config.spectrum_share > 0:
            spectrum = spectrum_loss(self.networks["spectrum_head"](convolved), normalized)
            parts["spectrum"] = float(spectrum.detach())
            beside = SPECTRUM_WEIGHT * spectrum
        if self.progress < self.config.spectrum_share:
            return spectrum, parts
        features = whole_windows(encoder.transform(convolved).float(), rows)
        if self.teacher is not None:
            distillation = distillation_loss(features, self.teacher(batch.audio).float())
            parts["distillation"] = float(distillation.detach())
            beside = beside + distillation
        phone_logits = self.networks["phone_head"](features).float()
        if self.progress < self.config.spectrum_share + self.config.encoder_share:
            phone = phone_loss(phone_logits, batch.phone).mean()
            correct = (phone_logits.detach().argmax(dim=-1) == batch.phone).float()
            parts |= {"phone": float(phone.detach()), "phone_accuracy": float(correct.mean())}
            return phone + beside, parts
        total, others, (coefficients, pose) = self.loss(self.networks["motion"], features, phone_logits, batch)
        parts |= others
        # The judges know long windows only.
        is_long = coefficients.shape[1] == WINDOWS[0].window_rows
        if self.sync is not None and is_long:
            sync, numbers = self.sync(coefficients, batch)
            beside = beside + self.config.sync_weight * sync
            parts |= numbers
        if self.adversary is not None and is_long:
            adversary, numbers = self.adversary(coefficients, pose, batch)
            beside = beside + self.config.adversary_weight * adversary
            parts |= numbers
        return total + beside, parts

    def train_step(self, sampler: WindowSampler) -> dict[str, float]:
        """One batch, one update; counts its own time."""
        started_s = self._clock_s()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.progress)
        # Long and short windows by turns.
        window = WINDOWS[self.step % len(WINDOWS)]
        batch = sampler.batch(self.config.batch_size).tail(window.window_rows).to(self.device)
        self.networks.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            total, parts = self._losses(batch, window)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.networks.parameters(), self.config.gradient_norm)
        self.optimizer.step()
        self.averaged.update_parameters(self.networks)
        self.step += 1
        self.elapsed_s += self._clock_s() - started_s
        return {"total": float(total.detach()), "gradient_norm": float(norm), **parts}

    def run(self, sampler: WindowSampler, log_every: int = 20, refresh: Callable[[], None] | None = None) -> None:
        """Trains until the time is used up; logs to the console and to TensorBoard.

        `refresh` is called with every checkpoint; it may give the sampler more speech.
        """
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(self.folder))
        recent: dict[str, list[float]] = {}
        saved_s = time.monotonic()
        try:
            while self.progress < 1.0:
                for name, value in self.train_step(sampler).items():
                    recent.setdefault(name, []).append(value)
                if self.step % log_every == 0:
                    means = {name: sum(values) / len(values) for name, values in recent.items()}
                    for name, value in means.items():
                        writer.add_scalar(f"train/{name}", value, self.step)
                    text = " ".join(f"{name} {value:.3f}" for name, value in means.items())
                    print(f"step {self.step} {100 * self.progress:.1f} % {text}", flush=True)
                    recent = {}
                if time.monotonic() - saved_s > self.config.save_s:
                    self.save()
                    if refresh:
                        refresh()
                    saved_s = time.monotonic()
        finally:
            self.save()
            writer.close()
