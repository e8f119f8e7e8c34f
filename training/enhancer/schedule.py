"""Learning rate over a run, and how far the run is."""

import math

from training.enhancer.config import TrainingConfig


def progress(step: int, elapsed_s: float, config: TrainingConfig) -> float:
    """Part of the run that is done, in [0, 1]: by steps or by time, whichever is further."""
    by_steps = step / config.steps if config.steps > 0 else 0.0
    by_time = elapsed_s / (60.0 * config.minutes) if config.minutes > 0 else 0.0
    return min(max(by_steps, by_time), 1.0)


def learning_rate(done: float, config: TrainingConfig) -> float:
    """Linear rise, then half a cosine to zero (Loshchilov and Hutter, "SGDR", 2017)."""
    if done < config.warmup:
        return config.learning_rate * max(done / config.warmup, 0.01)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (done - config.warmup) / (1.0 - config.warmup)))
