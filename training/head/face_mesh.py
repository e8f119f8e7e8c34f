"""MediaPipe's 478-point face mesh on a head made from the MakeHuman base mesh.

Points 0 to 467 are places on the base mesh (`face_mesh.csv`, found by `training.head.find_face_mesh`), so that they
hold for every identity made from it. Points 468 to 477 are the irises and lie on the eyeballs.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from avatar.blendshapes import INDEX
from avatar.config import FACE_MESH_COUNT
from avatar.head import Part
from training.head.eyes import CORNEA_DEG, RINGS_DEG, SEGMENT_COUNT
from training.head.source import read_base_mesh
from training.head.surface import Surface

TABLE = Path(__file__).with_name("face_mesh.csv")
SURFACE_POINT_COUNT = 468
"""Points that lie on the skin; those after them are the irises."""

# fmt: off
INNER_LIPS = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)
LIPS = INNER_LIPS + (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
)
EYES = (
    33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7,
    263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249,
)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# fmt: on
IRISES = tuple(range(SURFACE_POINT_COUNT, FACE_MESH_COUNT))
REGIONS = {"lips": LIPS, "eyes": EYES, "irises": IRISES, "oval": OVAL}
"""Points by what they outline."""

MOVES = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")
"""Face units that tell apart what touches or nearly touches at rest: upper from lower lip and lid."""

LIMBUS_RING = int(np.argmin(np.abs(np.array(RINGS_DEG) - CORNEA_DEG)))
LIMBUS_SEGMENTS = (0, 8, 16, 24)
"""Segments of an eyeball's ring towards the picture's right, up, left and down."""

CANDIDATES = 48
"""Triangles that are tried for a point: those whose middles lie nearest."""

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BasePoints:
    """Points 0 to 467 on triangles of base-mesh vertices.

    Attributes:
        vertices: [468, 3] int64, base-mesh vertices.
        weights: [468, 3] float64, rows sum to 1.
    """

    vertices: NDArray[np.int64]
    weights: Float

    @classmethod
    def read(cls, path: Path = TABLE) -> "BasePoints":
        """Read the table that `write` wrote."""
        with path.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        table = np.array(rows, np.float64).reshape(SURFACE_POINT_COUNT, 7)
        if not np.array_equal(table[:, 0], np.arange(SURFACE_POINT_COUNT)):
            raise ValueError(f"{path} must list the points 0 to {SURFACE_POINT_COUNT - 1} in order; find them again")
        return cls(table[:, 1:4].astype(np.int64), table[:, 4:] / table[:, 4:].sum(1, keepdims=True))

    def write(self, path: Path = TABLE) -> None:
        """One row a point: its number, three vertices, three weights."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["point", "a", "b", "c", "weight_a", "weight_b", "weight_c"])
            for number, (vertices, weights) in enumerate(zip(self.vertices, self.weights, strict=True)):
                writer.writerow([number, *vertices.tolist(), *(f"{weight:.4f}" for weight in weights)])


def places(surface: Surface) -> Float:
    """[V, 12] m: the rest position of each vertex, then how far each of `MOVES` moves it."""
    moves = [surface.expression[:, :, INDEX[name]] for name in MOVES]
    return np.concatenate([surface.position, *moves], axis=1)


def mixed(values: Float, vertices: NDArray[np.int64], weights: Float) -> Float:
    """[N, D]: rows `vertices` [N, 3] of `values` [V, D] by `weights` [N, 3]."""
    return np.einsum("nk,nkd->nd", weights, values[vertices])


def nearest(points: Float, values: Float, faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], Float]:
    """The triangle nearest to each point and the place in it, in a space of any dimension.

    Args:
        points: [N, D].
        values: [V, D], places of the vertices.
        faces: [F, 3].

    Returns:
        Rows of `faces` [N] and barycentric weights [N, 3].
    """
    corners = values[faces]
    _, tried = cKDTree(corners.mean(1)).query(points, min(CANDIDATES, len(faces)))
    weights, distance = _closest(points[:, None], corners[tried])
    best = distance.argmin(1)
    row = np.arange(len(points))
    return tried[row, best], weights[row, best]


def _closest(points: Float, corners: Float) -> tuple[Float, Float]:
    """Weights [..., 3] of the points of triangles [..., 3, D] closest to points [..., D], and the squared distances."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    dot = lambda first, second: (first * second).sum(-1)  # noqa: E731
    bb, bc, cc, pb, pc = dot(ab, ab), dot(ab, ac), dot(ac, ac), dot(ap, ab), dot(ap, ac)
    area = np.maximum(bb * cc - bc * bc, 1e-30)
    v, w = (cc * pb - bc * pc) / area, (bb * pc - bc * pb) / area
    inside = np.stack([1 - v - w, v, w], -1)
    on_ab = np.clip(pb / np.maximum(bb, 1e-30), 0, 1)
    on_ac = np.clip(pc / np.maximum(cc, 1e-30), 0, 1)
    on_bc = np.clip(dot(points - b, c - b) / np.maximum(dot(c - b, c - b), 1e-30), 0, 1)
    none = np.zeros_like(v)
    options = np.stack(
        [
            np.where((inside >= 0).all(-1, keepdims=True), inside, np.nan),
            np.stack([1 - on_ab, on_ab, none], -1),
            np.stack([1 - on_ac, none, on_ac], -1),
            np.stack([none, 1 - on_bc, on_bc], -1),
        ]
    )
    reached = np.einsum("o...k,...kd->o...d", options, corners)
    distance = np.nan_to_num(((reached - points) ** 2).sum(-1), nan=np.inf)
    best = distance.argmin(0)[None]
    return np.take_along_axis(options, best[..., None], 0)[0], np.take_along_axis(distance, best, 0)[0]


def standing_for(surface: Surface, base_vertices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The vertex of `surface` that stands for each base-mesh vertex, of the skin where several do.

    For one that the surface lacks (its faces were hidden and removed), the vertex that stands for the nearest other of
    the unmixed base mesh.
    """
    on_skin = np.zeros(len(surface.position), bool)
    on_skin[surface.faces[surface.part == Part.SKIN]] = True
    used = np.flatnonzero(on_skin & (surface.origin >= 0))
    rest = read_base_mesh().vertices
    _, order = cKDTree(rest[surface.origin[used]]).query(rest[base_vertices])
    return used[order]


def face_mesh_embedding(whole: Surface) -> tuple[NDArray[np.int64], Float]:
    """Triangles [478] of a head's triangle surface and places in them [478, 3]: on the skin, then on the eyeballs.

    Args:
        whole: the joined surface, with both eyeballs of `training.head.eyes`, the left one first.
    """
    points, values = BasePoints.read(), places(whole)
    targets = mixed(values, standing_for(whole, points.vertices), points.weights)
    skin = np.flatnonzero(whole.part == Part.SKIN)
    chosen, weights = nearest(targets, values, whole.faces[skin])
    left, right = np.split(np.flatnonzero(whole.part == Part.EYES), 2)
    # Points 468 to 472 are the eye on the picture's left, the subject's right one.
    irises = np.concatenate([_iris(right), _iris(left)])
    corners = np.tile([1.0, 0.0, 0.0], (len(irises), 1))
    return np.concatenate([skin[chosen], irises]), np.concatenate([weights, corners])


def _iris(eyeball: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of the triangles of one eyeball, those whose first corners are the pupil and four points of the limbus."""
    ring = SEGMENT_COUNT + 2 * SEGMENT_COUNT * LIMBUS_RING
    return eyeball[[0, *(ring + segment for segment in LIMBUS_SEGMENTS)]]
