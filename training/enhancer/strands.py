"""Hair whose strands are partly the raster's.

No network can foretell where each path-traced strand lies, and one that errs least draws their mean: a soft mass. The
raster's strands are baked from the same hair and turn with the head; where the target shows some of them, they stay.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.head import Part
from training.enhancer.pairs import Pairs

FINE_PX = 2.0
"""Detail is what a Gaussian of this width takes away: strands and locks up to about 8 px."""

OUTLINE_PX = 8
"""Loose hair lies so far outside the hair's mask."""


def with_strands(pairs: Pairs, share: float) -> Pairs:
    """Pairs whose truth has `share` of its detail in hair replaced by the raster's, 0 to 1."""
    if share == 0:
        return pairs
    truth = [_mixed(*arrays, share) for arrays in zip(pairs.truth, pairs.raster, pairs.mask, strict=True)]
    return replace(pairs, truth=np.stack(truth))


def _mixed(truth: NDArray, raster: NDArray, mask: NDArray, share: float) -> NDArray[np.uint8]:
    """[H, W, 4] uint8, premultiplied."""
    size = 2 * OUTLINE_PX + 1
    hair = cv2.dilate((mask == Part.HAIR).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    # Beside the hair only what lies before nothing is loose hair: not the skin's edge.
    hair &= (mask == Part.HAIR) | (mask == 0)
    weight = share * cv2.GaussianBlur(hair.astype(np.float32), (0, 0), 1.5)[..., None]
    mixed = truth + weight * (_detail(raster) - _detail(truth))
    alpha = np.clip(mixed[..., 3:], 0, 255)
    color = np.clip(mixed[..., :3], 0, alpha)
    return np.round(np.concatenate([color, alpha], axis=2)).astype(np.uint8)


def _detail(picture: NDArray) -> NDArray[np.float32]:
    values = picture.astype(np.float32)
    return values - cv2.GaussianBlur(values, (0, 0), FINE_PX)
