"""A face as a mixture of MakeHuman's identity targets, which shows no real person."""

import numpy as np
from numpy.typing import NDArray

from training.head.source import BaseMesh, group_center, read_rig_weights, read_target

ARM_DROP_DEG = 30.0
"""How far the arms hang below the base mesh's A-pose."""

ARM_BONES = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")


def identity_vertices(mesh: BaseMesh, morphs: dict[str, float]) -> NDArray[np.float64]:
    """Vertices [V, 3], decimeters, of the face that `morphs` mix, with lowered arms."""
    vertices = mesh.vertices.copy()
    for name, weight in morphs.items():
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
