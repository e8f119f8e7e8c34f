"""Drawn pairs that need neither an avatar nor a path tracer: for tests and to try training."""

import cv2
import numpy as np

from avatar.config import LANDMARK_COUNT
from training.enhancer.attention import attention_map
from training.enhancer.pairs import Pairs

_SKIN, _EYES, _MOUTH, _HAIR = 1, 2, 5, 7


def synthetic_pairs(count: int, size_px: int = 512, seed: int = 0) -> Pairs:
    """Faces of ellipses at random places with random open mouths.

    The raster is flat and hard-edged; the truth has shading that depends on the place on the head, grain that moves
    with it, and a soft alpha. A network has to learn both local and global differences.
    """
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(size=(size_px, size_px)).astype(np.float32), (0, 0), 1.0) * 24.0
    rows = [_pair(size_px, rng, grain) for _ in range(count)]
    arrays = [np.stack(array) for array in zip(*rows, strict=True)]
    return Pairs(tuple(f"drawn{i:03d}" for i in range(count)), *arrays)


def _pair(size_px: int, rng: np.random.Generator, grain: np.ndarray):
    unit = size_px / 16.0
    center = np.array([8.0, 8.0]) + rng.uniform(-1.0, 1.0, size=2)
    opening = rng.uniform(0.05, 1.0)
    mask = np.zeros((size_px, size_px), np.uint8)
    shapes = (
        (_HAIR, (0.0, -0.6), (4.2, 5.4)),
        (_SKIN, (0.0, 0.0), (3.6, 5.0)),
        (_EYES, (-1.4, -1.0), (0.6, 0.35)),
        (_EYES, (1.4, -1.0), (0.6, 0.35)),
        (_MOUTH, (0.0, 2.4), (1.2, 0.5 * opening)),
    )
    for part, offset, radii in shapes:
        x, y = (center + offset) * unit
        axes = tuple(max(1, round(radius * unit)) for radius in radii)
        cv2.ellipse(mask, (round(x), round(y)), axes, 0, 0, 360, part, -1)
    palette = np.zeros((9, 3), np.float32)
    palette[[_SKIN, _EYES, _MOUTH, _HAIR]] = ((200, 150, 125), (235, 235, 240), (60, 20, 25), (70, 50, 40))
    flat = palette[mask]
    rows, columns = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
    side = (columns / unit - center[0]) / 4.0
    moved = cv2.warpAffine(
        grain, np.float32([[1, 0, (center[0] - 8) * unit], [0, 1, (center[1] - 8) * unit]]), (size_px, size_px)
    )
    shade = 1.0 - 0.35 * side - 0.1 * opening
    lit = np.clip(flat * shade[..., None] + moved[..., None] * (mask > 0)[..., None], 0, 255)
    hard = np.where(mask > 0, 255, 0).astype(np.uint8)
    soft = cv2.GaussianBlur(hard, (0, 0), 1.0)
    raster = np.dstack([np.round(flat).astype(np.uint8), hard])
    truth = np.dstack([np.round(lit * (soft[..., None] / 255.0)).astype(np.uint8), soft])
    landmarks = _landmarks(center, opening) * np.float32(unit)
    return raster, mask, truth, attention_map(mask, landmarks), landmarks


def _landmarks(center: np.ndarray, opening: float) -> np.ndarray:
    """[68, 2] in sixteenths of the frame: rings around eyes and mouth, the jaw, the rest at the center."""
    landmarks = np.tile(center, (LANDMARK_COUNT, 1))
    arcs = (
        (slice(0, 17), (0.0, 0.0), (3.6, 5.0), np.pi),
        (slice(36, 42), (-1.4, -1.0), (0.6, 0.35), 2 * np.pi),
        (slice(42, 48), (1.4, -1.0), (0.6, 0.35), 2 * np.pi),
        (slice(48, 60), (0.0, 2.4), (1.2, 0.5 * opening), 2 * np.pi),
    )
    for part, offset, radii, extent in arcs:
        angle = np.linspace(0, extent, part.stop - part.start, endpoint=extent < 2 * np.pi)
        landmarks[part] += np.asarray(offset) + np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii
    return landmarks.astype(np.float32)
