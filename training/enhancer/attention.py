"""Where an error of the picture counts more: eyes and mouth, which viewers look at, and the edge of the hair."""

import cv2
import numpy as np

from avatar.head import Part

UNIT = 16
"""Value of an attention map that means weight 1.0."""

EMPTY, FACE, EDGE, FOCUS = UNIT // 4, UNIT, 3 * UNIT, 6 * UNIT
"""Weights away from the figure, on it, where hair ends, and at the eyes and the mouth."""

EDGE_PX = 5
"""The hair's edge reaches so far to either side."""

FOCUS_PARTS = (2, 3, 4, 5, 6)
"""Eyes, teeth, tongue, mouth interior, lashes."""

FOCUS_LANDMARKS = (slice(36, 42), slice(42, 48), slice(48, 60))
"""iBUG-68: right eye, left eye, outer lips."""


def attention_map(mask: np.ndarray, landmarks: np.ndarray, margin_px: int = 12) -> np.ndarray:
    """Weights of the pixels of one frame.

    Args:
        mask: [H, W] uint8, part ids.
        landmarks: [68, 2] float32, pixels.
        margin_px: how far beyond the parts and the landmarks the focus reaches.

    Returns:
        [H, W] uint8, `UNIT` is 1.0; soft at the rim of the focus.
    """
    figure = _grow((mask > 0).astype(np.uint8), margin_px)
    focus = np.isin(mask, FOCUS_PARTS).astype(np.uint8)
    for part in FOCUS_LANDMARKS:
        hull = cv2.convexHull(np.round(landmarks[part]).astype(np.int32))
        cv2.fillConvexPoly(focus, hull, 1)
    weights = np.where(figure > 0, np.float32(FACE), np.float32(EMPTY))
    hair = (mask == Part.HAIR).astype(np.uint8)
    edge = _grow(hair, EDGE_PX) & (1 - cv2.erode(hair, np.ones((2 * EDGE_PX + 1,) * 2, np.uint8)))
    weights += (EDGE - weights) * cv2.GaussianBlur(edge.astype(np.float32), (0, 0), EDGE_PX / 3)
    soft = cv2.GaussianBlur(_grow(focus, margin_px).astype(np.float32), (0, 0), margin_px / 3)
    return np.round(weights + (FOCUS - weights) * soft).astype(np.uint8)


def _grow(region: np.ndarray, radius_px: int) -> np.ndarray:
    size = 2 * radius_px + 1
    return cv2.dilate(region, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
