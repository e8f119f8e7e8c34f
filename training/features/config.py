"""What a training run of a feature network depends on, apart from its pictures."""

from dataclasses import dataclass, field

from training.enhancer.config import CropConfig
from training.features.network import Layout


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """One training run.

    Attributes:
        layout: channels of the convolutions of each block.
        steps: optimizer steps.
        frames: pictures in a step.
        crops: windows of each.
        learning_rate: peak of the cosine schedule of AdamW.
        distortion: weight of telling distortions apart beside telling parts apart.
        report_steps: steps between lines of the log.
        seed: of everything random.
    """

    layout: Layout = ((16, 16), (32, 32), (64, 64), (96, 96))
    steps: int = 2000
    frames: int = 2
    crops: CropConfig = field(default_factory=lambda: CropConfig(size_px=96))
    learning_rate: float = 2e-3
    distortion: float = 1.0
    report_steps: int = 50
    seed: int = 0

    def __post_init__(self):
        if self.steps < 1 or self.frames < 1:
            raise ValueError(f"steps and frames must be at least 1, got {self.steps} and {self.frames}")
        if self.crops.size_px % 2 ** (len(self.layout) - 1):
            raise ValueError(
                f"crops must be a multiple of {2 ** (len(self.layout) - 1)} pixels, got {self.crops.size_px}"
            )
