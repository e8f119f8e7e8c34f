"""Knitted cloth: rows of V-shaped stitches in relief, with a heathered yarn."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from training.scene.graph import Graph
from training.scene.paint import as_image

TILE_PX = 128


@dataclass(frozen=True)
class KnitLook:
    """Attributes:
    yarn: linear color.
    stitch_m: width of one stitch.
    depth_m: height of the yarn over the gaps.
    """

    yarn: tuple[float, float, float] = (0.050, 0.095, 0.120)
    stitch_m: float = 0.0052
    depth_m: float = 0.0005


def stitch_tile() -> np.ndarray:
    """Height [H, W] in [0, 1] of one stitch, which repeats: two slanted bulges that make a V."""
    axis = (np.arange(TILE_PX) + 0.5) / TILE_PX
    x, y = np.meshgrid(axis, axis)
    height = np.zeros_like(x)
    for left in (True, False):
        center = 0.26 if left else 0.74
        for row in (-1, 0, 1, 2):
            slant = 0.55 * (x - center) * (-1 if left else 1)
            across = (x - center) / 0.27
            along = (y - row - 0.5 + slant * 1.4) / 0.52
            height = np.maximum(height, np.sqrt(np.clip(1 - across**2 - along**2, 0, 1)))
    return height.astype(np.float32)


def knit_material(look: KnitLook) -> bpy.types.Material:
    """Builds the cloth; the mesh carries `rest`."""
    graph = Graph("knit")
    height = stitch_tile()
    picture = as_image("stitch", np.stack([height, height, height, np.ones_like(height)], -1))
    rest = graph.attribute("rest", vector=True)
    aside, up, ahead = graph.node("SeparateXYZ", {0: rest}).outputs
    angle = graph.math("ARCTAN2", aside, graph.math("ADD", ahead, 0.10))
    across = graph.scaled(angle, 0.13 / look.stitch_m)
    rows = graph.scaled(up, 1 / (look.stitch_m * 0.85))
    where = graph.node("CombineXYZ", {0: across, 1: rows}).outputs[0]
    stitch = graph.node("TexImage", {"Vector": where}, image=picture, extension="REPEAT").outputs["Color"]
    heather = graph.noise(rest, 110.0, 1.0, 0.5)
    light = tuple(min(1.0, channel * 1.4 + 0.006) for channel in look.yarn)
    color = graph.mix(graph.ramp(heather, 0.35, 0.68), (*look.yarn, 1), (*light, 1))
    color = graph.mix(graph.scaled(stitch, -0.22, 0.22), color, tuple(channel * 0.30 for channel in look.yarn) + (1,))
    relief = graph.scaled(stitch, look.depth_m)
    shader = graph.principled(
        Base_Color=color, Roughness=0.85, Specular_IOR_Level=0.2, Sheen_Weight=0.35, Sheen_Roughness=0.5,
        Sheen_Tint=(0.75, 0.85, 0.9, 1), Normal=graph.bump(relief),
    )  # fmt: skip
    return graph.surface(shader)
