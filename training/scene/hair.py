"""The hair of the head: strands that flow from a crown over the skull, swept aside from a parting.

The head's scalp file gives, over each scalp vertex, the outer surface of the hair. A strand walks along the scalp and
keeps its own layer between scalp and that surface, so that strands lie over each other and never enter the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from training.scene.geometry import unit
from training.scene.paint import smoothstep

RAGGED_M = 0.0026
"""Half the depth of the waves in the hairline."""

AWAY_M = 0.006
"""A strand further than this from the scalp file's cloud has left the skin and hangs freely."""


@dataclass(frozen=True)
class HairLook:
    """Attributes:
    count: strands of the mass.
    baby_count: short fine hairs along the hairline.
    stray_count: strands that leave the mass a little.
    radius_m: at the root.
    tone: how much locks and hairs differ in melanin.
    melanin, redness: of Cycles' Principled Hair.
    roughness: along a hair; low is glossy.
    parting_x_m: where the parting lies, positive on the subject's left.
    crown: where hair whorls outwards from, metres.
    tint: what light keeps in a hair beside what melanin takes; grey without melanin is grey hair.
    sweep: how strongly the hair on top turns aside from the parting, and forward.
    brush_back: how strongly the hair over the forehead is brushed up and back.
    comb_back: how strongly the hair at the sides is combed toward the back.
    top_m, side_m, nape_m: lengths.
    rim_m: height above the lower edge of the hair below which a strand has left the skin, too; the scalp file's cloud
        ends at -0.006, and along that end strands with short steps would pile up.
    rise_m: way over which a strand rises from the scalp to its layer.
    curl_m, curl_pitch_m: radius and pitch of curls; 0 is straight.
    lock: strands in a lock.
    clump: how far a lock's strands join, in [0, 1].
    points: points of a strand.
    """

    count: int = 15000
    baby_count: int = 2200
    stray_count: int = 220
    radius_m: float = 0.000085
    tone: float = 0.08
    melanin: float = 0.74
    redness: float = 0.55
    roughness: float = 0.32
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    parting_x_m: float = 0.026
    crown: tuple[float, float, float] = (0.012, 0.150, -0.055)
    sweep: float = 1.0
    brush_back: float = 0.0
    comb_back: float = 0.45
    top_m: float = 0.095
    side_m: float = 0.055
    nape_m: float = 0.035
    rim_m: float = -1.0
    rise_m: float = 0.003
    curl_m: float = 0.0
    curl_pitch_m: float = 0.012
    lock: int = 60
    clump: float = 0.6
    points: int = 16


@dataclass(frozen=True)
class Scalp:
    """A dense cloud over the scalp.

    Attributes:
        root: [N, 3] on the skin, metres.
        shell: [N, 3] the hair's outer surface above it.
        normal: [N, 3] unit.
        inside_m: [N] distance above the hairline.
        drape_m: [N] distance above the lower edge of the hair.
        area: [N] share of the surface, sums to 1.
    """

    root: np.ndarray
    shell: np.ndarray
    normal: np.ndarray
    inside_m: np.ndarray
    drape_m: np.ndarray
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
                spread("vertices"),
                spread("shell"),
                unit(spread("normals")),
                spread("inside_m"),
                spread("drape_m"),
                area / area.sum(),
            )


def flow(position: np.ndarray, normal: np.ndarray, look: HairLook) -> np.ndarray:
    """Combing direction [S, 3], unit, tangent to the surface at `position` [S, 3]."""
    x, y, z = position.T
    outward = unit(position - np.array(look.crown))
    outward = unit(outward - normal * (outward * normal).sum(1, keepdims=True))
    side = np.tanh((x - look.parting_x_m) / 0.006)
    top = smoothstep(y, 0.045, 0.100) * smoothstep(z, -0.005, 0.05)
    swept = np.stack([side, np.full(len(x), -0.20), np.full(len(x), 0.30)], 1)
    low = smoothstep(-y, -0.075, -0.03) * smoothstep(np.abs(x), 0.045, 0.062)
    combed = np.stack([np.zeros(len(x)), np.full(len(x), -0.55), np.full(len(x), -1.0)], 1)
    direction = outward * (1 - 0.8 * min(look.sweep, 1.0) * top)[:, None] + look.sweep * top[:, None] * swept
    direction = direction + look.comb_back * low[:, None] * combed
    front = smoothstep(y, 0.045, 0.085) * smoothstep(z, -0.03, 0.03)
    direction = direction + look.brush_back * front[:, None] * np.array([0.0, 0.4, -1.0])
    return unit(direction - normal * (direction * normal).sum(1, keepdims=True))


def lengths_m(root: np.ndarray, look: HairLook) -> np.ndarray:
    """Length [S] of strands rooted at `root` [S, 3]."""
    high = smoothstep(root[:, 1], 0.035, 0.100)
    low = np.where(root[:, 2] < -0.02, look.nape_m, look.side_m)
    return low + (look.top_m - low) * high


def uneven(root: np.ndarray, amount_m: float) -> np.ndarray:
    """Smooth waves [S] of a hairline over roots [S, 3], in [0, 2 `amount_m`]: no hairline is a drawn curve."""
    along = root @ np.array([[0.9, 0.5, -0.3], [0.4, -0.8, 0.7]]).T
    waves = np.sin(along[:, 0] * 520) * np.sin(along[:, 1] * 390 + 1.0) + 0.7 * np.sin(along[:, 1] * 230 + 2.0)
    return amount_m * np.clip(1 + waves / 1.7, 0, 2)


def locks(scalp: Scalp, start: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Number [S] of the lock that each strand belongs to: the nearest of randomly chosen roots."""
    centers = random.choice(len(start), max(1, len(start) // size), replace=False)
    return cKDTree(scalp.root[start[centers]]).query(scalp.root[start])[1]


def walk(
    scalp: Scalp,
    start: np.ndarray,
    layer: np.ndarray,
    length: np.ndarray,
    turn: np.ndarray,
    phase: np.ndarray,
    lift: np.ndarray,
    look: HairLook,
) -> tuple[np.ndarray, np.ndarray]:
    """Follows the flow from scalp samples.

    Args:
        scalp: the cloud.
        start: [S] samples.
        layer: [S] share of the hair's thickness that a strand rises to.
        length: [S] metres.
        turn: [S] how far a strand leaves the flow sideways, radians.
        phase: [S] of its curl, radians.
        lift: [S] how far the tip rises above its layer, metres.
        look: the comb.

    Returns:
        Points [S, K, 3] and the way [S] to where a strand leaves the skin, or infinity; metres.
    """
    tree = cKDTree(scalp.root)
    left = np.full(len(start), np.inf)
    ground, normal = scalp.root[start].copy(), scalp.normal[start]
    thickness = np.linalg.norm(scalp.shell[start] - ground, axis=1)
    step = length / (look.points - 1)
    points = [ground]
    for number in range(1, look.points):
        along = number * step
        direction = flow(ground, normal, look)
        aside = np.cross(normal, direction)
        swing = turn * (1 + 0.8 * np.sin(along * 70 + phase))
        ahead = ground + step[:, None] * unit(direction + aside * swing[:, None])
        distance, near = tree.query(ahead, k=5, workers=1)
        share = 1 / np.maximum(distance, 1e-5) ** 2
        share = (share / share.sum(1, keepdims=True))[..., None]
        root, shell = (scalp.root[near] * share).sum(1), (scalp.shell[near] * share).sum(1)
        free = ((distance[:, 0] > AWAY_M) | (scalp.drape_m[near[:, 0]] < look.rim_m))[:, None]
        left = np.where(free[:, 0] & ~np.isfinite(left), along, left)
        ground = np.where(free, ahead, root)
        normal = np.where(free, normal, unit((scalp.normal[near] * share).sum(1)))
        thickness = np.where(free[:, 0], thickness, np.linalg.norm(shell - root, axis=1))
        height = layer * thickness * smoothstep(along, 0.0, look.rise_m)
        height = height + lift * (number / (look.points - 1)) ** 2
        angle = phase + 2 * np.pi * along / look.curl_pitch_m
        ramp = look.curl_m * smoothstep(along, 0.0, 0.01)
        curl = aside * (ramp * np.sin(angle))[:, None] + normal * (0.5 * ramp * (1 + np.cos(angle)))[:, None]
        points.append(ground + height[:, None] * normal + curl)
    return np.stack(points, 1), left


def cut(
    scalp: Scalp,
    start: np.ndarray,
    layer: np.ndarray,
    length: np.ndarray,
    turn: np.ndarray,
    phase: np.ndarray,
    lift: np.ndarray,
    look: HairLook,
    overhang: np.ndarray,
) -> np.ndarray:
    """Like `walk`, but strands end `overhang` [S] metres beyond the place where they leave the skin."""
    _, left = walk(scalp, start, layer, length, turn, phase, lift, look)
    return walk(scalp, start, layer, np.minimum(length, left + overhang), turn, phase, lift, look)[0]


def clumped(points: np.ndarray, lock: np.ndarray, pull: float) -> np.ndarray:
    """Draws strands [S, K, 3] toward the middle of their lock [S], the more the further from the root."""
    count = np.bincount(lock)
    middle = np.stack(
        [
            np.stack([np.bincount(lock, points[:, k, axis]) for axis in range(3)], 1) / np.maximum(count, 1)[:, None]
            for k in range(points.shape[1])
        ],
        1,
    )[lock]
    gap = np.linalg.norm(middle - points, axis=2, keepdims=True)
    amount = pull * np.linspace(0, 1, points.shape[1])[None, :, None] ** 0.7 * np.exp(-gap / 0.02)
    return points + amount * (middle - points)


@dataclass(frozen=True)
class Strands:
    """Hairs at rest: points [S, K, 3] in metres, radii [S, K], and tones [S] around 0: darker where positive."""

    points: np.ndarray
    radius_m: np.ndarray
    tone: np.ndarray


def grow_hair(look: HairLook, scalp: Scalp, seed: int) -> tuple[Strands, Strands]:
    """Grows the mass with its strays, and the fine short hairs of the hairline.

    Returns:
        The long and the short strands.
    """
    random = np.random.default_rng(seed)
    ragged = scalp.inside_m + random.normal(0, 0.002, len(scalp.root)) - uneven(scalp.root, RAGGED_M)
    density = scalp.area * (0.25 * smoothstep(ragged, -0.003, 0.003) + 0.75 * smoothstep(ragged, 0.0, 0.011))
    start = random.choice(len(scalp.root), look.count, p=density / density.sum())
    lock = locks(scalp, start, look.lock, random)
    lock_count = lock.max() + 1
    rank = random.uniform(0, 1, look.count)
    layer = 0.15 + 0.85 * rank**0.5
    layer = layer * (1 + 0.16 * random.normal(0, 1, lock_count)[lock]).clip(0.6, 1.25)
    length = lengths_m(scalp.root[start], look) * random.uniform(0.72, 1.0, look.count)
    length = length * random.uniform(0.85, 1.1, lock_count)[lock]
    length = length * (0.35 + 0.65 * smoothstep(scalp.inside_m[start], -0.002, 0.010))
    turn = random.normal(0, 0.10, lock_count)[lock] + random.normal(0, 0.05, look.count)
    phase = random.uniform(0, 2 * np.pi, lock_count)[lock] + random.normal(0, 0.5, look.count)
    overhang = random.uniform(-0.010, 0.004, lock_count)[lock] + random.uniform(-0.008, 0.004, look.count)
    lift = random.exponential(0.0012, look.count)
    mass = clumped(cut(scalp, start, layer, length, turn, phase, lift, look, overhang), lock, look.clump)
    mass = mass + random.normal(0, 0.00022, (look.count, 1, 3))

    stray_start = random.choice(len(scalp.root), look.stray_count, p=density / density.sum())
    count = look.stray_count
    stray = cut(
        scalp,
        stray_start,
        random.uniform(0.5, 1.05, count),
        lengths_m(scalp.root[stray_start], look) * random.uniform(0.5, 1.0, count),
        random.normal(0, 0.35, count),
        random.uniform(0, 2 * np.pi, count),
        random.exponential(0.002, count),
        look,
        random.uniform(-0.006, 0.002, count),
    )
    long = np.concatenate([mass, stray])
    taper = np.linspace(1, 0.45, look.points)
    strong = np.concatenate([random.uniform(0.75, 1.15, look.count), np.full(look.stray_count, 0.5)])
    edge = smoothstep(np.concatenate([scalp.inside_m[start], scalp.inside_m[stray_start]]), 0.0, 0.012)
    radius = look.radius_m * (strong * (0.55 + 0.45 * edge))[:, None] * taper

    rim = scalp.area * np.exp(-(((ragged - 0.001) / 0.004) ** 2)) * (scalp.root[:, 2] > -0.02)
    baby_start = random.choice(len(scalp.root), look.baby_count, p=rim / rim.sum())
    count = look.baby_count
    normal = scalp.normal[baby_start]
    direction = unit(flow(scalp.root[baby_start], normal, look) + random.normal(0, 0.30, (count, 3)))
    length = random.uniform(0.004, 0.020, count) * min(1.0, look.side_m / 0.03)
    time = np.linspace(0, 1, 6)[None, :, None]
    bend = random.normal(0, 0.22, (count, 1, 3))
    arc = direction[:, None] * time + normal[:, None] * (0.30 * time - 0.22 * time**2) + bend * time**2
    short = scalp.root[baby_start][:, None] + length[:, None, None] * arc
    short_radius = np.tile(look.radius_m * 0.5 * np.linspace(1, 0.3, 6), (count, 1))
    tone = 0.6 * random.normal(0, 1, lock_count)[lock] + 0.5 * random.normal(0, 1, look.count)
    tone = np.concatenate([tone, np.zeros(look.stray_count)])
    return Strands(long, radius, tone), Strands(short, short_radius, np.zeros(look.baby_count))
