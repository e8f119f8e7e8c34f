"""What the stabilizer does to runs of consecutive held-out frames: flicker, and how close they stay to the truth.

Flicker is the difference of each picture from the one before, carried along the rasterizer's motion vectors: what moves
with the surface does not count (after Lai et al., "Learning blind video temporal consistency", 2018, warping error).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from avatar.rasterizer import Renderer
from avatar.stabilizer import stabilize
from training.enhancer.pairs import Entry, read_picture

KINDS = ("raster", "enhanced", "stabilized", "truth")


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of a run: [H, W, 4] uint8 each, premultiplied.

    Attributes:
        motion_vectors: [H, W, 2] float16, pixels to the place in the frame before; NaN where there is none.
        landmarks: [68, 2] float32, pixels.
    """

    raster: np.ndarray
    enhanced: np.ndarray
    stabilized: np.ndarray
    truth: np.ndarray
    motion_vectors: np.ndarray
    landmarks: np.ndarray


def runs_of(entries: list[Entry]) -> list[list[Entry]]:
    """The clips with several frames, each in order."""
    clips: dict[Path, list[Entry]] = {}
    for entry in entries:
        clips.setdefault(entry.picture.parent, []).append(entry)
    return [sorted(clip, key=lambda entry: entry.picture.stem) for clip in clips.values() if len(clip) > 1]


def moments(
    run: list[Entry], renderer: Renderer, enhance: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> list[Moment]:
    """A run as a session would deliver it: drawn with the motion since the frame before, enhanced, stabilized."""
    result: list[Moment] = []
    for before, entry in pairwise([run[0], *run]):
        drawn = renderer.render(entry.blendshapes, entry.pose, before.blendshapes, before.pose)
        enhanced = enhance(drawn.raster, drawn.mask)
        previous = result[-1].stabilized if result else np.zeros_like(enhanced)
        stable = stabilize(enhanced, previous, drawn.motion_vectors)
        truth = read_picture(entry.picture)
        result.append(Moment(drawn.raster, enhanced, stable, truth, drawn.motion_vectors, drawn.landmarks))
    return result


def flicker(now: np.ndarray, before: np.ndarray, motion_vectors: np.ndarray) -> float:
    """Mean absolute difference, of 255, of a picture from the one before carried along the motion.

    Args:
        now, before: [H, W, 4] uint8, premultiplied.
        motion_vectors: [H, W, 2], pixels; where they are NaN nothing is compared.
    """
    moved = np.isfinite(motion_vectors).all(axis=2)
    if not moved.any():
        return 0.0
    row, column = np.mgrid[: now.shape[0], : now.shape[1]].astype(np.float32)
    motion = np.nan_to_num(motion_vectors.astype(np.float32))
    carried = cv2.remap(before, column + motion[..., 0], row + motion[..., 1], cv2.INTER_CUBIC)
    return float(np.abs(now.astype(np.float32) - carried)[moved][:, :3].mean())


def mean_flicker(runs: list[list[Moment]], kind: str) -> float:
    """Over all steps of all runs; `kind` is one of `KINDS`."""
    return float(
        np.mean(
            [
                flicker(getattr(now, kind), getattr(before, kind), now.motion_vectors)
                for run in runs
                for before, now in pairwise(run)
            ]
        )
    )
