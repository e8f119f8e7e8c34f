"""The tongue at rest: lower and narrower than MakeHuman's, so that it lies behind the lower teeth."""

from dataclasses import replace

import numpy as np

from avatar.blendshapes import INDEX
from avatar.head import Joint, Part
from training.head.anatomy import Anatomy
from training.head.subdivide import catmull_clark
from training.head.surface import Surface

HEIGHT_SHARE, WIDTH_SHARE = 0.66, 0.78
BACK_M = 0.003
DROP_M = 0.012
"""Further way down of the tongue's root at `jawOpen`, so that the throat shows above it."""

FINE_M = 0.025
"""Only this much of the tip is refined."""

CLEARANCE = 0.3
"""Rise for each unit of forward motion, so that the tongue passes over the lower teeth."""


def tongue(anatomy: Anatomy) -> Surface:
    """The tongue as a quad surface; its UV is the projection from above."""
    group = anatomy.mesh.quads["helper-tongue"]
    surface = anatomy.surface("helper-tongue", Part.TONGUE).kept(np.ones(len(group), bool))
    position, expression = surface.position.copy(), surface.expression.copy()
    floor = position[:, 1].min()
    position[:, 1] = floor + (position[:, 1] - floor) * HEIGHT_SHARE
    position[:, 0] *= WIDTH_SHARE
    position[:, 2] -= BACK_M
    forward = expression[:, 2, INDEX["tongueOut"]]
    expression[:, 1, INDEX["tongueOut"]] += CLEARANCE * np.clip(forward, 0, None)
    back = np.clip((position[:, 2].max() - position[:, 2]) / 0.05, 0, 1)
    expression[:, 1, INDEX["jawOpen"]] -= DROP_M * back
    weights = np.zeros_like(surface.weights)
    weights[:, Joint.JAW] = 1
    flat = position[:, [0, 2]]
    low, high = flat.min(0), flat.max(0)
    moved = replace(surface, position=position, expression=expression, weights=weights, uv=(flat - low) / (high - low))
    return catmull_clark(moved, position[moved.faces][:, :, 2].max(1) > position[:, 2].max() - FINE_M)
