"""Eyelids that meet where `eyeBlink` is 1."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avatar.blendshapes import INDEX
from training.head.surface import Surface

EDGES = ((37, 41), (38, 40), (43, 47), (44, 46))
"""iBUG landmarks on the edges of the upper lid and of the lower one below."""

OVERLAP = 0.1
"""Share of the way by which lids are pressed together beyond their touch in the middle: corners close last."""


def meeting_lids(surface: Surface, landmarks: NDArray[np.int64]) -> Surface:
    """The head with blinks shortened so that the upper lid stops at the lower one.

    MakeHuman's face unit fits an eye wider open than most: over other eyes the upper lid would slide down the cheek by
    up to a third of its way.

    Args:
        surface: the whole head; lashes move as far as the lids.
        landmarks: [68] vertices.
    """
    expression = surface.expression.copy()
    blinks = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
    upper, lower = landmarks[np.array(EDGES)].T
    open_m = surface.position[upper, 1] - surface.position[lower, 1]
    closing_m = (expression[lower, 1] - expression[upper, 1])[:, blinks].sum(1)
    share = (open_m / closing_m).max() + OVERLAP
    expression[:, :, blinks] *= min(share, 1.0)
    return replace(surface, expression=expression)
