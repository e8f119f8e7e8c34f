"""Where brows and lashes grow and how they curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from training.scene.geometry import unit
from training.scene.paint import BrowLine, brow_line
from training.scene.strands import Rooted

POINTS = 5
"""Points along a hair."""

LASHES_PER_TUFT = 3
"""Wet with tears, lashes stand in small tufts."""


@dataclass(frozen=True)
class BrowLook:
    """Attributes:
    count: hairs of one brow.
    length_m: of a hair in the middle of the brow.
    half_width_m: half the brow's height at its body.
    radius_m: at the root.
    melanin: of Cycles' Principled Hair.
    """

    count: int = 560
    length_m: float = 0.0074
    half_width_m: float = 0.0044
    radius_m: float = 0.000042
    melanin: float = 0.72


@dataclass(frozen=True)
class LashLook:
    """Attributes:
    upper_count, lower_count: hairs of one lid.
    upper_m, lower_m: length of the longest.
    radius_m: at the root.
    """

    upper_count: int = 260
    lower_count: int = 90
    upper_m: float = 0.0080
    lower_m: float = 0.0040
    radius_m: float = 0.000066


def tapered(count: int, radius_m: float, tip: float = 0.25) -> np.ndarray:
    """Radii [S, POINTS] from root to tip."""
    return np.tile(radius_m * np.linspace(1.0, tip, POINTS) ** 0.8, (count, 1))


def brow_hairs(
    look: BrowLook,
    shape: BrowLine,
    landmarks: np.ndarray,
    rest: np.ndarray,
    faces: np.ndarray,
    normals: np.ndarray,
    seed: int,
) -> Rooted:
    """Grows both brows on the skin.

    Args:
        look: their hairs.
        shape: their line.
        landmarks: [68, 3] at rest, metres.
        rest: [V, 3] rest vertices.
        faces: [F, 3] skin triangles.
        normals: [V, 3] unit normals at rest.
        seed: of the irregularities.
    """
    random = np.random.default_rng(seed)
    used = np.unique(faces)
    front = used[(rest[used, 2] > landmarks[27, 2] - 0.035) & (normals[used, 2] > 0.1)]
    plane = cKDTree(rest[front, :2])
    strands = []
    for side in (0, 1):
        line = brow_line(landmarks, side, shape)
        outwards = np.sign(line[-1, 0])
        place = random.beta(1.15, 1.25, look.count)
        knots = np.linspace(0, 1, len(line))
        x, y = (np.interp(place, knots, line[:, axis]) for axis in (0, 1))
        slope = np.gradient(np.interp(np.linspace(0, 1, 50), knots, line[:, 1])) / np.abs(
            np.gradient(np.interp(np.linspace(0, 1, 50), knots, line[:, 0]))
        )
        slope = np.interp(
            place, np.linspace(0, 1, 50), np.convolve(np.pad(slope, 5, "edge"), np.ones(11) / 11, "valid")
        )
        width = look.half_width_m * np.interp(place, (0, 0.12, 0.45, 0.75, 1), (0.70, 1.0, 0.90, 0.55, 0.22))
        across = np.clip(random.normal(0, 0.52, look.count), -1, 1)
        roots_flat = np.stack([x, y + across * width], 1)
        distance, near = plane.query(roots_flat, k=4)
        share = 1 / np.maximum(distance, 1e-6)
        share /= share.sum(1, keepdims=True)
        roots = (rest[front[near]] * share[..., None]).sum(1)
        roots[:, :2] = roots_flat
        up = unit((normals[front[near]] * share[..., None]).sum(1))

        lean = np.interp(place, (0, 0.10, 0.3, 0.6, 1), (1.15, 0.80, 0.42, 0.10, -0.15)) - 0.55 * across * np.interp(
            place, (0, 0.3, 1), (0.2, 0.8, 0.7)
        )
        lean = lean + slope * np.interp(place, (0, 0.2, 1), (0, 0.8, 1.0)) + random.normal(0, 0.10, look.count)
        direction = unit(np.stack([outwards * np.ones_like(lean), lean, np.zeros_like(lean)], 1))
        direction = unit(direction - up * (direction * up).sum(1, keepdims=True))
        length = (
            look.length_m
            * np.interp(place, (0, 0.15, 0.6, 1), (0.65, 0.95, 1.0, 0.6))
            * random.uniform(0.7, 1.15, look.count)
        )
        bend = unit(
            np.stack([outwards * 0.6 * np.ones_like(lean), -np.sign(across + 0.2) * 0.55, np.zeros_like(lean)], 1)
        )
        time = np.linspace(0, 1, POINTS)[None, :, None]
        arc = direction[:, None] * time + 0.28 * bend[:, None] * time**2 + up[:, None] * (0.20 * time - 0.16 * time**2)
        strands.append(roots[:, None] + length[:, None, None] * arc)
    points = np.concatenate(strands)
    return Rooted.at(points, tapered(len(points), look.radius_m), rest, faces)


def lash_hairs(
    look: LashLook, landmarks: np.ndarray, eyes: np.ndarray, rest: np.ndarray, faces: np.ndarray, seed: int
) -> Rooted:
    """Grows lashes along the lids.

    Args:
        look: their shape.
        landmarks: [68, 3] at rest, metres.
        eyes: [2, 3] eye centers, left and right of the subject.
        rest: [V, 3] rest vertices.
        faces: [F, 3] skin triangles.
        seed: of the irregularities.
    """
    random = np.random.default_rng(seed)
    skin = rest[np.unique(faces)]
    strands = []
    for eye, corners, upper in (
        (eyes[0], landmarks[[42, 45]], True), (eyes[0], landmarks[[42, 45]], False),
        (eyes[1], landmarks[[39, 36]], True), (eyes[1], landmarks[[39, 36]], False),
    ):  # fmt: skip
        outwards = np.sign(eye[0])
        edge = lid_edge(corners, eye, upper, skin)
        count = look.upper_count if upper else look.lower_count
        spread = np.arange(count // LASHES_PER_TUFT + 1)
        tufts = (spread + random.uniform(0.1, 0.9, len(spread))) / len(spread)
        tuft = random.integers(len(tufts), size=count)
        place = np.clip(tufts[tuft] + random.normal(0, 0.012, count), 0, 1)
        knots = np.linspace(0, 1, len(edge))
        root = np.stack([np.interp(place, knots, edge[:, axis]) for axis in range(3)], 1) + random.normal(
            0, 0.00012, (count, 3)
        )
        fan = (tufts[tuft] - 0.45) * 1.5 + random.normal(0, 0.10, len(tufts))[tuft] + random.normal(0, 0.05, count)
        side = np.stack([outwards * fan, np.zeros(count), np.zeros(count)], 1)
        ahead = unit(root - eye)
        ahead = unit(np.stack([0.35 * ahead[:, 0], np.full(count, 0.02 if upper else -0.38), np.ones(count)], 1) + side)
        curl = np.array([0.0, 0.78 if upper else -0.55, -0.05])
        longest = look.upper_m if upper else look.lower_m
        length = (
            longest * np.interp(place, (0, 0.2, 0.75, 1), (0.45, 0.8, 1.0, 0.75)) * random.uniform(0.72, 1.08, count)
        )
        time = np.linspace(0, 1, POINTS)[None, :, None]
        arc = ahead[:, None] * time * (1 - 0.25 * time) + curl * time**2 * random.uniform(0.6, 0.9, (count, 1, 1))
        strands.append(root[:, None] + length[:, None, None] * arc)
    points = np.concatenate(strands)
    return Rooted.at(points, tapered(len(points), look.radius_m, 0.12), rest, faces)


def lid_edge(corners: np.ndarray, eye: np.ndarray, upper: bool, skin: np.ndarray, count: int = 24) -> np.ndarray:
    """Points [count, 3] from the inner to the outer corner along the foremost edge of a lid.

    Args:
        corners: [2, 3] inner and outer corner of the eye at rest.
        eye: [3] its center.
        upper: which lid.
        skin: [N, 3] skin vertices at rest.
        count: of points.
    """
    near = skin[(np.linalg.norm(skin - eye, axis=1) < 0.026) & (skin[:, 2] > eye[2] + 0.006)]
    edge = []
    for share in np.linspace(0.06, 0.97, count):
        middle = corners[0] + share * (corners[1] - corners[0])
        height = (near[:, 1] - middle[1]) * (1 if upper else -1)
        band = (np.abs(near[:, 0] - middle[0]) < 0.0014) & (height > -0.0005)
        rim = near[band & (height < height[band].min() + 0.0013)]
        edge.append(rim[np.argsort(rim[:, 2])[-2:]].mean(0))
    edge = np.array(edge)
    kernel = np.ones(5) / 5
    return np.stack([np.convolve(np.pad(edge[:, axis], 2, "edge"), kernel, "valid") for axis in range(3)], 1)
