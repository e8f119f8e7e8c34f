"""What a living face does beside speaking: blinks, gaze, sway, breath, listening. A pure function of a seed, of time
and of when the avatar spoke.

Events are drawn in the order of their times and look only at the past of the speech, on a grid of 20 ms, so that the
same seed and speech give the same life at every frame rate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatar.blendshapes import INDEX
from avatar.config import BLENDSHAPE_COUNT, FEATURE_RATE_HZ

EYE_TURN_DEG = 30.0
"""Turn of an eyeball at an eyeLook coefficient of 1."""

MICRO_EXPRESSIONS = (
    {"browInnerUp": 0.10},
    {"browOuterUpLeft": 0.10, "browOuterUpRight": 0.07},
    {"browDownLeft": 0.08, "browDownRight": 0.09},
    {"eyeSquintLeft": 0.12, "eyeSquintRight": 0.10},
    {"cheekSquintLeft": 0.08, "cheekSquintRight": 0.08},
)
"""Faint and short; none moves the lips."""


@dataclass(frozen=True, slots=True)
class LifeConfig:
    """Attributes:
    blink_interval_s: mean time between blinks while resting and while speaking: 17 and 26 blinks a minute
        (Bentivoglio et al., "Analysis of blink rate patterns in normal subjects", Movement Disorders 12(6), 1997).
    phrase_end_blink: probability of a blink where a phrase ends (Nakano, Kitazawa, "Eyeblink entrainment at
        breakpoints of speech", Exp. Brain Research 205, 2010).
    blink_closing_s, blink_closed_s, blink_opening_s: a lid closes about twice as fast as it opens (VanderWerf et al.,
        "Eyelid movements: behavioral studies of blinking in humans", J. Neurophysiology 89, 2003).
    fixation_s: mean length of a fixation while facing somebody.
    gaze_deg: standard deviation of the fixation targets, degrees of eye turn.
    eye_contact: part of the fixations that return to the viewer's eyes, while speaking and while listening: 41 % and
        75 % of the time (Argyle, Cook, "Gaze and Mutual Gaze", 1976).
    nod_interval_s, nod_deg, nod_hz: of the small nods of a listener (Hadar, Steiner, Rose, "Head movement during
        listening turns in conversation", J. Nonverbal Behavior 9(4), 1985).
    listening_tilt_deg, listening_lean_m, listening_brow: of the attentive posture.
    attack_s, release_s: time constants with which the face turns from listening to speaking and back.
    micro_interval_s, micro_s: between micro-expressions, and how long one lasts: at most half a second (Yan et al.,
        "How fast are the leaked facial expressions", J. Nonverbal Behavior 37, 2013).
    sway_deg, sway_m: amplitude of the slow drift of the head.
    breath_hz, breath_m: rate and rise of the breath.
    """

    blink_interval_s: tuple[float, float] = (3.5, 2.5)
    phrase_end_blink: float = 0.35
    blink_closing_s: float = 0.075
    blink_closed_s: float = 0.03
    blink_opening_s: float = 0.17
    fixation_s: float = 1.4
    gaze_deg: tuple[float, float] = (2.2, 1.2)
    eye_contact: tuple[float, float] = (0.41, 0.75)
    nod_interval_s: float = 9.0
    nod_deg: float = 1.6
    nod_hz: float = 2.2
    listening_tilt_deg: float = 1.2
    listening_lean_m: float = 0.003
    listening_brow: float = 0.05
    attack_s: float = 0.25
    release_s: float = 0.9
    micro_interval_s: float = 7.0
    micro_s: float = 0.45
    sway_deg: tuple[float, float, float] = (0.9, 1.4, 0.6)
    sway_m: tuple[float, float, float] = (0.0015, 0.0006, 0.0010)
    breath_hz: float = 0.24
    breath_m: float = 0.0007


@dataclass(frozen=True, slots=True)
class Signs:
    """What life adds at one moment: blendshapes [52] float32 and pose [6] float32 (rad, m), both to be added."""

    blendshapes: np.ndarray
    pose: np.ndarray


def silent(time_s: float) -> float:
    """The speech of a session that says nothing."""
    return 0.0


class Life:
    """Times must not decrease from call to call by more than the frames that an interrupt takes back."""

    def __init__(self, seed: int, config: LifeConfig = LifeConfig()):
        self._config = config
        streams = np.random.SeedSequence(seed).spawn(5)
        self._blink_rng, self._gaze_rng, sway_rng, self._nod_rng, self._micro_rng = map(np.random.default_rng, streams)
        self._rows = 0
        self._level = self._level_before = 0.0
        self._was_speaking = False
        self._blinks = [0.9 + float(self._blink_rng.exponential(1.5))]
        self._saccades = [_Saccade(-1.0, np.zeros(2), np.zeros(2))]
        self._nod = (0.0, -1e9)
        self._next_nod_s = 2.0 + float(self._nod_rng.exponential(config.nod_interval_s))
        self._micro = (-1e9, MICRO_EXPRESSIONS[0])
        self._next_micro_s = 1.0 + float(self._micro_rng.exponential(config.micro_interval_s))
        # Incommensurate frequencies never repeat within any session; the phases are the seed's.
        self._sway_hz = np.array([0.071, 0.127, 0.211, 0.353])[:, None] * sway_rng.uniform(0.9, 1.1, (4, 6))
        self._sway_phase = sway_rng.uniform(0, 2 * np.pi, (4, 6))
        self._sway_gain = np.array([1.0, 0.6, 0.35, 0.15])[:, None] / 1.3
        self._tilt_side = float(sway_rng.choice((-1.0, 1.0)))

    def at(self, time_s: float, speech: Callable[[float], float] = silent) -> Signs:
        """The signs at `time_s`.

        Args:
            time_s: on the session's clock.
            speech: probability that the avatar speaks at a time between the last call's and `time_s`.
        """
        while self._rows <= time_s * FEATURE_RATE_HZ + 1e-6:
            self._step(self._rows / FEATURE_RATE_HZ, speech(self._rows / FEATURE_RATE_HZ))
            self._rows += 1
        fraction = time_s * FEATURE_RATE_HZ - (self._rows - 1)
        speaking = self._level_before + (self._level - self._level_before) * min(1.0, max(0.0, fraction))
        blendshapes = np.zeros(BLENDSHAPE_COUNT, np.float32)
        _look(blendshapes, self._gaze_deg(time_s))
        closure = self._lid_closure(time_s)
        # The left lid leads by a few milliseconds and closes a little further, as in most people.
        blendshapes[INDEX["eyeBlinkLeft"]] = closure
        blendshapes[INDEX["eyeBlinkRight"]] = 0.985 * self._lid_closure(time_s - 0.006)
        start_s, units = self._micro
        pulse = _bell((time_s - start_s) / self._config.micro_s)
        for name, height in units.items():
            blendshapes[INDEX[name]] += height * pulse
        listening = (1.0 - speaking) * _smooth(time_s / 1.5)
        blendshapes[INDEX["browInnerUp"]] += self._config.listening_brow * listening
        return Signs(blendshapes, self._pose(time_s, listening))

    def _step(self, time_s: float, probability: float) -> None:
        """One row of 20 ms: all that is drawn is drawn here."""
        config = self._config
        self._level_before = self._level
        constant_s = config.attack_s if probability > self._level else config.release_s
        self._level += (probability - self._level) * (1.0 - math.exp(-1.0 / (FEATURE_RATE_HZ * constant_s)))
        is_speaking = probability > 0.5
        if self._was_speaking and not is_speaking:
            self._end_phrase(time_s)
        self._was_speaking = is_speaking
        if self._blinks[-1] <= time_s:
            resting_s, speaking_s = config.blink_interval_s
            mean_s = resting_s + (speaking_s - resting_s) * self._level
            # A log-normal interval: most blinks are regular, a few come in quick pairs.
            interval_s = float(self._blink_rng.lognormal(math.log(mean_s) - 0.2, 0.63))
            self._blinks = [*self._blinks[-2:], self._blinks[-1] + max(0.35, min(interval_s, 9.0))]
        if self._saccades[-1].start_s <= time_s:
            last = self._saccades[-1]
            fixation_s = 0.25 + float(self._gaze_rng.gamma(2.0, config.fixation_s / 2))
            speaking, listening = config.eye_contact
            contact = listening + (speaking - listening) * self._level
            target = self._gaze_rng.normal(0, config.gaze_deg)
            target = np.zeros(2) if self._gaze_rng.random() < contact else target
            self._saccades = [*self._saccades[-2:], _Saccade(last.start_s + fixation_s, last.target_deg, target)]
        if self._next_nod_s <= time_s:
            depth = (1.0 - self._level) * float(self._nod_rng.uniform(0.5, 1.0))
            self._nod = (depth, time_s)
            self._next_nod_s += 2.0 + float(self._nod_rng.exponential(config.nod_interval_s))
        if self._next_micro_s <= time_s:
            self._micro = (time_s, MICRO_EXPRESSIONS[self._micro_rng.integers(len(MICRO_EXPRESSIONS))])
            self._next_micro_s += 1.0 + float(self._micro_rng.exponential(config.micro_interval_s))

    def _end_phrase(self, time_s: float) -> None:
        """A blink is due where a phrase ends, unless one just was or comes anyway."""
        delay_s = float(self._blink_rng.uniform(0.04, 0.3))
        wanted = self._blink_rng.random() < self._config.phrase_end_blink
        rested = len(self._blinks) < 2 or time_s - self._blinks[-2] > 0.8
        if wanted and rested and self._blinks[-1] > time_s + delay_s:
            self._blinks[-1] = time_s + delay_s

    def _pose(self, time_s: float, listening: float) -> np.ndarray:
        config = self._config
        wave = (self._sway_gain * np.sin(2 * np.pi * self._sway_hz * time_s + self._sway_phase)).sum(0)
        amplitude = np.concatenate([np.radians(config.sway_deg), config.sway_m])
        pose = wave * amplitude
        # Time 0 starts at the rest pose, so that every session begins from the same picture.
        pose *= min(1.0, time_s / 1.5) if time_s > 0 else 0.0
        pose[4] += config.breath_m * 0.5 * (1 - np.cos(2 * np.pi * config.breath_hz * max(0.0, time_s)))
        depth, start_s = self._nod
        since_s = time_s - start_s
        pose[0] += math.radians(config.nod_deg) * depth * _nod(since_s * config.nod_hz)
        pose[2] += math.radians(config.listening_tilt_deg) * self._tilt_side * listening
        pose[5] += config.listening_lean_m * listening
        return pose.astype(np.float32)

    def _lid_closure(self, time_s: float) -> float:
        return max(_lid(time_s - start_s, self._config) for start_s in self._blinks)

    def _gaze_deg(self, time_s: float) -> np.ndarray:
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
        return self.origin_deg + (self.target_deg - self.origin_deg) * _smooth((time_s - self.start_s) / length_s)


def _smooth(x: float) -> float:
    x = min(1.0, max(0.0, x))
    return x * x * (3 - 2 * x)


def _bell(x: float) -> float:
    """From 0 to 1 and back for x in [0, 1]."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * x) if 0 < x < 1 else 0.0


def _nod(cycles: float) -> float:
    """Down and up twice, the second time half as far; positive is down (a turn about x)."""
    if not 0 < cycles < 2:
        return 0.0
    return (1.0 if cycles < 1 else 0.5) * _bell(cycles % 1.0)


def _lid(since_s: float, config: LifeConfig) -> float:
    if since_s <= 0:
        return 0.0
    if since_s < config.blink_closing_s:
        return _smooth(since_s / config.blink_closing_s)
    since_s -= config.blink_closing_s + config.blink_closed_s
    if since_s <= 0:
        return 1.0
    return 1.0 - _smooth(since_s / config.blink_opening_s)


def _look(blendshapes: np.ndarray, gaze_deg: np.ndarray) -> None:
    """gaze_deg: [2], to the subject's left and up."""
    left, up = np.asarray(gaze_deg) / EYE_TURN_DEG
    for name, value in (
        ("eyeLookOutLeft", left), ("eyeLookInRight", left), ("eyeLookInLeft", -left), ("eyeLookOutRight", -left),
        ("eyeLookUpLeft", up), ("eyeLookUpRight", up), ("eyeLookDownLeft", -up), ("eyeLookDownRight", -up),
    ):  # fmt: skip
        blendshapes[INDEX[name]] = max(0.0, float(value))
