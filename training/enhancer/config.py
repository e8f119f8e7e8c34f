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
        perceptual: distance of features in crops, see `training.features.distance`; 0 leaves it out.
        adversarial: what a discriminator of crops takes for enhanced, see `training.enhancer.adversary`; 0 leaves it
            out.
        temporal: how little of what the network adds moves with the surface, see `training.enhancer.steadiness`; 0
            leaves it out.
        temporal_steps: that term enters every so many steps, so many times as strong.
    """

    pixel: float = 1.0
    detail: float = 1.5
    detail_levels: int = 4
    structure: float = 0.15
    perceptual: float = 0.0
    adversarial: float = 0.0
    temporal: float = 0.0
    temporal_steps: int = 2

    def __post_init__(self):
        if min(self.perceptual, self.adversarial, self.temporal) < 0:
            raise ValueError(
                f"weights must be at least 0, got {self.perceptual}, {self.adversarial} and {self.temporal}"
            )
        if self.temporal_steps < 1:
            raise ValueError(f"temporal_steps must be at least 1, got {self.temporal_steps}")


@dataclass(frozen=True, slots=True)
class CropConfig:
    """Crops of each frame that the perceptual and the adversarial term see.

    Attributes:
        size_px: edge; a multiple of 8.
        focus: how many at the eyes and the mouth.
        hair: how many in the hair.
        skin: how many on the skin.
    """

    size_px: int = 128
    focus: int = 2
    hair: int = 1
    skin: int = 1

    def __post_init__(self):
        if self.size_px < 32 or self.size_px % 8:
            raise ValueError(f"size_px must be a multiple of 8 and at least 32, got {self.size_px}")
        if min(self.focus, self.hair, self.skin) < 0 or self.focus + self.hair + self.skin == 0:
            raise ValueError(f"there must be a crop, got {self.focus}, {self.hair} and {self.skin}")


@dataclass(frozen=True, slots=True)
class AdversaryConfig:
    """The discriminator and how it enters.

    Attributes:
        start: part of the run after which it begins to learn and to pull.
        ramp: part of the run in which its weight then rises from 0 to all of it.
        learning_rate: of Adam, constant.
        r1: weight of the penalty on the gradient at path-traced crops.
        r1_steps: the penalty enters every so many steps, so many times as strong.
        channels: of the hidden layers.
        scales: full size, half size, and so on.
    """

    start: float = 0.1
    ramp: float = 0.3
    learning_rate: float = 5e-4
    r1: float = 1e-3
    r1_steps: int = 16
    channels: tuple[int, int, int] = (24, 48, 64)
    scales: int = 2

    def __post_init__(self):
        if not 0.0 <= self.start < 1.0 or self.ramp <= 0.0:
            raise ValueError(f"start must be in [0, 1) and ramp positive, got {self.start} and {self.ramp}")
        if self.r1_steps < 1 or self.scales < 1:
            raise ValueError(f"r1_steps and scales must be at least 1, got {self.r1_steps} and {self.scales}")


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
        crops: what the perceptual and the adversarial term see.
        adversary: the discriminator, where the adversarial term has a weight.
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
    crops: CropConfig = field(default_factory=CropConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)

    def __post_init__(self):
        if self.steps <= 0 and self.minutes <= 0:
            raise ValueError(f"steps or minutes must be positive, got {self.steps} and {self.minutes}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")
