"""Assembles the parts into the arrays of `head.npz`."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avatar.head import Joint, Part
from training.head.anatomy import Anatomy, read_anatomy
from training.head.eyes import eyeball
from training.head.landmarks import IBUG_VERTICES
from training.head.subdivide import catmull_clark
from training.head.surface import Surface, joined

PARENTS = (-1, 0, 1, 1, 1)

REGIONS = {
    Part.SKIN: (0.0, 0.0, 0.7, 1.0),
    Part.EYES: (0.7, 0.0, 0.3, 0.15),
    Part.TEETH: (0.7, 0.15, 0.3, 0.15),
    Part.TONGUE: (0.7, 0.3, 0.3, 0.15),
    Part.MOUTH: (0.7, 0.45, 0.3, 0.15),
    Part.LASHES: (0.7, 0.6, 0.3, 0.1),
}
"""Left, top, width, height of each part's place in the atlas."""


def surfaces(anatomy: Anatomy) -> list[Surface]:
    """All parts, each in its own vertices."""
    body = anatomy.body()
    refined = catmull_clark(body, np.ones(len(body.faces), bool))
    groups = anatomy.mesh.quads
    organs = [("helper-upper-teeth", Part.TEETH), ("helper-lower-teeth", Part.TEETH), ("helper-tongue", Part.TONGUE)]
    organs += [(group, Part.LASHES) for group in groups if "eyelashes" in group]
    meshes = [anatomy.surface(group, part).kept(np.ones(len(groups[group]), bool)) for group, part in organs]
    meshes = [catmull_clark(mesh, np.ones(len(mesh.faces), bool)) for mesh in meshes]
    eyes = [eyeball(anatomy, joint) for joint in (Joint.LEFT_EYE, Joint.RIGHT_EYE)]
    return [refined.kept(refined.part == Part.SKIN), refined.kept(refined.part == Part.MOUTH), *eyes, *meshes]


def placed(surface: Surface) -> Surface:
    """Front-projected UV in the part's region."""
    left, top, width, height = REGIONS[Part(surface.part[0])]
    flat = surface.position[:, :2] * [1, -1]
    low, high = flat.min(0), flat.max(0)
    return replace(surface, uv=(flat - low) / (high - low) * [width, height] + [left, top])


def joint_regressor(position: NDArray, joints: NDArray, neighbor_count: int = 64) -> NDArray[np.float64]:
    """[J, V] rows that sum to 1 and reproduce the joints, least-norm over the nearest vertices."""
    result = np.zeros((len(joints), len(position)))
    for row, joint in zip(result, joints, strict=True):
        near = np.argsort(np.linalg.norm(position - joint, axis=1))[:neighbor_count]
        system = np.concatenate([position[near].T, np.ones((1, neighbor_count))])
        row[near] = np.linalg.lstsq(system, np.append(joint, 1.0), rcond=None)[0]
    return result


def landmark_embedding(surface: Surface) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A skin triangle at each landmark vertex and the corner that it is."""
    triangles, corners = [], []
    for vertex in IBUG_VERTICES:
        here = np.flatnonzero(surface.origin == vertex)
        rows, columns = np.nonzero(np.isin(surface.faces, here) & np.isin(surface.part, (Part.SKIN, Part.MOUTH))[:, None])
        first = np.argmin(surface.part[rows])
        triangles.append(rows[first])
        corners.append(np.eye(3)[columns[first]])
    return np.array(triangles), np.array(corners)


def head_arrays() -> dict[str, NDArray]:
    """Everything that `head.npz` holds."""
    anatomy = read_anatomy()
    whole = joined([placed(surface) for surface in surfaces(anatomy)])
    triangles, corners = landmark_embedding(whole)
    return {
        "template": whole.position.astype(np.float32),
        "shape_basis": np.zeros((len(whole.position), 3, 0), np.float16),
        "expression_basis": whole.expression.astype(np.float16),
        "pose_basis": np.zeros((len(whole.position), 3, 0), np.float16),
        "joint_regressor": joint_regressor(whole.position, anatomy.joints).astype(np.float32),
        "skinning_weights": whole.weights.astype(np.float32),
        "parents": np.array(PARENTS, np.int32),
        "faces": whole.faces.astype(np.int32),
        "uv": whole.uv.astype(np.float32),
        "part": whole.part.astype(np.uint8),
        "landmark_faces": triangles.astype(np.int32),
        "landmark_barycentric": corners.astype(np.float32),
    }
