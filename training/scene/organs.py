"""Eyes, teeth, tongue and the inside of the mouth."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from training.scene.graph import Graph, Socket

Color = tuple[float, float, float]


@dataclass(frozen=True)
class EyeLook:
    """Angles are seen from the eye's center, in degrees from the gaze.

    Attributes:
        pupil_deg: edge of the pupil.
        iris_deg: edge of the iris.
        outer, inner: linear colors of the iris at its rim and around the pupil.
        sclera: linear color of the white.
    """

    pupil_deg: float = 9.8
    iris_deg: float = 26.5
    outer: Color = (0.060, 0.078, 0.070)
    inner: Color = (0.120, 0.082, 0.042)
    sclera: Color = (0.66, 0.60, 0.56)


def eye_material(look: EyeLook) -> bpy.types.Material:
    """Builds an eyeball under a wet cornea; the mesh carries `gaze`: unit vectors from its center, gaze along z."""
    graph = Graph("eye")
    gaze = graph.vector("NORMALIZE", graph.attribute("gaze", vector=True))
    aside, height, ahead = graph.node("SeparateXYZ", {0: gaze}).outputs
    polar = graph.scaled(graph.math("ARCCOSINE", ahead), 57.29578)
    around = graph.vector("NORMALIZE", graph.vector("MULTIPLY", gaze, (1.0, 1.0, 0.0)))

    along = graph.vector(
        "ADD",
        graph.vector("MULTIPLY", around, (9.0, 9.0, 9.0)),
        graph.node("CombineXYZ", {2: graph.scaled(polar, 0.10)}).outputs[0],
    )
    fibres = graph.noise(along, 1.0, 4.0, 0.65)
    collarette = graph.ramp(graph.total(polar, graph.scaled(fibres, 6.0)), look.pupil_deg + 3.5, look.pupil_deg + 9.0)
    iris = graph.mix(collarette, (*look.inner, 1), (*look.outer, 1))
    iris = graph.mix(1.0, iris, graph.ramp(fibres, 0.30, 0.72, 0.45, 1.75), "MULTIPLY")
    iris = graph.mix(graph.ramp(polar, look.iris_deg - 4.5, look.iris_deg - 0.6), iris, (0.016, 0.020, 0.020, 1))
    iris = graph.mix(
        graph.ramp(polar, look.pupil_deg - 0.5, look.pupil_deg + 0.5, 1.0, 0.0), iris, (0.002, 0.002, 0.002, 1)
    )

    corner = graph.ramp(graph.math("ABSOLUTE", aside), 0.42, 0.85)
    ridges = graph.math(
        "ABSOLUTE", graph.scaled(graph.noise(graph.vector("MULTIPLY", gaze, (1.0, 2.4, 1.0)), 9.0, 4.0, 0.6), 1.0, -0.5)
    )
    veins = graph.math("MULTIPLY", graph.ramp(ridges, 0.0, 0.035, 1.0, 0.0), graph.scaled(corner, 0.5, 0.1))
    white = graph.mix(graph.scaled(corner, 0.75), (*look.sclera, 1), (0.50, 0.30, 0.26, 1))
    white = graph.mix(graph.scaled(veins, 0.45), white, (0.42, 0.11, 0.09, 1))
    white = graph.mix(graph.ramp(height, 0.10, 0.45, 0.0, 0.55), white, (0.34, 0.24, 0.22, 1))
    limbus = graph.ramp(polar, look.iris_deg - 1.2, look.iris_deg + 1.4)
    color = graph.mix(limbus, iris, white)

    hollow_m = graph.math(
        "MULTIPLY", graph.ramp(polar, 2.0, look.iris_deg, -0.0021, 0.0), graph.scaled(limbus, -1.0, 1.0)
    )
    shader = graph.principled(
        "BURLEY", Base_Color=color, Roughness=graph.scaled(limbus, -0.05, 0.45), Specular_IOR_Level=0.25,
        Subsurface_Weight=graph.scaled(limbus, 0.8), Subsurface_Radius=(0.0016, 0.0008, 0.0006), Subsurface_Scale=1.0,
        Coat_Weight=1.0, Coat_Roughness=0.025, Coat_IOR=1.38, Normal=graph.bump(hollow_m, 0.8),
    )  # fmt: skip
    return graph.surface(shader)


def wet_material(
    name: str,
    color: Socket | Color,
    graph: Graph | None = None,
    scatter_m: float = 0.001,
    bump: float = 0.00012,
    glow: float = 0.12,
) -> bpy.types.Material:
    """Moist tissue or enamel under a film of saliva.

    `glow` stands for the light that tissue passes on over many bounces in the mouth, which so few paths cannot find.
    """
    graph = graph or Graph(name)
    rest = graph.attribute("rest", vector=True)
    base = color if isinstance(color, bpy.types.NodeSocket) else (*color, 1)
    height = graph.scaled(graph.noise(rest, 900.0, 1.0), bump)
    shader = graph.principled(
        "BURLEY", Base_Color=base, Roughness=0.34, Specular_IOR_Level=0.4,
        Subsurface_Weight=0.8, Subsurface_Radius=(scatter_m, scatter_m * 0.6, scatter_m * 0.5), Subsurface_Scale=1.0,
        Coat_Weight=0.55, Coat_Roughness=0.12, Emission_Color=base, Emission_Strength=glow, Normal=graph.bump(height),
    )  # fmt: skip
    return graph.surface(shader)


def tooth_material() -> bpy.types.Material:
    """Enamel, yellower at the gum; the mesh carries `gum`, 0 on teeth and 1 on gums, and `depth` into the mouth."""
    graph = Graph("teeth")
    enamel = graph.mix(graph.ramp(graph.attribute("gum"), 0.0, 0.9), (0.80, 0.73, 0.60, 1), (0.70, 0.58, 0.42, 1))
    color = graph.mix(graph.ramp(graph.attribute("gum"), 0.92, 1.0), enamel, (0.50, 0.19, 0.17, 1))
    color = graph.mix(graph.attribute("depth"), color, (0.10, 0.05, 0.04, 1))
    return wet_material("teeth", color, graph, scatter_m=0.0012, bump=0.00003, glow=0.05)


def tongue_material() -> bpy.types.Material:
    graph = Graph("tongue")
    rest = graph.attribute("rest", vector=True)
    color = graph.mix(
        graph.ramp(graph.noise(rest, 500.0, 3.0), 0.3, 0.7), (0.50, 0.18, 0.165, 1), (0.60, 0.26, 0.24, 1)
    )
    groove = graph.ramp(graph.math("ABSOLUTE", graph.node("SeparateXYZ", {0: rest}).outputs[0]), 0.0, 0.004, 0.35, 0.0)
    color = graph.mix(groove, color, (0.30, 0.08, 0.075, 1))
    color = graph.mix(graph.attribute("depth"), color, (0.16, 0.045, 0.04, 1))
    return wet_material("tongue", color, graph, bump=0.00035)


def mouth_material() -> bpy.types.Material:
    """The lips' inner side fades into a dark throat; the mesh carries `depth`: 0 at the lips, 1 in the throat."""
    graph = Graph("mouth")
    color = graph.mix(graph.attribute("depth"), (0.48, 0.19, 0.17, 1), (0.16, 0.045, 0.04, 1))
    gum = graph.mix(graph.attribute("depth"), (0.56, 0.215, 0.195, 1), (0.16, 0.045, 0.04, 1))
    return wet_material("mouth", graph.mix(graph.attribute("gum"), color, gum), graph)
