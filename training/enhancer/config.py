"""What a training run of the enhancer depends on, apart from its pairs."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the terms of `training.enhancer.losses`.

    Attributes:
        pixel: absolute difference of colors over a background, and of alpha.
        detail: absolute difference of Laplacian bands, which a soft picture would fail.
        detail_levels: number of bands, the finest first.
        structure: 1 - SSIM.
        residual_rest: absolute residual of color where the frame is transparent, so that hidden colors stay tame.
    """

    pixel: float = 1.0
    detail: float = 1.5
    detail_levels: int = 4
    structure: float = 0.15
    residual_rest: float = 0.02


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One training run.

    Attributes:
        steps: optimizer steps; 0 means as many as fit in `minutes`.
        minutes: wall-clock length of the run, over all resumptions; 0 means `steps` decide. The learning rate follows
            whichever of the two is further.
        batch: frames in a step.
        learning_rate: peak of the cosine schedule.
        warmup: fraction of the run over which the learning rate rises.
        weight_decay: of AdamW (Loshchilov and Hutter, 2019), on convolution weights only.
        average_decay: of the exponential moving average of the weights, which is what ships.
        gradient_clip: greatest norm of the gradient.
        shift_px: frames of a pair are moved together by up to this many pixels in x and y.
        checkpoint_s: seconds between checkpoints.
        report_steps: steps between lines of the log.
        seed: of everything random.
        loss: weights of the loss terms.
    """

    steps: int = 6000
    minutes: float = 0.0
    batch: int = 1
    learning_rate: float = 2e-3
    warmup: float = 0.02
    weight_decay: float = 1e-3
    average_decay: float = 0.995
    gradient_clip: float = 1.0
    shift_px: int = 12
    checkpoint_s: float = 180.0
    report_steps: int = 50
    seed: int = 0
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self):
        if self.steps <= 0 and self.minutes <= 0:
            raise ValueError(f"steps or minutes must be positive, got {self.steps} and {self.minutes}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")
