"""Painted masks of a face: where it is lip, where it blushes, where it is in the shade of the eye.

The masks are drawn on the plane of the face at rest (x right of the picture, y up, metres), from the 68 landmarks, so
that any head with landmarks gets them, whatever its texture layout. Shaders look them up by the rest position.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import bpy
import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

PLATE_SIZE_PX = 2048
PLATE_SPAN_M = 0.32

LASH_DROP_M = 0.0004
"""The dark line of the lashes' roots lies this far below the lid's foremost edge, on its rim."""


@dataclass(frozen=True)
class Plate:
    """Where the painted plane lies.

    Attributes:
        left_m: x of the plane's left edge.
        bottom_m: y of the plane's lower edge.
    """

    left_m: float
    bottom_m: float

    @staticmethod
    def around(landmarks: np.ndarray) -> Plate:
        """The plate centerd between eyes and mouth of `landmarks` [68, 3]."""
        middle = (landmarks[36:48].mean(0) + landmarks[48:60].mean(0)) / 2
        return Plate(left_m=float(middle[0]) - PLATE_SPAN_M / 2, bottom_m=float(middle[1]) - PLATE_SPAN_M / 2)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y [H, W] of the pixel centers, metres, row 0 at the bottom."""
        steps = (np.arange(PLATE_SIZE_PX) + 0.5) * PLATE_SPAN_M / PLATE_SIZE_PX
        return np.meshgrid(self.left_m + steps, self.bottom_m + steps)


def closed_spline(points: np.ndarray, steps: int = 16) -> np.ndarray:
    """Closed Catmull-Rom curve through `points` [N, D], `steps` samples a span."""
    before, after, beyond = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    time = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[:, None] for p in (before, points, after, beyond))
    curve = 0.5 * (2 * b + (c - a) * time + (2 * a - 5 * b + 4 * c - d) * time**2 + (3 * b - a - 3 * c + d) * time**3)
    return curve.reshape(-1, points.shape[1])


def signed_distance(plate: Plate, outline: np.ndarray) -> np.ndarray:
    """Distance [H, W] in metres to a closed outline [N, 2], positive inside."""
    pixel_m = PLATE_SPAN_M / PLATE_SIZE_PX
    corners = ((outline - (plate.left_m, plate.bottom_m)) / pixel_m - 0.5) * 16
    inside = np.zeros((PLATE_SIZE_PX, PLATE_SIZE_PX), np.uint8)
    cv2.fillPoly(inside, [np.round(corners).astype(np.int32)], 1, shift=4)
    return (cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)) * pixel_m


def smoothstep(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """Smooth step from 0 at `start` to 1 at `end`."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def blob(x: np.ndarray, y: np.ndarray, center: np.ndarray, radius_m: tuple[float, float]) -> np.ndarray:
    """Gaussian spot of height one."""
    return np.exp(-0.5 * (((x - center[0]) / radius_m[0]) ** 2 + ((y - center[1]) / radius_m[1]) ** 2))


@dataclass(frozen=True)
class BrowLine:
    """The middle line of a brow.

    Attributes:
        inner_m, outer_m: distance of its ends from the middle of the face.
        height_m: of the inner end above the middle of the eye.
        arch_m: rise of the highest point above the inner end.
        arch_place: where it is, from inner to outer end.
        tail_m: height of the outer end above the inner end.
    """

    inner_m: float = 0.0125
    outer_m: float = 0.0465
    height_m: float = 0.0160
    arch_m: float = 0.0042
    arch_place: float = 0.64
    tail_m: float = 0.0004


@dataclass(frozen=True)
class Masks:
    """Where a face is what; every mask is [H, W] float32 in [0, 1], row 0 at the bottom.

    Attributes:
        lip: the red of the lips.
        lip_depth: the lips' inner, moist part.
        blush: cheeks, nose, chin and the rims of the lids.
        shade: the thin, darker skin around the eyes.
        oil: forehead, nose and chin shine more.
        freckles: many faint spots.
        moles: a few dark ones.
        brow: skin under the eyebrows, which is never as bright as the rest.
        lash_line: the upper lid's edge, darkened by the lashes' roots.
        beard: where a beard would grow.
        wet: the rim of the lids, where tears stand.
        creases: the lines that a face is left with by its expressions.
    """

    lip: np.ndarray
    lip_depth: np.ndarray
    blush: np.ndarray
    shade: np.ndarray
    oil: np.ndarray
    freckles: np.ndarray
    moles: np.ndarray
    brow: np.ndarray
    lash_line: np.ndarray
    beard: np.ndarray
    wet: np.ndarray
    creases: np.ndarray


def spots(plate: Plate, places: np.ndarray, strength: np.ndarray, radius_m: float) -> np.ndarray:
    """Soft round spots [H, W] of about `radius_m` at `places` [N, 2]."""
    pixel_m = PLATE_SPAN_M / PLATE_SIZE_PX
    columns, rows = ((places - (plate.left_m, plate.bottom_m)) / pixel_m).astype(int).clip(0, PLATE_SIZE_PX - 1).T
    dots = np.zeros((PLATE_SIZE_PX, PLATE_SIZE_PX))
    np.maximum.at(dots, (rows, columns), strength)
    sigma_px = radius_m / pixel_m
    return np.clip(cv2.GaussianBlur(dots, (0, 0), sigma_px) * 2 * np.pi * sigma_px**2, 0, 1)


def brow_line(landmarks: np.ndarray, side: int, shape: BrowLine, count: int = 25) -> np.ndarray:
    """Brow points [count, 2] from the nose outwards; `side` 0 is the subject's right."""
    eye = landmarks[36:42] if side == 0 else landmarks[42:48]
    place = np.linspace(0, 1, count)
    x = shape.inner_m + (shape.outer_m - shape.inner_m) * place
    knots = ((0, 0), (shape.arch_place / 2, 0.62 * shape.arch_m), (shape.arch_place, shape.arch_m), (1, shape.tail_m))
    rise = PchipInterpolator(*np.array(knots).T)(place)
    return np.stack([x * np.sign(eye[0, 0]), eye[:, 1].mean() + shape.height_m + rise], 1)


def creases(flat: np.ndarray, plate: Plate, random: np.random.Generator) -> np.ndarray:
    """Lines [H, W] of a face with landmarks `flat` [68, 2]: forehead, corners of the eyes, lower lids, nose to mouth.

    Each fades in and out along its way, and none is quite where its neighbor or its twin would put it.
    """
    total = np.zeros((PLATE_SIZE_PX, PLATE_SIZE_PX), np.float32)

    def draw(knots: np.ndarray, strength: float, width_m: float) -> None:
        line = PchipInterpolator(np.linspace(0, 1, len(knots)), knots)(np.linspace(0, 1, 40))
        line += 0.0002 * np.cumsum(random.normal(0, 0.5, line.shape), axis=0)
        pixels = (line - (plate.left_m, plate.bottom_m)) / PLATE_SPAN_M * PLATE_SIZE_PX - 0.5
        drawn = np.zeros_like(total)
        for number, (start, end) in enumerate(pairwise(np.round(pixels * 16).astype(np.int32))):
            fade = float(np.sin(np.pi * (number + 1) / len(line)) ** 0.7)
            cv2.line(drawn, tuple(map(int, start)), tuple(map(int, end)), fade, 2, cv2.LINE_8, 4)
        sigma_px = width_m / (PLATE_SPAN_M / PLATE_SIZE_PX)
        np.maximum(total, strength * sigma_px * cv2.GaussianBlur(drawn, (0, 0), sigma_px), out=total)

    brows = flat[17:27, 1].max()
    for number, height_m in enumerate((0.014, 0.022, 0.0305)):
        reach_m = 0.034 - 0.004 * number + random.uniform(-0.003, 0.003)
        knots = [(share * reach_m, brows + height_m + random.normal(0, 0.0007) - 0.0018 * np.cos(3 * share))
                 for share in np.linspace(-1, 1, 7)]  # fmt: skip
        draw(np.array(knots), 0.7, 0.0007)
    for outer, inner, wing, corner in ((36, 39, 31, 48), (45, 42, 35, 54)):
        outwards = np.sign(flat[outer, 0])
        for slope in (0.55, 0.12, -0.30):
            start = flat[outer] + (0.0055 * outwards, 0.0035 * slope - 0.0005)
            length_m = random.uniform(0.009, 0.014)
            way = [start + share * length_m * np.array([outwards, slope - 0.25 * share]) for share in (0, 0.5, 1)]
            draw(np.array(way), 0.55, 0.0006)
        for drop_m, strength in ((0.0075, 0.5), (0.0125, 0.4)):
            ends = flat[inner] + (0.001 * outwards, -0.6 * drop_m), flat[outer] + (-0.003 * outwards, -0.7 * drop_m)
            middle = (ends[0] + ends[1]) / 2 - (0, 0.45 * drop_m)
            draw(np.array([ends[0], middle, ends[1]]), strength, 0.0006)
        fold = [flat[wing] + (0.0035 * outwards, 0.004), flat[wing] + (0.0105 * outwards, -0.008),
                flat[corner] + (0.0075 * outwards, 0.004), flat[corner] + (0.0085 * outwards, -0.007)]  # fmt: skip
        draw(np.array(fold), 1.0, 0.0011)
        draw(
            flat[corner] + np.array([(0.0015, -0.002), (0.0045, -0.009), (0.005, -0.017)]) * (outwards, 1), 0.5, 0.0009
        )
    return total


def paint_masks(landmarks: np.ndarray, upper_lids: list[np.ndarray], plate: Plate, brows: BrowLine, seed: int) -> Masks:
    """Draws the masks of a face.

    Args:
        landmarks: [68, 3] iBUG points at rest, metres.
        upper_lids: the edges [N, 3] of both upper lids.
        plate: the plane.
        brows: their line.
        seed: of freckles and moles.
    """
    random = np.random.default_rng(seed)
    x, y = plate.grid()
    flat = landmarks[:, :2]
    depth = signed_distance(plate, closed_spline(flat[48:60]))
    lip = smoothstep(depth, -0.0009, 0.0011)
    seam = np.interp(x, flat[60:65, 0], (flat[60:65, 1] + flat[[60, 67, 66, 65, 64], 1]) / 2)
    lip_depth = lip * np.exp(-0.5 * ((y - seam) / 0.0022) ** 2)

    blush = 0.55 * blob(x, y, flat[30], (0.010, 0.009)) + 0.25 * blob(x, y, flat[8] + (0, 0.014), (0.014, 0.010))
    blush += 0.14 * blob(x, y, flat[48:60].mean(0), (0.036, 0.018))
    oil = blob(x, y, flat[27] + (0, 0.045), (0.034, 0.024)) + 0.9 * blob(x, y, flat[29], (0.008, 0.022))
    oil += 0.5 * blob(x, y, flat[8] + (0, 0.016), (0.014, 0.010))
    shade, brow, wet = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for side, (outer, inner, corner, wing, eye) in enumerate(
        ((36, 39, 48, 31, slice(36, 42)), (45, 42, 54, 35, slice(42, 48)))
    ):
        outwards = np.sign(flat[outer, 0])
        cheek = 0.55 * flat[outer] + 0.45 * flat[corner] + (0.008 * outwards, -0.004)
        blush += 0.58 * blob(x, y, cheek, (0.021, 0.017)) + 0.28 * blob(x, y, flat[wing] + (0, 0.003), (0.006, 0.006))
        oil += 0.45 * blob(x, y, cheek + (-0.012 * outwards, 0.018), (0.013, 0.009))
        rim = signed_distance(plate, closed_spline(flat[eye]))
        blush += 0.6 * np.exp(-0.5 * ((rim + 0.0002) / 0.0009) ** 2)
        wet += np.exp(-0.5 * ((rim - 0.0004) / 0.0006) ** 2)
        center = flat[eye].mean(0)
        shade += 0.42 * blob(x, y, center + (-0.002 * outwards, -0.012), (0.012, 0.0042))
        shade += 0.50 * blob(x, y, flat[inner] + (0, -0.002), (0.005, 0.007)) + 0.40 * blob(
            x, y, center + (0, 0.007), (0.016, 0.0045)
        )
        line = brow_line(landmarks, side, brows)
        along = np.abs(x)
        order = np.argsort(np.abs(line[:, 0]))
        height = np.interp(along, np.abs(line[order, 0]), line[order, 1])
        taper = smoothstep(along, abs(line[0, 0]) - 0.004, abs(line[0, 0]) + 0.006) * smoothstep(
            -along, -abs(line[-1, 0]) - 0.003, -abs(line[-1, 0]) + 0.012
        )
        brow += 0.26 * taper * np.exp(-0.5 * ((y - height) / 0.0028) ** 2) * (np.sign(x) == outwards)

    cheeks = flat[[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]
    upper = np.stack([flat[54] + (0.024, 0.010), flat[35] + (0.004, -0.006), flat[33] + (0, -0.005),
                      flat[31] + (-0.004, -0.006), flat[48] + (-0.024, 0.010)])  # fmt: skip
    jaw = signed_distance(plate, np.concatenate([cheeks + (0, -0.012), upper]))
    turned = smoothstep(-np.abs(x - flat[33, 0]), -0.066, -0.046)  # the painted plane is stretched further aside
    beard = smoothstep(jaw, -0.006, 0.006) * turned * (1 - lip)

    count = 320
    freckled = np.stack([random.normal(0, 0.034, count), random.normal(0.006, 0.016, count)], 1) + flat[30]
    freckles = spots(plate, freckled, random.uniform(0.1, 1.0, count), 0.0006)
    moles = spots(
        plate,
        flat[[48, 35, 45]] + ((-0.016, 0.013), (0.026, -0.006), (0.020, -0.02)),
        np.array([0.9, 0.6, 0.7]),
        0.0007,
    )
    drawn = np.zeros((PLATE_SIZE_PX, PLATE_SIZE_PX), np.uint8)
    for edge in upper_lids:
        pixels = (edge[:, :2] - (0, LASH_DROP_M) - (plate.left_m, plate.bottom_m)) / PLATE_SPAN_M * PLATE_SIZE_PX - 0.5
        cv2.polylines(drawn, [np.round(pixels * 16).astype(np.int32)], False, 255, 8, cv2.LINE_AA, 4)
    lash_line = cv2.GaussianBlur(drawn / np.float32(255), (0, 0), 2.0)
    masks = (
        lip,
        lip_depth,
        blush,
        shade,
        oil,
        freckles,
        moles,
        brow,
        lash_line,
        beard,
        wet,
        creases(flat, plate, random),
    )
    return Masks(*(np.clip(mask, 0, 1).astype(np.float32) for mask in masks))


def as_image(name: str, pixels: np.ndarray) -> bpy.types.Image:
    """A Blender image of linear floats [H, W, 4], row 0 at the bottom."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=True, float_buffer=True, is_data=True)
    image.alpha_mode = "CHANNEL_PACKED"
    image.pixels.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())
    image.update()
    return image
