"""What the mouth aims at in each viseme, and how strongly.

Openings are set on the default head, whose inner lips part by 35 mm at `jawOpen` 1: 13 mm for the open vowel, 4 to 5
mm for close vowels, none for m, b, p. Strengths follow the articulators a sound needs: sibilants need the jaw, w and u
the lips' rounding, h nothing at all (Edwards, Landreth, Fiume, Singh, "JALI", ACM TOG 35(4), 2016, sections 4.1 and
4.2).
"""

from dataclasses import dataclass

import numpy as np

from avatar.blendshapes import INDEX
from avatar.visemes import VISEMES

CHANNELS = (
    "jawOpen", "mouthFunnel", "mouthPucker", "mouthSmile", "mouthStretch", "mouthLowerDown", "mouthUpperUp",
    "tongueOut",
)  # fmt: skip
"""What dominance functions blend; left and right go together."""

GROUPS = {
    "jaw": ("jawOpen", "tongueOut"),
    "rounding": ("mouthFunnel", "mouthPucker"),
    "spreading": ("mouthSmile", "mouthStretch"),
    "lips": ("mouthLowerDown", "mouthUpperUp"),
}
"""Articulators that move on their own time."""

GROUP_OF_CHANNEL = np.array(
    [next(i for i, members in enumerate(GROUPS.values()) if channel in members) for channel in CHANNELS]
)


@dataclass(frozen=True, slots=True)
class VisemePose:
    """Aims of one viseme.

    Attributes:
        aim: coefficients in the order of `CHANNELS`.
        strength: of each group in the order of `GROUPS`, 0 to 1: how far it holds its aim against its neighbours.
    """

    aim: tuple[float, ...]
    strength: tuple[float, ...]


POSES = {
    #                   jaw   funnel pucker smile stretch lower upper tongue     jaw  round spread lips
    "sil": VisemePose((0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00), (0.80, 0.60, 0.60, 0.80)),
    "PP": VisemePose((0.05, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00), (0.45, 0.10, 0.15, 0.50)),
    "FF": VisemePose((0.04, 0.00, 0.00, 0.00, 0.00, 0.00, 0.40, 0.00), (0.60, 0.30, 0.20, 0.70)),
    "TH": VisemePose((0.12, 0.00, 0.00, 0.00, 0.05, 0.30, 0.20, 0.12), (0.60, 0.20, 0.30, 0.60)),
    "DD": VisemePose((0.09, 0.00, 0.00, 0.03, 0.08, 0.30, 0.22, 0.00), (0.50, 0.12, 0.25, 0.40)),
    "KK": VisemePose((0.13, 0.00, 0.00, 0.03, 0.05, 0.22, 0.15, 0.00), (0.30, 0.10, 0.20, 0.30)),
    "CH": VisemePose((0.06, 0.48, 0.25, 0.00, 0.00, 0.30, 0.35, 0.00), (0.90, 0.75, 0.70, 0.80)),
    "SS": VisemePose((0.04, 0.00, 0.00, 0.10, 0.18, 0.42, 0.40, 0.00), (0.95, 0.25, 0.45, 0.75)),
    "NN": VisemePose((0.11, 0.00, 0.00, 0.03, 0.06, 0.30, 0.20, 0.00), (0.40, 0.12, 0.25, 0.40)),
    "RR": VisemePose((0.10, 0.25, 0.32, 0.00, 0.00, 0.18, 0.08, 0.00), (0.45, 0.55, 0.50, 0.40)),
    "HH": VisemePose((0.15, 0.00, 0.00, 0.00, 0.00, 0.18, 0.08, 0.00), (0.12, 0.05, 0.08, 0.12)),
    "AA": VisemePose((0.34, 0.00, 0.00, 0.00, 0.06, 0.28, 0.20, 0.00), (1.00, 0.60, 0.60, 0.90)),
    "AE": VisemePose((0.28, 0.00, 0.00, 0.10, 0.20, 0.32, 0.38, 0.00), (1.00, 0.60, 0.80, 0.90)),
    "AH": VisemePose((0.19, 0.00, 0.00, 0.03, 0.05, 0.24, 0.14, 0.00), (0.75, 0.35, 0.40, 0.60)),
    "EH": VisemePose((0.21, 0.00, 0.00, 0.10, 0.16, 0.28, 0.30, 0.00), (0.90, 0.60, 0.80, 0.80)),
    "IH": VisemePose((0.12, 0.00, 0.00, 0.14, 0.14, 0.24, 0.26, 0.00), (0.75, 0.55, 0.80, 0.70)),
    "IY": VisemePose((0.08, 0.00, 0.00, 0.28, 0.20, 0.28, 0.34, 0.00), (0.90, 0.70, 1.00, 0.85)),
    "AO": VisemePose((0.27, 0.42, 0.14, 0.00, 0.00, 0.14, 0.06, 0.00), (1.00, 0.85, 0.80, 0.80)),
    "OW": VisemePose((0.17, 0.38, 0.42, 0.00, 0.00, 0.08, 0.04, 0.00), (0.90, 0.95, 0.90, 0.80)),
    "UW": VisemePose((0.08, 0.25, 0.75, 0.00, 0.00, 0.04, 0.02, 0.00), (0.90, 1.00, 1.00, 0.85)),
}

AIMS = np.array([POSES[name].aim for name in VISEMES], dtype=np.float64)
"""[20, 8] viseme by channel."""

STRENGTHS = np.array([POSES[name].strength for name in VISEMES], dtype=np.float64)
"""[20, 4] viseme by group."""

VOWELS = frozenset(("AA", "AE", "AH", "EH", "IH", "IY", "AO", "OW", "UW"))


def columns(name: str) -> tuple[int, ...]:
    """Columns of a coefficient, or of its left and right halves."""
    if name in INDEX:
        return (INDEX[name],)
    return (INDEX[f"{name}Left"], INDEX[f"{name}Right"])
