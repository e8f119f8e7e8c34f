"""A painted complexion: albedo, roughness and relief of a face, on the plane of `training.scene.paint`.

Everything is drawn once in numpy and looked up as pictures, which costs Cycles a tenth of procedural noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.scene.paint import PLATE_SIZE_PX, PLATE_SPAN_M, Masks

Color = tuple[float, float, float]
PIXEL_M = PLATE_SPAN_M / PLATE_SIZE_PX


@dataclass(frozen=True)
class Complexion:
    """Colors are linear RGB albedo, multipliers act on it.

    Attributes:
        base: skin without blood.
        warm: multiplier of the patches that are better supplied with blood.
        blush: multiplier where blood shows.
        shade: multiplier around the eyes.
        lip: lip color.
        spots: freckle and mole color.
        freckles: strength of freckles in [0, 1].
        stubble: strength of a beard's shadow in [0, 1].
        stubble_color: of its hairs.
        creases: depth of the lines of age, in 0.1 mm.
        seed: of everything irregular.
    """

    base: Color = (0.700, 0.440, 0.320)
    warm: Color = (0.97, 0.86, 0.82)
    blush: Color = (0.97, 0.70, 0.66)
    shade: Color = (0.80, 0.69, 0.69)
    lip: Color = (0.520, 0.180, 0.165)
    spots: Color = (0.30, 0.15, 0.095)
    freckles: float = 0.16
    stubble: float = 0.0
    stubble_color: Color = (0.045, 0.034, 0.030)
    creases: float = 0.0
    seed: int = 3


def field(random: np.random.Generator, size_m: float, stretch: float = 1.0) -> np.ndarray:
    """Smooth noise [H, W] of mean 0 and deviation 1 with features of `size_m`, `stretch` times as tall as wide."""
    sigma_px = max(size_m / 2 / PIXEL_M, 0.3)
    shrink = max(1, int(sigma_px / 3))
    side = PLATE_SIZE_PX // shrink
    noise = cv2.GaussianBlur(
        random.standard_normal((side, side), np.float32), (0, 0), sigma_px / shrink, sigmaY=sigma_px * stretch / shrink
    )
    noise = cv2.resize(noise, (PLATE_SIZE_PX, PLATE_SIZE_PX), interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / noise.std()


def scattered(random: np.random.Generator, pitch_m: float, radius_m: float) -> np.ndarray:
    """Dots [H, W] in [0, 1] on a jittered grid of `pitch_m`: pores."""
    count = int(PLATE_SPAN_M / pitch_m)
    cells = np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1).reshape(-1, 2)
    place = ((cells + random.uniform(0, 1, cells.shape)) * pitch_m / PIXEL_M).astype(int) % PLATE_SIZE_PX
    dots = np.zeros((PLATE_SIZE_PX, PLATE_SIZE_PX), np.float32)
    dots[place[:, 1], place[:, 0]] = random.uniform(0.3, 1, len(cells))
    sigma_px = radius_m / PIXEL_M
    return np.clip(cv2.GaussianBlur(dots, (0, 0), sigma_px) * 2 * np.pi * sigma_px**2, 0, 1)


def tint(color: np.ndarray, amount: np.ndarray, multiplier: Color) -> np.ndarray:
    """Multiplies `color` [H, W, 3] by `multiplier` where `amount` [H, W] is one."""
    return color * (1 + amount[..., None] * (np.array(multiplier, np.float32) - 1))


def blend(color: np.ndarray, amount: np.ndarray, other: np.ndarray | Color) -> np.ndarray:
    """Crossfades `color` [H, W, 3] to `other` by `amount` [H, W]."""
    return color + amount[..., None] * (np.asarray(other, np.float32) - color)


def paint_complexion(look: Complexion, masks: Masks) -> tuple[np.ndarray, np.ndarray]:
    """Paints a face.

    Args:
        look: its colors.
        masks: where is what.

    Returns:
        Two pictures [H, W, 4] float32, row 0 at the bottom. The first: linear albedo and roughness. The second: relief
        in units of 0.1 mm around 0.5, moisture (lips and the rims of the lids), oil, and 0.
    """
    random = np.random.default_rng(look.seed)
    pores = scattered(random, 0.0011, 0.00022) * (0.55 + 0.45 * masks.oil)
    patches, mottle, grain = field(random, 0.016), field(random, 0.0045), field(random, 0.0014)
    fine = field(random, 0.0006)

    color = np.broadcast_to(np.array(look.base, np.float32), (*pores.shape, 3))
    color = tint(color, np.clip(0.5 + 0.16 * patches + 0.22 * mottle, 0, 1.3), look.warm)
    color = tint(color, np.clip(masks.blush * (1 + 0.16 * mottle + 0.06 * patches), 0, 1), look.blush)
    color = tint(color, np.clip(masks.shade, 0, 1), look.shade)
    color = color * (1 + 0.028 * grain + 0.018 * fine)[..., None]
    color = tint(color, pores, (0.94, 0.89, 0.87))
    color = blend(color, np.clip(masks.freckles * look.freckles, 0, 1), look.spots)
    if look.stubble:
        hairs = 0.35 + 0.65 * scattered(random, 0.0009, 0.00018)
        color = blend(color, look.stubble * masks.beard * hairs, look.stubble_color)
    color = blend(color, 0.75 * masks.moles, look.spots)
    color = tint(color, np.clip(0.2 * look.creases * masks.creases, 0, 1), (0.66, 0.52, 0.48))
    color = blend(color, masks.brow, (0.22, 0.14, 0.10))
    color = blend(color, 0.92 * masks.lash_line, (0.055, 0.032, 0.026))

    furrows = field(random, 0.0009, stretch=5.0) + 0.5 * field(random, 0.0005, stretch=6.0)
    lips = np.array(look.lip, np.float32) * (1 + 0.04 * furrows + 0.05 * mottle)[..., None]
    lips = tint(lips, masks.lip_depth, (0.80, 0.66, 0.66))
    color = blend(color, 0.86 * masks.lip, lips)

    roughness = 0.50 - 0.10 * masks.oil + 0.035 * grain + 0.05 * fine
    roughness = roughness + masks.lip * (0.30 + 0.04 * furrows - roughness)
    roughness = roughness + masks.wet * (0.16 - roughness)
    skin_relief = 0.14 * fine + 0.13 * grain + 0.05 * mottle - 0.80 * pores
    skin_relief = skin_relief - look.creases * masks.creases
    relief = 0.5 + 0.1 * (skin_relief + masks.lip * (0.35 * furrows + 0.3 * grain - skin_relief))
    first = np.concatenate([np.clip(color, 0.01, 0.95), np.clip(roughness, 0.15, 0.8)[..., None]], -1)
    second = np.stack([relief, np.maximum(masks.lip, masks.wet), masks.oil, np.zeros_like(relief)], -1)
    return first.astype(np.float32), second.astype(np.float32)
