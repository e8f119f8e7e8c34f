"""Which face ships: a mixture of MakeHuman's identity targets that shows no real person."""

import numpy as np
from numpy.typing import NDArray

from training.head.source import BaseMesh, group_center, read_rig_weights, read_target

RECIPE = {
    "macrodetails/caucasian-female-young": 0.72,
    "macrodetails/asian-female-young": 0.2,
    "macrodetails/african-female-young": 0.08,
    "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
    "head/head-oval": 0.4,
    "head/head-fat-incr": 0.04,
    "head/head-scale-horiz-decr": 0.4,
    "head/head-scale-vert-decr": 0.15,
    "forehead/forehead-scale-vert-decr": 0.6,
    "chin/chin-height-decr": 0.3,
    "chin/chin-width-decr": 0.35,
    "cheek/{side}-cheek-bones-incr": 0.35,
    "cheek/{side}-cheek-volume-incr": 0.05,
    "eyebrows/eyebrows-angle-up": 0.25,
    "eyes/{side}-eye-scale-incr": 0.2,
    "eyes/{side}-eye-height1-incr": 0.05,
    "eyes/{side}-eye-height2-incr": 0.12,
    "eyes/{side}-eye-height3-incr": 0.05,
    "eyes/{side}-eye-corner2-up": 0.25,
    "ears/{side}-ear-wing-decr": 0.6,
    "ears/{side}-ear-scale-decr": 0.3,
    "ears/{side}-ear-lobe-decr": 0.5,
    "ears/{side}-ear-shape-round": 0.25,
    "nose/nose-scale-vert-decr": 0.12,
    "nose/nose-scale-horiz-decr": 0.3,
    "nose/nose-width1-incr": 0.2,
    "nose/nose-width2-decr": 0.2,
    "nose/nose-width3-decr": 0.35,
    "nose/nose-hump-decr": 0.2,
    "nose/nose-point-up": 0.15,
    "nose/nose-base-up": 0.15,
    "mouth/mouth-scale-horiz-incr": 0.25,
    "mouth/mouth-angles-up": 0.35,
    "mouth/mouth-upperlip-volume-incr": 0.35,
    "mouth/mouth-lowerlip-volume-decr": 0.2,
    "mouth/mouth-cupidsbow-incr": 0.3,
    "neck/neck-scale-horiz-decr": 0.35,
    "asym/asym-brown-1-l": 0.25,
    "asym/asym-eye-3-r": 0.2,
    "asym/asym-mouth-1-l": 0.3,
    "asym/asym-nose-2-r": 0.3,
    "asym/asym-jaw-1-r": 0.3,
    "asym/asym-cheek-1-l": 0.3,
    "asym/asym-ear-2-r": 0.3,
}
"""Target below `mpfb2/targets/` to its weight; `{side}` stands for both sides."""

ARM_DROP_DEG = 30.0
"""How far the arms hang below the base mesh's A-pose."""

ARM_BONES = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")


def identity_vertices(mesh: BaseMesh) -> NDArray[np.float64]:
    """Vertices [V, 3], decimeters, of the mixed face with lowered arms."""
    vertices = mesh.vertices.copy()
    for name, weight in RECIPE.items():
        for side in "lr" if "{side}" in name else "l":
            vertices += weight * read_target(f"mpfb2/targets/{name.format(side=side)}", len(vertices))
    return _lower_arms(mesh, vertices)


def _lower_arms(mesh: BaseMesh, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    bones = read_rig_weights(len(vertices))
    result = vertices.copy()
    for side, sign in (("L", -1.0), ("R", 1.0)):
        weight = sum(w for bone, w in bones.items() if bone.startswith(ARM_BONES) and bone.endswith(f".{side}"))
        weight = weight + 0.35 * bones[f"shoulder01.{side}"]
        angle = np.deg2rad(sign * ARM_DROP_DEG) * np.clip(weight, 0, 1)
        pivot = group_center(mesh, vertices, f"joint-{side.lower()}-shoulder")
        x, y = (vertices - pivot)[:, 0], (vertices - pivot)[:, 1]
        result[:, 0] += np.cos(angle) * x - np.sin(angle) * y - x
        result[:, 1] += np.sin(angle) * x + np.cos(angle) * y - y
    return result
