"""What a living face does beside speaking: blinks, gaze, sway, breath. A pure function of a seed and of time.

Events are drawn in the order of their times, so that the same seed gives the same life at every frame rate.
"""

from dataclasses import dataclass

import numpy as np

from avatar.blendshapes import INDEX
from avatar.config import BLENDSHAPE_COUNT

EYE_TURN_DEG = 30.0
"""Turn of an eyeball at an eyeLook coefficient of 1."""


@dataclass(frozen=True, slots=True)
class LifeConfig:
    """Attributes:
    blink_interval_s: mean time between blinks. 14 to 26 blinks a minute while people talk or rest (Bentivoglio et al.
        1997).
    blink_closing_s, blink_closed_s, blink_opening_s: a lid closes about twice as fast as it opens (VanderWerf et al.
        2003).
    fixation_s: mean length of a fixation while facing somebody.
    gaze_deg: standard deviation of the fixation targets, degrees of eye turn.
    sway_deg, sway_m: amplitude of the slow drift of the head.
    breath_hz, breath_m: rate and rise of the breath.
    """

    blink_interval_s: float = 3.6
    blink_closing_s: float = 0.075
    blink_closed_s: float = 0.03
    blink_opening_s: float = 0.17
    fixation_s: float = 1.4
    gaze_deg: tuple[float, float] = (2.2, 1.2)
    sway_deg: tuple[float, float, float] = (0.9, 1.4, 0.6)
    sway_m: tuple[float, float, float] = (0.0015, 0.0006, 0.0010)
    breath_hz: float = 0.24
    breath_m: float = 0.0007


@dataclass(frozen=True, slots=True)
class Signs:
    """What life adds at one moment: blendshapes [52] float32 and pose [6] float32 (rad, m), both to be added."""

    blendshapes: np.ndarray
    pose: np.ndarray


class Life:
    """Times must not decrease from call to call by more than a blink."""

    def __init__(self, seed: int, config: LifeConfig = LifeConfig()):
        self._config = config
        streams = np.random.SeedSequence(seed).spawn(3)
        self._blink_rng, self._gaze_rng, sway_rng = (np.random.default_rng(stream) for stream in streams)
        self._blinks = [0.9 + float(self._blink_rng.exponential(1.5))]
        self._saccades = [_Saccade(-1.0, np.zeros(2), np.zeros(2))]
        # Incommensurate frequencies never repeat within any session; the phases are the seed's.
        self._sway_hz = np.array([0.071, 0.127, 0.211, 0.353])[:, None] * sway_rng.uniform(0.9, 1.1, (4, 6))
        self._sway_phase = sway_rng.uniform(0, 2 * np.pi, (4, 6))
        self._sway_gain = np.array([1.0, 0.6, 0.35, 0.15])[:, None] / 1.3

    def at(self, time_s: float) -> Signs:
        blendshapes = np.zeros(BLENDSHAPE_COUNT, np.float32)
        gaze_deg = self._gaze_deg(time_s)
        _look(blendshapes, gaze_deg)
        closure = self._lid_closure(time_s)
        # The left lid leads by a few milliseconds and closes a little further, as in most people.
        blendshapes[INDEX["eyeBlinkLeft"]] = closure
        blendshapes[INDEX["eyeBlinkRight"]] = 0.985 * self._lid_closure(time_s - 0.006)
        return Signs(blendshapes, self._pose(time_s, gaze_deg))

    def _pose(self, time_s: float, gaze_deg: np.ndarray) -> np.ndarray:
        config = self._config
        wave = (self._sway_gain * np.sin(2 * np.pi * self._sway_hz * time_s + self._sway_phase)).sum(0)
        amplitude = np.concatenate([np.radians(config.sway_deg), config.sway_m])
        pose = wave * amplitude
        # Time 0 starts at the rest pose, so that every session begins from the same picture.
        pose *= min(1.0, time_s / 1.5) if time_s > 0 else 0.0
        pose[4] += config.breath_m * 0.5 * (1 - np.cos(2 * np.pi * config.breath_hz * max(0.0, time_s)))
        return pose.astype(np.float32)

    def _lid_closure(self, time_s: float) -> float:
        config = self._config
        length_s = config.blink_closing_s + config.blink_closed_s + config.blink_opening_s
        while self._blinks[-1] <= time_s:
            # A log-normal interval: most blinks are regular, a few come in quick pairs.
            interval = float(self._blink_rng.lognormal(np.log(config.blink_interval_s) - 0.2, 0.63))
            self._blinks.append(self._blinks[-1] + max(0.35, min(interval, 9.0)))
        while len(self._blinks) > 2 and self._blinks[1] < time_s - 2 * length_s:
            self._blinks.pop(0)
        return max(_lid(time_s - start, config) for start in self._blinks)

    def _gaze_deg(self, time_s: float) -> np.ndarray:
        config = self._config
        while self._saccades[-1].start_s <= time_s:
            last = self._saccades[-1]
            fixation = 0.25 + float(self._gaze_rng.gamma(2.0, config.fixation_s / 2))
            # Every second fixation or so returns to the viewer's eyes.
            target = np.zeros(2) if self._gaze_rng.random() < 0.45 else self._gaze_rng.normal(0, config.gaze_deg)
            self._saccades.append(_Saccade(last.start_s + fixation, last.target_deg, target))
        while len(self._saccades) > 3:
            self._saccades.pop(0)
        current = next(s for s in reversed(self._saccades) if s.start_s <= time_s or s is self._saccades[0])
        return current.at(time_s)


@dataclass(frozen=True, slots=True)
class _Saccade:
    start_s: float
    origin_deg: np.ndarray
    target_deg: np.ndarray

    def at(self, time_s: float) -> np.ndarray:
        amplitude = float(np.linalg.norm(self.target_deg - self.origin_deg))
        # Main sequence: 2.2 ms a degree on top of 21 ms (Carpenter 1988).
        length_s = 0.021 + 0.0022 * amplitude
        x = min(1.0, max(0.0, (time_s - self.start_s) / length_s))
        return self.origin_deg + (self.target_deg - self.origin_deg) * (x * x * (3 - 2 * x))


def _lid(since_s: float, config: LifeConfig) -> float:
    if since_s <= 0:
        return 0.0
    if since_s < config.blink_closing_s:
        x = since_s / config.blink_closing_s
        return x * x * (3 - 2 * x)
    since_s -= config.blink_closing_s + config.blink_closed_s
    if since_s <= 0:
        return 1.0
    x = min(1.0, since_s / config.blink_opening_s)
    return (1 - x) ** 2 * (1 + 2 * x)


def _look(blendshapes: np.ndarray, gaze_deg: np.ndarray) -> None:
    """gaze_deg: [2], to the subject's left and up."""
    left, up = np.asarray(gaze_deg) / EYE_TURN_DEG
    for name, value in (
        ("eyeLookOutLeft", left), ("eyeLookInRight", left), ("eyeLookInLeft", -left), ("eyeLookOutRight", -left),
        ("eyeLookUpLeft", up), ("eyeLookUpRight", up), ("eyeLookDownLeft", -up), ("eyeLookDownRight", -up),
    ):  # fmt: skip
        blendshapes[INDEX[name]] = max(0.0, float(value))
