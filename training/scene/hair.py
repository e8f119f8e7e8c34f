"""The hair of the head: strands combed from a side parting over the skull towards a low bun.

The head's scalp file gives, over each scalp vertex, the outer surface of the hair. A strand walks along the scalp and
keeps its own layer between scalp and that surface, so that strands lie over each other and never enter the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from training.scene.geometry import unit
from training.scene.paint import smoothstep

GROOVE_FILL = 0.8
"""Strands over the parting stand this much higher than the shell, whose groove is deeper than hair would leave it."""


@dataclass(frozen=True)
class HairLook:
    """Attributes:
    count: strands of the mass.
    baby_count: short fine hairs along the hairline.
    stray_count: strands that leave the mass a little.
    radius_m: at the root.
    melanin, redness: of Cycles' Principled Hair.
    parting_x_m: where the parting lies, positive on the subject's left.
    bun: middle of the bun, metres.
    step_m: distance of two points of a strand.
    points: points of a strand.
    """

    count: int = 15000
    baby_count: int = 1500
    stray_count: int = 120
    radius_m: float = 0.000085
    melanin: float = 0.74
    redness: float = 0.55
    parting_x_m: float = 0.024
    bun: tuple[float, float, float] = (0.0, -0.012, -0.118)
    step_m: float = 0.0085
    points: int = 26


@dataclass(frozen=True)
class Scalp:
    """A dense cloud over the scalp.

    Attributes:
        root: [N, 3] on the skin, metres.
        shell: [N, 3] the hair's outer surface above it.
        normal: [N, 3] unit.
        inside_m: [N] distance above the hairline.
        area: [N] share of the surface, sums to 1.
    """

    root: np.ndarray
    shell: np.ndarray
    normal: np.ndarray
    inside_m: np.ndarray
    area: np.ndarray

    @staticmethod
    def load(path, divisions: int = 5) -> Scalp:
        """Reads the scalp file and samples each triangle at `divisions`² places."""
        with np.load(path) as arrays:
            faces = arrays["faces"]
            grid = [(i + 1 / 3, j + 1 / 3) for i in range(divisions) for j in range(divisions - i)]
            grid += [(i + 2 / 3, j + 2 / 3) for i in range(divisions - 1) for j in range(divisions - 1 - i)]
            u, v = np.array(grid).T / divisions
            weights = np.stack([1 - u - v, u, v], 1)

            def spread(name: str) -> np.ndarray:
                values = arrays[name][faces]
                return np.einsum("kc,fc...->fk...", weights, values).reshape(-1, *values.shape[2:])

            corners = arrays["vertices"][faces]
            size = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
            area = np.repeat(size, len(u))
            return Scalp(
                spread("vertices"), spread("shell"), unit(spread("normals")), spread("inside_m"), area / area.sum()
            )


def flow(position: np.ndarray, normal: np.ndarray, look: HairLook) -> np.ndarray:
    """Combing direction [S, 3], unit, tangent to the surface at `position` [S, 3]."""
    side = np.where(position[:, 0] < look.parting_x_m, -1.0, 1.0)
    top = smoothstep(position[:, 1], 0.050, 0.105)
    front = smoothstep(position[:, 2], -0.02, 0.06)
    near_part = np.exp(-np.abs(position[:, 0] - look.parting_x_m) / 0.045)
    comb = np.stack(
        [side * top * (0.35 + 0.9 * near_part * front), -0.42 * (1 - top) - 0.10 * front, -np.ones(len(side))], 1
    )
    to_bun = unit(np.array(look.bun) - position)
    behind = smoothstep(-position[:, 2], 0.0, 0.06)[:, None]
    direction = unit(comb) * (1 - behind) + to_bun * behind
    return unit(direction - normal * (direction * normal).sum(1, keepdims=True))


def walk(
    scalp: Scalp, start: np.ndarray, layer: np.ndarray, look: HairLook, random: np.random.Generator, wander: float
) -> np.ndarray:
    """Follows the flow from scalp samples `start` [S], each strand rising to its `layer` [S] of the hair's thickness.

    Returns:
        [S, K, 3] metres.
    """
    tree = cKDTree(scalp.root)
    current = scalp.root[start].copy()
    normal = scalp.normal[start]
    turn = random.normal(0, wander, len(start))
    points = [current]
    for step in range(1, look.points):
        direction = flow(current, normal, look)
        aside = np.cross(normal, direction)
        swing = turn + 0.35 * wander * np.sin(step * 0.55 + turn * 40)
        current = current + look.step_m * unit(direction + aside * swing[:, None])
        distance, near = tree.query(current, k=5, workers=1)
        share = 1 / np.maximum(distance, 1e-5) ** 2
        share = (share / share.sum(1, keepdims=True))[..., None]
        root, shell = (scalp.root[near] * share).sum(1), (scalp.shell[near] * share).sum(1)
        normal = unit((scalp.normal[near] * share).sum(1))
        depth = layer * smoothstep(np.full(len(start), step * look.step_m), 0.0, 0.014)
        depth = depth * (1 + GROOVE_FILL * np.exp(-(((root[:, 0] - look.parting_x_m) / 0.007) ** 2)))
        current = root
        points.append(root + depth[:, None] * (shell - root))
    return np.stack(points, 1)


def clumped(points: np.ndarray, size: int, pull: float, random: np.random.Generator) -> np.ndarray:
    """Draws strands [S, K, 3] towards locks of about `size` strands, the more the further from the root."""
    centers = random.choice(len(points), max(1, len(points) // size), replace=False)
    _, lock = cKDTree(points[centers, 0]).query(points[:, 0])
    target = points[centers][lock]
    gap = np.linalg.norm(target - points, axis=2, keepdims=True)
    amount = pull * np.linspace(0, 1, points.shape[1])[None, :, None] ** 0.7 * np.exp(-gap / 0.02)
    return points + amount * (target - points)


@dataclass(frozen=True)
class Strands:
    """Hairs at rest: points [S, K, 3] in metres and radii [S, K]."""

    points: np.ndarray
    radius_m: np.ndarray


def grow_hair(look: HairLook, scalp: Scalp, seed: int) -> tuple[Strands, Strands]:
    """Grows the mass with its strays, and the fine short hairs of the hairline.

    Returns:
        The long and the short strands.
    """
    random = np.random.default_rng(seed)
    density = scalp.area * smoothstep(scalp.inside_m, -0.001, 0.007)
    groove = np.exp(-(((scalp.root[:, 0] - look.parting_x_m) / 0.0016) ** 2)) * (scalp.root[:, 2] > -0.03)
    density = density * (1 - 0.80 * groove)
    start = random.choice(len(scalp.root), look.count, p=density / density.sum())
    layer = 0.2 + 0.8 * random.uniform(0, 1, look.count) ** 0.35
    mass = clumped(walk(scalp, start, layer, look, random, 0.15), 28, 0.55, random)
    mass = mass + random.normal(0, 0.00025, (look.count, 1, 3))
    stray_start = random.choice(len(scalp.root), look.stray_count, p=density / density.sum())
    stray = walk(scalp, stray_start, random.uniform(1.0, 1.25, look.stray_count), look, random, 0.16)
    long = np.concatenate([mass, stray])
    taper = np.linspace(1, 0.7, look.points)
    strong = np.concatenate([random.uniform(0.75, 1.15, look.count), np.full(look.stray_count, 0.45)])
    edge = smoothstep(np.concatenate([scalp.inside_m[start], scalp.inside_m[stray_start]]), 0.0, 0.012)
    radius = look.radius_m * (strong * (0.55 + 0.45 * edge))[:, None] * taper

    rim = scalp.area * np.exp(-(((scalp.inside_m - 0.001) / 0.0035) ** 2)) * (scalp.root[:, 2] > -0.02)
    baby_start = random.choice(len(scalp.root), look.baby_count, p=rim / rim.sum())
    count = look.baby_count
    normal = scalp.normal[baby_start]
    direction = unit(flow(scalp.root[baby_start], normal, look) + random.normal(0, 0.30, (count, 3)) * 0.8)
    length = random.uniform(0.004, 0.016, count)
    time = np.linspace(0, 1, 6)[None, :, None]
    bend = random.normal(0, 0.22, (count, 1, 3))
    arc = direction[:, None] * time + normal[:, None] * (0.30 * time - 0.22 * time**2) + bend * time**2
    short = scalp.root[baby_start][:, None] + length[:, None, None] * arc
    short_radius = np.tile(look.radius_m * 0.48 * np.linspace(1, 0.3, 6), (count, 1))
    return Strands(long, radius), Strands(short, short_radius)
