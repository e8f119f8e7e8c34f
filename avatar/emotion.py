"""Emotions as additions to the ARKit coefficients, eased so that a change in mid-stream never jumps.

Source of the combinations: Ekman & Friesen, Facial Action Coding System (1978), emotional prototypes, mapped to ARKit
units.
"""

import numpy as np

from avatar.blendshapes import INDEX
from avatar.config import BLENDSHAPE_COUNT


def _prototype(**units: float) -> np.ndarray:
    """Units named without a side apply to both sides where ARKit has two."""
    out = np.zeros(BLENDSHAPE_COUNT, np.float32)
    for unit, value in units.items():
        for name in (unit, unit + "Left", unit + "Right"):
            if name in INDEX:
                out[INDEX[name]] = value
    return out


EMOTIONS = {
    "neutral": _prototype(),
    "happy": _prototype(mouthSmile=0.45, cheekSquint=0.4, eyeSquint=0.2, mouthDimple=0.1, browOuterUp=0.05),
    "sad": _prototype(browInnerUp=0.55, mouthFrown=0.35, mouthShrugLower=0.15, eyeSquint=0.1),
    "angry": _prototype(browDown=0.6, eyeSquint=0.25, noseSneer=0.2, mouthPress=0.15, mouthFrown=0.15),
    "surprised": _prototype(browInnerUp=0.55, browOuterUp=0.55, eyeWide=0.45),
    "afraid": _prototype(browInnerUp=0.6, browOuterUp=0.2, eyeWide=0.35, mouthStretch=0.25),
    "disgusted": _prototype(noseSneer=0.5, browDown=0.3, mouthUpperUp=0.15, eyeSquint=0.2, mouthFrown=0.15),
}
"""[52] float32 to be added at intensity 1, by name."""

EASE_S = 0.18
"""Time constant with which one emotion gives way to another: two thirds of the way in 0.4 s, the onset of a posed
expression (Schmidt, Cohn, Tian, "Signal characteristics of spontaneous facial expressions", Biol. Psychology 65, 2003).
"""


class EmotionState:
    """Follows the wished emotion as a critically damped spring: neither value nor speed jumps. Frames must come in
    order of time."""

    def __init__(self):
        self._target = EMOTIONS["neutral"]
        self._current = EMOTIONS["neutral"].astype(np.float64)
        self._speed = np.zeros(BLENDSHAPE_COUNT)
        self._time_s = 0.0

    def wish(self, emotion: str, intensity: float) -> None:
        self._target = EMOTIONS[emotion] * np.float32(intensity)

    def at(self, time_s: float) -> np.ndarray:
        """Additions [52] float32 at `time_s`."""
        step = max(0.0, time_s - self._time_s) / EASE_S
        self._time_s = time_s
        # The exact solution over the step: the result does not depend on the frame rate.
        away = self._current - self._target
        drive = self._speed * EASE_S + away
        self._current = self._target + (away + drive * step) * np.exp(-step)
        self._speed = (self._speed - drive * step / EASE_S) * np.exp(-step)
        return self._current.astype(np.float32)
