"""Finds where MediaPipe's face-mesh points lie on the base mesh, by its detector on pictures of avatars.

`python -m training.head.find_face_mesh --avatars avatars/default avatars/samuel` writes `face_mesh.csv`; with `--check`
it measures on other faces how far each head's points lie from the detector's. Needs mediapipe: see
benchmarks/landmarks.py. The avatars must have been built from the persons of their names as those are now.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import shortest_path
from scipy.spatial import cKDTree

from avatar import catalog, engine
from avatar.blendshapes import ARKIT, INDEX
from avatar.compositor import over
from avatar.enhancer import enhance
from avatar.head import Head, Joint, Part
from avatar.rasterizer import Renderer, ops
from benchmarks.landmarks import Detector, face_mesh
from training.head.anatomy import read_anatomy
from training.head.build import bare_skin, refined_body
from training.head.eyes import eyeball
from training.head.face_mesh import (
    EYES,
    INNER_LIPS,
    IRISES,
    REGIONS,
    SURFACE_POINT_COUNT,
    BasePoints,
    mixed,
    nearest,
    places,
    standing_for,
)
from training.head.surface import Surface
from training.person import Person

YAW_DEG, PITCH_DEG = 15.0, 8.0
"""Heads turn up to this far."""

JAW_OPEN = 0.2, 0.5
"""`jawOpen` of the half of the faces whose mouth is open."""

LIDS_DOWN = 0.2, 0.45
"""`eyeBlink` of the half of the faces whose lids are half down: there their edges show, which a fold may cover else."""

CORNERS = (33, 246, 7, 133, 173, 155, 263, 466, 249, 362, 398, 382)
"""Of the points around the eyes, those at the corners, which half closed lids hide."""

LIDS = tuple(point for point in EYES if point not in CORNERS)
PLAIN = tuple(point for point in range(SURFACE_POINT_COUNT) if point not in LIDS + INNER_LIPS)

OPAQUE = (Part.SKIN, Part.EYES, Part.TEETH, Part.TONGUE, Part.MOUTH, Part.CLOTHES)
HIT_SIZE_PX = 1024
REACH_PX = 14.0
"""A point belongs to the nearest pixel that may bear it, within so many of `HIT_SIZE_PX`."""

SQUARE_ENOUGH = 0.15
"""Cosine between the surface's normal and the direction to the camera from which a hit counts."""

PAIRED = np.array([(33, 263), (133, 362), (61, 291), (234, 454), (10, 10), (152, 152), (4, 4), (13, 13), (14, 14)])
"""Points of MediaPipe's mesh and their counterparts, right and left."""

STEP_M = 0.003
"""So far from the place of its partner a point may lie for one step of `partners`."""

MEDIAN_ROUNDS = 60
SETTLED_M = 2e-5

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Face:
    """Controls of one picture: [52] ARKit coefficients, [6] pose."""

    blendshapes: NDArray[np.float32]
    pose: NDArray[np.float32]

    @classmethod
    def of(cls, rng: np.random.Generator, **coefficients: float) -> "Face":
        """A head turned at random."""
        yaw, pitch = np.deg2rad(rng.uniform(-1, 1, 2) * (YAW_DEG, PITCH_DEG))
        blendshapes = np.zeros(len(ARKIT), np.float32)
        for name, value in coefficients.items():
            blendshapes[INDEX[name]] = value
        return cls(blendshapes, np.array([pitch, yaw, 0, 0, 0, 0], np.float32))

    @property
    def unfit(self) -> list[int]:
        """Points whose place does not show: inner lips of a closed mouth; the lids' edges, or the eyes' corners."""
        points = [] if self.blendshapes[INDEX["jawOpen"]] >= JAW_OPEN[0] else list(INNER_LIPS)
        return points + list(LIDS if self.has_open_eyes else CORNERS)

    @property
    def has_open_eyes(self) -> bool:
        return self.blendshapes[INDEX["eyeBlinkLeft"]] < LIDS_DOWN[0]


def plain_faces(count: int, seed: int) -> list[Face]:
    """Every other mouth is open; of either, every other face has half closed lids."""
    rng = np.random.default_rng(seed)
    return [
        Face.of(
            rng,
            jawOpen=rng.uniform(*JAW_OPEN) if number % 2 else 0.0,
            **dict.fromkeys(("eyeBlinkLeft", "eyeBlinkRight"), rng.uniform(*LIDS_DOWN) if number // 2 % 2 else 0.0),
        )
        for number in range(count)
    ]


def speaking_faces(count: int, seed: int) -> list[Face]:
    """Faces as in speech: jaw, lips, brows, and lids that are shut in every fifth."""
    rng = np.random.default_rng(seed)
    faces = []
    for number in range(count):
        smile, blink, brows = rng.uniform(0, 0.4), float(number % 5 == 0), rng.uniform(0, 0.5)
        faces.append(
            Face.of(
                rng,
                jawOpen=rng.uniform(0, JAW_OPEN[1]),
                mouthFunnel=rng.uniform(0, 0.4),
                mouthPucker=rng.uniform(0, 0.3),
                **dict.fromkeys(("mouthSmileLeft", "mouthSmileRight"), smile),
                **dict.fromkeys(("eyeBlinkLeft", "eyeBlinkRight"), blink),
                browInnerUp=brows,
            )
        )
    return faces


class Studio:
    """Draws one avatar and finds the points in its pictures.

    Args:
        folder: of the avatar.
        network: the enhancer, ONNX.
        detect: gives [478, 2] pixels.
    """

    def __init__(self, folder: Path, network: Path, detect: Detector):
        self.renderer = Renderer.load(folder, workers=1)
        self._background = catalog.background(folder)
        self._enhancer = engine.load(network, engine.EngineConfig(threads=1, precision="f32"))
        self._detect = detect

    @property
    def head(self) -> Head:
        return self.renderer.scene.head

    def pictures(self, face: Face) -> tuple[NDArray[np.uint8], ...]:
        """The raster and the enhanced frame over the background, [H, W, 3]."""
        drawn = self.renderer.render(face.blendshapes, face.pose, face.blendshapes, face.pose)
        enhanced = enhance(self._enhancer.run, drawn.raster, drawn.mask)
        return tuple(over(picture, self._background) for picture in (drawn.raster, enhanced))

    def detected(self, face: Face) -> Iterator[Float]:
        """[478, 2] pixels in each of the pictures in which a face is found."""
        for picture in self.pictures(face):
            found = self._detect(picture)
            if found is not None:
                yield found

    def hits(self, face: Face, values: Float) -> Iterator[tuple[Float, Float]]:
        """What each detected point lies on.

        Args:
            face: the face to draw.
            values: [V, D] of the head's vertices.

        Yields:
            For each picture `values` [468, D] at the points and how squarely the skin there faces the camera, [468]:
            0 where a point is not to be used. Points of the lids and the inner lips lie on the rims of what they close.
        """
        head, scene = self.head, self.renderer.scene
        vertices = head.pose(face.blendshapes, face.pose)
        opaque = np.isin(head.part, OPAQUE)
        faces, part = head.faces[opaque], head.part[opaque]
        cosine = squareness(vertices[faces].astype(np.float64), np.asarray(scene.camera.position))
        clip = np.concatenate([vertices, np.ones((len(vertices), 1), np.float32)], axis=1) @ scene.matrix.T
        rast, _ = ops.rasterize(clip, faces, (HIT_SIZE_PX, HIT_SIZE_PX), grad_db=False)
        triangle = rast[..., 3].astype(int) - 1
        shown = np.where(triangle >= 0, part[triangle], Part.BACKGROUND)
        bearing = {
            PLAIN: (shown == Part.SKIN) & (cosine > SQUARE_ENOUGH)[triangle],
            LIDS: rim(shown, Part.EYES),
            INNER_LIPS: rim(shown, Part.MOUTH, Part.TEETH, Part.TONGUE),
        }
        bearing = {points: np.argwhere(mask) for points, mask in bearing.items() if mask.any()}
        trees = {points: cKDTree(pixels + 0.5) for points, pixels in bearing.items()}
        for found in self.detected(face):
            result, weight = np.zeros((SURFACE_POINT_COUNT, values.shape[1])), np.zeros(SURFACE_POINT_COUNT)
            for points, tree in trees.items():
                points_px = found[list(points), ::-1] * (HIT_SIZE_PX / scene.size_px)
                distance, which = tree.query(points_px)
                hit = tuple(bearing[points][which].T)
                u, v = rast[hit][:, 0], rast[hit][:, 1]
                result[list(points)] = mixed(values, faces[triangle[hit]], np.stack([u, v, 1 - u - v], 1))
                weight[list(points)] = np.where(
                    distance < REACH_PX, np.maximum(cosine[triangle[hit]], SQUARE_ENOUGH), 0
                )
            weight[face.unfit] = 0
            yield result, weight


def squareness(corners: Float, camera: Float) -> Float:
    """Cosine [F] between the outward normals of triangles [F, 3, 3] and the directions to the camera [3]."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sight = camera - corners.mean(1)
    lengths = np.linalg.norm(normal, axis=1) * np.linalg.norm(sight, axis=1)
    return (normal * sight).sum(1) / np.maximum(lengths, 1e-15)


def rim(shown: NDArray[np.uint8], *parts: Part) -> NDArray[np.bool_]:
    """[H, W] pixels of skin beside a pixel of one of the parts, in a picture of part ids."""
    inside = np.isin(shown, parts).astype(np.uint8)
    return (shown == Part.SKIN) & (cv2.dilate(inside, np.ones((3, 3), np.uint8)) > 0)


def stand_in(person: Person, head: Head) -> Surface:
    """A built head as the surface that it was made from, with the base-mesh vertices that its skin stands for.

    Raises:
        ValueError: the head was made from another person or by other code.
    """
    anatomy = read_anatomy(person.morphs)
    eyes = [eyeball(anatomy, joint) for joint in (Joint.LEFT_EYE, Joint.RIGHT_EYE)]
    body = refined_body(anatomy.body(), eyes, person.cut)
    skin = bare_skin(body.kept(body.part == Part.SKIN), person)
    count = len(skin.position)
    if count > len(head.template) or np.abs(head.template[:count] - skin.position).max() > 1e-5:
        raise ValueError(f"the head of {person.name} must be the one that is built now; build it again")
    return Surface(
        *(array.astype(np.float64) for array in (head.template, head.expression_basis, head.skinning_weights, head.uv)),
        head.faces.astype(np.int64),
        head.part,
        np.concatenate([skin.origin, np.full(len(head.template) - count, -1)]),
    )


def median(samples: Float, weights: Float) -> Float:
    """Geometric medians [N, D] of samples [M, N, D] with weights [M, N] (Weiszfeld's iteration)."""
    middle = np.einsum("mn,mnd->nd", weights, samples) / weights.sum(0)[:, None]
    for _ in range(MEDIAN_ROUNDS):
        pull = weights / np.maximum(np.linalg.norm(samples - middle, axis=2), SETTLED_M)
        middle = np.einsum("mn,mnd->nd", pull, samples) / pull.sum(0)[:, None]
    return middle


def base_triangles(base: Surface) -> NDArray[np.int64]:
    """The skin's quads [F, 4] as triangles [2F, 3], all split along the same diagonal."""
    a, b, c, d = base.faces[base.part == Part.SKIN].T
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def on_base(points: Float, surface: Surface, base: Surface) -> Float:
    """Points [N, 12] in the `places` of a head's `surface`, carried over to those of the unmixed `base`."""
    faces = base_triangles(base)
    there = faces[np.isin(base.origin[faces], surface.origin).all(1)]
    chosen, weights = nearest(points, places(surface)[standing_for(surface, base.origin)], there)
    return mixed(places(base), there[chosen], weights)


def mirrored(values: Float) -> Float:
    """`places` [N, 12] of the other side of the face."""
    rest, jaw, left, right = np.split(values, 4, axis=1)
    return np.concatenate([rest, jaw, right, left], axis=1) * np.tile([-1.0, 1.0, 1.0], 4)


def partners(points: Float, edges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """The point on the other side of the face for each of the 468.

    A point is known by its numbers of steps, along the edges of MediaPipe's mesh, to a few points: its partner has the
    same to their partners. The mesh is not quite symmetric; between points of much the same numbers, places decide.

    Args:
        points: [468, 12] m, `places`.
        edges: of MediaPipe's mesh.

    Raises:
        ValueError: the points do not pair.
    """
    edges = np.array(sorted({(min(edge), max(edge)) for edge in edges}))
    graph = csr_matrix((np.ones(len(edges)), edges.T), (len(points), len(points)))
    steps = shortest_path(graph, directed=False, unweighted=True)
    here, there = steps[:, PAIRED.ravel()], steps[:, PAIRED[:, ::-1].ravel()]
    apart = np.abs(here[:, None] - there).sum(2)
    apart += np.linalg.norm(points[:, None] - mirrored(points), axis=2) / STEP_M
    row, partner = linear_sum_assignment(apart)
    if not np.array_equal(partner[partner], row):
        raise ValueError("the points must pair left and right; draw more faces")
    return partner


def found_points(studios: dict[str, Studio], count: int, seed: int) -> BasePoints:
    """Draw `count` faces of each avatar and average what the detector's points lie on."""
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    base = read_anatomy({}).body()
    per_avatar = []
    for name, studio in studios.items():
        surface = stand_in(Person.load(name), studio.head)
        values = places(surface)
        hits = [hit for face in plain_faces(count, seed) for hit in studio.hits(face, values)]
        samples, weights = (np.stack(arrays) for arrays in zip(*hits, strict=True))
        unseen = np.flatnonzero(weights.sum(0) == 0)
        if len(unseen):
            raise ValueError(f"every point must be seen on {name}, got none of {unseen.tolist()}; draw more faces")
        per_avatar.append(on_base(median(samples, weights), surface, base))
        print(f"{name}: {len(hits)} pictures")
    middle = np.mean(per_avatar, axis=0)
    middle = (middle + mirrored(middle)[partners(middle, FACEMESH_TESSELATION)]) / 2
    spread_mm = 1000 * np.linalg.norm((per_avatar - middle)[..., :3], axis=2).mean()
    print(f"avatars differ from their mean by {spread_mm:.1f} mm on the base mesh on average")
    faces = base_triangles(base)
    chosen, weights = nearest(middle, places(base), faces)
    return BasePoints(base.origin[faces[chosen]], weights)


def offsets(studio: Studio, faces: list[Face]) -> Float:
    """[M, 478] pixels between the head's points and the detector's, one row a picture; NaN for irises behind lids."""
    rows = []
    for face in faces:
        own = studio.renderer.render(face.blendshapes, face.pose, face.blendshapes, face.pose).face_mesh[:, :2]
        for found in studio.detected(face):
            rows.append(np.linalg.norm(found - own, axis=1))
            if not face.has_open_eyes:
                rows[-1][list(IRISES)] = np.nan
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.head.find_face_mesh", description=__doc__)
    parser.add_argument("--avatars", type=Path, nargs="+", required=True, help="folders, named like their persons")
    parser.add_argument("--model", type=Path, default=Path("model_repository/enhancer/1/model.onnx"))
    parser.add_argument("--faces", type=int, default=48, help="faces of each avatar")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="measure the heads' points instead")
    options = parser.parse_args()
    detect = face_mesh(refined=True)
    if detect is None:
        raise SystemExit("the points are found by mediapipe, which is not installed; see benchmarks/landmarks.py")
    studios = {folder.name: Studio(folder, options.model, detect) for folder in options.avatars}
    if not options.check:
        found_points(studios, options.faces, options.seed).write()
        return
    print("| avatar | faces | all points | " + " | ".join(REGIONS) + " |")
    print("| --- " * (3 + len(REGIONS)) + "|")
    for name, studio in studios.items():
        for kind, faces in (("plain", plain_faces), ("speaking", speaking_faces)):
            apart = offsets(studio, faces(options.faces, options.seed + 1))
            means = [np.nanmean(apart), *(np.nanmean(apart[:, list(points)]) for points in REGIONS.values())]
            print(f"| {name} | {kind} | " + " | ".join(f"{mean:.2f} px" for mean in means) + " |")


if __name__ == "__main__":
    main()
