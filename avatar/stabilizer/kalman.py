"""Constant-velocity Kalman filter on the rigid head pose. The face coefficients never pass it: it would flatten
plosives.

Each of the six values moves as x' = v with white noise as acceleration. Source: Bar-Shalom, Li, Kirubarajan,
"Estimation with applications to tracking and navigation", 2001, section 6.3.2 (piecewise constant white acceleration);
its steady state is the alpha-beta filter of Kalata 1984, "The tracking index: a generalized parameter for alpha-beta
and alpha-beta-gamma target trackers".
"""

from dataclasses import dataclass, field

import numpy as np

POSE_SIZE = 6
LONGEST_STEP_S = 0.5
"""After a longer pause the past says nothing: the filter starts again."""


@dataclass(frozen=True, slots=True)
class KalmanConfig:
    """What the filter takes for jitter and what for motion.

    The defaults make the gain 1/2 at 30 frames a second: jitter loses a third of its amplitude, and a nod of 1 Hz comes
    0.3 frames late.

    Attributes:
        rotation_noise_rad: standard deviation of the measured rotation.
        translation_noise_m: standard deviation of the measured translation.
        rotation_agility: spectral density of the angular acceleration, rad²/s³.
        translation_agility: spectral density of the acceleration, m²/s³.
    """

    rotation_noise_rad: float = 0.003
    translation_noise_m: float = 0.0005
    rotation_agility: float = 0.0141
    translation_agility: float = 0.000391

    def __post_init__(self):
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"{name} must be positive, got {getattr(self, name)}; use the default to switch no part off"
                )


@dataclass(frozen=True, eq=False, slots=True)
class KalmanState:
    """What the filter believes after a frame.

    Attributes:
        mean: [6, 2] float64, value (rad or m) and its rate (per second).
        covariance: [6, 2, 2] float64 of the two.
        started: False before the first measurement.
        config: the noise model.
    """

    mean: np.ndarray = field(default_factory=lambda: np.zeros((POSE_SIZE, 2)))
    covariance: np.ndarray = field(default_factory=lambda: np.zeros((POSE_SIZE, 2, 2)))
    started: bool = False
    config: KalmanConfig = KalmanConfig()


def initial(config: KalmanConfig | None = None) -> KalmanState:
    """The state before the first measurement."""
    return KalmanState(config=config or KalmanConfig())


def update(state: KalmanState, measurement: np.ndarray, dt_s: float) -> tuple[KalmanState, np.ndarray]:
    """Take one measured pose in.

    Args:
        state: of the frame before, or `initial()`.
        measurement: [6], rotation (rad, axis-angle, small) and translation (m).
        dt_s: time since the frame before, seconds.

    Returns:
        The new state, and the filtered pose [6] float32. The first pose passes unchanged.

    Raises:
        ValueError: the measurement is not six finite numbers, or `dt_s` is not positive.
    """
    measurement = np.asarray(measurement, np.float64)
    if measurement.shape != (POSE_SIZE,) or not np.isfinite(measurement).all():
        raise ValueError(f"a pose must be {POSE_SIZE} finite numbers, got {measurement}; drop the frame")
    if not dt_s > 0:
        raise ValueError(f"dt_s must be positive, got {dt_s}; pass the time between two frames in seconds")
    config = state.config
    noise = np.repeat([config.rotation_noise_rad, config.translation_noise_m], 3) ** 2
    agility = np.repeat([config.rotation_agility, config.translation_agility], 3)
    if not state.started or dt_s > LONGEST_STEP_S:
        mean = np.stack([measurement, np.zeros(POSE_SIZE)], axis=1)
        covariance = np.zeros((POSE_SIZE, 2, 2))
        covariance[:, 0, 0] = noise
        covariance[:, 1, 1] = agility * LONGEST_STEP_S
        return KalmanState(mean, covariance, True, config), measurement.astype(np.float32)

    step = np.array([[1.0, dt_s], [0.0, 1.0]])
    push = np.array([dt_s**2 / 2, dt_s])
    mean = state.mean @ step.T
    covariance = step @ state.covariance @ step.T + (agility / dt_s)[:, None, None] * np.outer(push, push)
    gain = covariance[:, :, 0] / (covariance[:, 0, 0] + noise)[:, None]
    mean = mean + gain * (measurement - mean[:, 0])[:, None]
    covariance = covariance - gain[:, :, None] * covariance[:, None, 0, :]
    return KalmanState(mean, covariance, True, config), mean[:, 0].astype(np.float32)
