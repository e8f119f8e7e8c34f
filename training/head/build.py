"""Assembles the parts into the arrays of `head.npz`."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.head import Joint, Part
from avatar.rasterizer.camera import Camera
from training.head.anatomy import Anatomy, read_anatomy
from training.head.atlas import PLACES_PX, placed, unrolled_mouth, unrolled_skin
from training.head.clothes import UNDER_COLLAR_M, dress
from training.head.eyes import eyeball
from training.head.face_mesh import face_mesh_embedding
from training.head.hair import HIDDEN_M, HairCut, Scalp, ears, fitted, grow
from training.head.hair_fin import hair_fin
from training.head.landmarks import IBUG_VERTICES
from training.head.lashes import lashes
from training.head.lids import meeting_lids
from training.head.lips import closed_lips, soft_cheeks
from training.head.subdivide import catmull_clark
from training.head.surface import Surface, joined
from training.head.teeth import dentures
from training.head.tongue import tongue
from training.head.visibility import visible_faces
from training.person import Person

STILL_M = 1e-5
"""Motion below this is left out of the expression directions, which keeps them sparse."""

PARENTS = (-1, 0, 1, 1, 1)

COARSE_EDGE_M = 0.0042
"""Faces with shorter sides than this span a few pixels and are not refined."""

FRAME_BOTTOM_M = -0.10
"""The neck and what lies below stay coarse."""

BEHIND_M = 0.0
"""So does what lies behind this."""

UNDER_HAIR_M = 0.004
"""And the scalp further inside the hairline than this."""


def surfaces(anatomy: Anatomy, person: Person) -> tuple[dict[str, Surface], Scalp]:
    """All surfaces under their names in the atlas, each with UV in the unit square, and where hair grows."""
    eyes = [eyeball(anatomy, joint) for joint in (Joint.LEFT_EYE, Joint.RIGHT_EYE)]
    body = refined_body(anatomy.body(), eyes, person.cut)
    skin, mouth = (body.kept(body.part == part) for part in (Part.SKIN, Part.MOUTH))
    hair, scalp = grow(skin, person.cut)
    hair = fitted(hair, scalp, grown_strands(scalp, person))
    result = {"skin": bare_skin(skin, person), "mouth": unrolled_mouth(mouth), "hair": hair}
    result |= dict(zip(("left_eye", "right_eye"), eyes, strict=True))
    result |= dentures(anatomy) | {"tongue": tongue(anatomy)} | lashes(anatomy) | dress(skin, person.neckline)
    portrait = Camera(person.portrait.fov_deg, person.portrait.position, person.portrait.target)
    result["hair_fin"] = hair_fin(hair, [body, result["garment"], result["collar"]], portrait)
    return result, scalp


def bare_skin(skin: Surface, person: Person) -> Surface:
    """What hair and clothes leave of the refined body's skin, unrolled."""
    bare = (person.cut.above_hairline_m(skin.position)[skin.faces].min(1) < HIDDEN_M) | ears(skin)[skin.faces].any(1)
    bare &= person.neckline.depth_m(skin.position)[skin.faces].min(1) < UNDER_COLLAR_M
    return unrolled_skin(skin.kept(bare))


def grown_strands(scalp: Scalp, person: Person) -> NDArray[np.float64]:
    """The path tracer's hair [S, K, 3] over this scalp."""
    from training.scene.figure import Look
    from training.scene.hair import Scalp as StrandScalp
    from training.scene.hair import grow_hair

    look = Look.of(person)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scalp.npz"
        np.savez(path, **asdict(scalp))
        return grow_hair(look.hair, StrandScalp.load(path), look.seed)[0].points


def refined_body(body: Surface, occluders: list[Surface], cut: HairCut) -> Surface:
    """The body without hidden cavities, fine where a portrait shows large faces, with lips that touch."""
    portrait, outside = visible_faces(body, occluders)
    corners = body.position[body.faces]
    edge_m = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).mean(1)
    framed = corners[:, :, 1].max(1) > FRAME_BOTTOM_M
    facing = corners[:, :, 2].max(1) > BEHIND_M
    bald = cut.above_hairline_m(body.position)[body.faces].min(1) < UNDER_HAIR_M
    region = portrait & (edge_m > COARSE_EDGE_M) & framed & facing & bald
    kept = replace(body, faces=body.faces[outside], part=body.part[outside])
    return soft_cheeks(closed_lips(catmull_clark(kept, region[outside])))


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
        rows, columns = np.nonzero(
            np.isin(surface.faces, here) & np.isin(surface.part, (Part.SKIN, Part.MOUTH))[:, None]
        )
        first = np.argmin(surface.part[rows])
        triangles.append(rows[first])
        corners.append(np.eye(3)[columns[first]])
    return np.array(triangles), np.array(corners)


def head_arrays(person: Person) -> tuple[dict[str, NDArray], Scalp]:
    """Everything that `head.npz` holds, and the scalp for strands."""
    anatomy = read_anatomy(person.morphs)
    parts, scalp = surfaces(anatomy, person)
    whole = joined([placed(parts[name], name) for name in PLACES_PX])
    triangles, corners = landmark_embedding(whole)
    whole = meeting_lids(whole, (whole.faces[triangles] * corners).sum(1).astype(int))
    mesh_triangles, mesh_places = face_mesh_embedding(whole)
    expression = np.where(np.abs(whole.expression) < STILL_M, 0, whole.expression)
    arrays = {
        "template": whole.position.astype(np.float32),
        "shape_basis": np.zeros((len(whole.position), 3, 0), np.float16),
        "expression_basis": expression.astype(np.float16),
        "pose_basis": np.zeros((len(whole.position), 3, 0), np.float16),
        "joint_regressor": joint_regressor(whole.position, anatomy.joints).astype(np.float32),
        "skinning_weights": whole.weights.astype(np.float32),
        "parents": np.array(PARENTS, np.int32),
        "faces": whole.faces.astype(np.int32),
        "uv": whole.uv.astype(np.float32),
        "part": whole.part.astype(np.uint8),
        "landmark_faces": triangles.astype(np.int32),
        "landmark_barycentric": corners.astype(np.float32),
        "face_mesh_faces": mesh_triangles.astype(np.int32),
        "face_mesh_barycentric": mesh_places.astype(np.float32),
    }
    return arrays, scalp
