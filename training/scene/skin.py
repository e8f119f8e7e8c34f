"""Skin: subsurface scattering over a painted complexion, with a scalp under the hair.

Scattering distances follow the measured diffusion of human skin (Jensen et al., A Practical Model for Subsurface Light
Transport, 2001: mean free paths of 3.7, 1.4 and 0.7 mm in red, green and blue), scaled down for young, thin skin.
Burley's normalised diffusion is used because it costs a fifth of a random walk here and differs little at this size.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from training.scene.graph import Graph, Socket
from training.scene.paint import PLATE_SPAN_M, Plate, as_image

RELIEF_UNIT_M = 0.001
"""Metres of relief that the picture's range [0, 1] stands for."""


@dataclass(frozen=True)
class SkinLook:
    """Attributes:
    scatter_m: radius of red scattering; green and blue follow.
    scalp: linear color under the hair.
    relief: strength of the relief.
    sheen: of the fine down; its light is white, so that dark skin takes less.
    """

    scatter_m: float = 0.0024
    scalp: tuple[float, float, float] = (0.065, 0.039, 0.028)
    relief: float = 1.0
    sheen: float = 0.05


def painted(graph: Graph, plate: Plate, pixels: np.ndarray, name: str) -> tuple[Socket, Socket]:
    """Looks a painted picture up at the rest position; returns its color and alpha."""
    shift = (-plate.left_m / PLATE_SPAN_M, -plate.bottom_m / PLATE_SPAN_M, 0.0)
    rest = graph.attribute("rest", vector=True)
    where = graph.vector("ADD", graph.vector("MULTIPLY", rest, (1 / PLATE_SPAN_M,) * 3), shift)
    node = graph.node("TexImage", {"Vector": where}, image=as_image(name, pixels), extension="MIRROR")
    return node.outputs["Color"], node.outputs["Alpha"]


def skin_material(look: SkinLook, plate: Plate, surface: np.ndarray, relief: np.ndarray) -> bpy.types.Material:
    """Builds the skin from the two pictures of `paint_complexion`; the mesh carries `rest` and `scalp`."""
    graph = Graph("skin")
    albedo, roughness = painted(graph, plate, surface, "complexion")
    layers, _ = painted(graph, plate, relief, "relief")
    height, lip, _ = graph.node("SeparateColor", {0: layers}).outputs[:3]
    scalp = graph.attribute("scalp")
    color = graph.mix(scalp, albedo, (*look.scalp, 1))
    radius = tuple(share * look.scatter_m for share in (1.0, 0.38, 0.19))
    shader = graph.principled(
        "BURLEY", Base_Color=color, Roughness=roughness, IOR=1.42, Specular_IOR_Level=graph.scaled(scalp, -0.4, 0.5),
        Subsurface_Weight=graph.scaled(scalp, -0.8, 1.0), Subsurface_Radius=radius, Subsurface_Scale=1.0,
        Coat_Weight=graph.scaled(lip, 0.22, 0.05), Coat_Roughness=0.26,
        Sheen_Weight=look.sheen, Sheen_Roughness=0.4,
        Normal=graph.bump(graph.scaled(height, RELIEF_UNIT_M), look.relief),
    )  # fmt: skip
    return graph.surface(shader)
