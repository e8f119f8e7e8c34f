"""Teeth and gums along two dental arches; the lower ones follow the jaw rigidly.

Crown widths and heights after Nelson, "Wheeler's Dental Anatomy, Physiology and Occlusion".
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.head import Joint, Part
from training.head.anatomy import Anatomy
from training.head.surface import Surface


@dataclass(frozen=True)
class Arch:
    """One dental arch: half an ellipse in the horizontal plane.

    Attributes:
        group: MakeHuman's dentures, whose motion the teeth take over.
        joint: what carries the teeth.
        front_z_m: outer face of the incisors.
        half_width_m: semi-axis across.
        depth_m: semi-axis front to back.
        edge_y_m: height of the biting edge.
        crown_sign: +1 when crowns stand up from the edge to the gum, −1 when they hang.
        widths_m: from the middle to the side.
        heights_m: crown heights.
        depths_m: front to back.
        reference_m: y and z of the middle of MakeHuman's dentures for which the heights hold.
    """

    group: str
    joint: Joint
    front_z_m: float
    half_width_m: float
    depth_m: float
    edge_y_m: float
    crown_sign: int
    widths_m: tuple[float, ...]
    heights_m: tuple[float, ...]
    depths_m: tuple[float, ...]
    reference_m: tuple[float, float]

    def of(self, anatomy: Anatomy) -> "Arch":
        """The arch moved along with the middle of MakeHuman's dentures, which the identity moves."""
        middle = anatomy.vertices[np.unique(anatomy.mesh.quads[self.group])].mean(0)
        up, ahead = middle[1:] - self.reference_m
        return replace(self, edge_y_m=self.edge_y_m + up, front_z_m=self.front_z_m + ahead)


UPPER = Arch(
    "helper-upper-teeth", Joint.NECK, 0.0985, 0.0305, 0.048, -0.0370, 1,
    (0.0085, 0.0067, 0.0076, 0.0070, 0.0068, 0.0100), (0.0105, 0.0093, 0.0102, 0.0085, 0.0080, 0.0075),
    (0.0050, 0.0048, 0.0065, 0.0080, 0.0085, 0.0100), (-0.01891, 0.07522),
)  # fmt: skip
LOWER = Arch(
    "helper-lower-teeth", Joint.JAW, 0.0955, 0.0285, 0.046, -0.0385, -1,
    (0.0055, 0.0059, 0.0068, 0.0070, 0.0072, 0.0105), (0.0088, 0.0090, 0.0100, 0.0085, 0.0080, 0.0075),
    (0.0048, 0.0050, 0.0062, 0.0070, 0.0080, 0.0100), (-0.03481, 0.07354),
)  # fmt: skip

RING = 10
SHAPE = np.array([(-0.12, 0.90, 0.95), (0.10, 0.93, 1.0), (0.45, 1.0, 0.95), (0.80, 0.98, 0.62), (0.97, 0.90, 0.36)])
"""Rows of a crown from below the gum to the biting edge: place along the height, width share, depth share."""

GUM_PROFILE_M = (
    (0.010, -0.0030),
    (0.004, -0.0012),
    (0.0006, -0.0004),
    (-0.0008, -0.0018),
    (0.0010, -0.0085),
    (0.009, -0.0120),
)
"""Cross-section of the gum: distance above the gum line and outward from the teeth's outer face."""

GUM_STATIONS = 31


def dentures(anatomy: Anatomy) -> dict[str, Surface]:
    """Teeth and gums under their names in the atlas."""
    arches = {"upper": UPPER.of(anatomy), "lower": LOWER.of(anatomy)}
    teeth = {f"{name}_teeth": _teeth(anatomy, arch) for name, arch in arches.items()}
    return teeth | {f"{name}_gum": _gum(anatomy, arch) for name, arch in arches.items()}


def _frame(arch: Arch, arc_m: NDArray) -> tuple[NDArray, NDArray]:
    """Point on the arch [n, 2] (x, z) and outward normal [n, 2] at signed arc lengths from the middle."""
    angle = np.linspace(0, np.pi / 2, 2000)
    x, z = arch.half_width_m * np.sin(angle), arch.front_z_m - arch.depth_m * (1 - np.cos(angle))
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    at = np.interp(np.abs(arc_m), length, angle)
    side = np.sign(arc_m) + (arc_m == 0)
    point = np.stack([side * arch.half_width_m * np.sin(at), arch.front_z_m - arch.depth_m * (1 - np.cos(at))], -1)
    normal = np.stack([side * np.sin(at) / arch.half_width_m, np.cos(at) / arch.depth_m], -1)
    return point, normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _teeth(anatomy: Anatomy, arch: Arch) -> Surface:
    positions, faces, uvs = [], [], []
    start, tooth_count = 0, len(arch.widths_m)
    center = 0.0
    for tooth, (width, height, depth) in enumerate(zip(arch.widths_m, arch.heights_m, arch.depths_m, strict=True)):
        center += width / 2
        for side in (-1, 1):
            position, triangles, uv = _crown(arch, side * center, width, height, depth)
            column = tooth_count + tooth if side > 0 else tooth_count - 1 - tooth
            uv = (uv * [0.94, 0.96] + [0.03, 0.02] + [column, 0]) / [2 * tooth_count, 1]
            positions.append(position)
            faces.append(triangles + start)
            uvs.append(uv)
            start += len(position)
        center += width / 2
    position = np.concatenate(positions)
    return _carried(anatomy, arch, position, np.concatenate(faces), np.concatenate(uvs), Part.TEETH)


def _crown(arch: Arch, arc_m: float, width: float, height: float, depth: float):
    """One tooth: rings of a rounded box from the gum to the edge, and a cap. The ring's seam lies at the back."""
    point, outward = _frame(arch, np.array(arc_m))
    along = np.array([outward[1], -outward[0]])
    around = np.linspace(-np.pi, np.pi, RING + 1)
    across, ahead = np.sin(around), np.cos(around)
    square = 2 / 3.2
    across, ahead = np.sign(across) * np.abs(across) ** square, np.sign(ahead) * np.abs(ahead) ** square
    rows, uv = [], []
    for place, wide, deep in SHAPE:
        bulge = 0.0007 * (1 - (2 * place - 0.7) ** 2)
        middle = point - outward * (depth / 2) + outward * (bulge - 0.003 * max(place - 0.6, 0))
        lean = (1 - deep) * depth * 0.15
        flat = middle + np.outer(across * wide * width / 2, along) + np.outer(ahead * deep * depth / 2 + lean, outward)
        y = arch.edge_y_m + arch.crown_sign * height * (1 - place)
        rows.append(np.stack([flat[:, 0], np.full(len(flat), y), flat[:, 1]], 1))
        uv.append(np.stack([(around + np.pi) / (2 * np.pi), np.full(len(flat), np.clip(place, 0, 1) * 0.85)], 1))
    tip = rows[-1][:-1].mean(0) - [0, arch.crown_sign * height * 0.03, 0]
    position, uv = np.concatenate([*rows, tip[None]]), np.concatenate([*uv, [[0.5, 1.0]]])
    faces = []
    for row in range(len(SHAPE) - 1):
        for k in range(RING):
            a, b = row * (RING + 1) + k, row * (RING + 1) + k + 1
            faces += [(a, b, b + RING + 1), (a, b + RING + 1, a + RING + 1)]
    last = (len(SHAPE) - 1) * (RING + 1)
    faces += [(last + k, last + k + 1, len(position) - 1) for k in range(RING)]
    faces = np.array(faces)
    if arch.crown_sign > 0:
        faces = faces[:, [0, 2, 1]]
    uv[:, 1] = uv[:, 1] if arch.crown_sign > 0 else 1 - uv[:, 1]
    return position, faces, uv


def _gum(anatomy: Anatomy, arch: Arch) -> Surface:
    """A saddle over the arch, from the vestibule over the gum line to the palate's side; scalloped around the teeth."""
    total = sum(arch.widths_m)
    arc = np.linspace(-total, total, GUM_STATIONS)
    point, outward = _frame(arch, arc)
    middles = np.cumsum(arch.widths_m) - np.array(arch.widths_m) / 2
    line = np.interp(np.abs(arc), middles, arch.heights_m)
    depth = np.interp(np.abs(arc), middles, arch.depths_m)
    rows = []
    for above, out in GUM_PROFILE_M:
        out = out - (depth - 0.005 if out < -0.005 else 0)
        flat = point + outward * np.broadcast_to(out, arc.shape)[:, None]
        y = arch.edge_y_m + arch.crown_sign * (line * 0.93 + above)
        rows.append(np.stack([flat[:, 0], y, flat[:, 1]], 1))
    count = GUM_STATIONS
    row, column = np.meshgrid(np.arange(len(rows) - 1), np.arange(count - 1), indexing="ij")
    a = (row * count + column).ravel()
    faces = np.concatenate([np.stack([a, a + count, a + count + 1], 1), np.stack([a, a + count + 1, a + 1], 1)])
    if arch.crown_sign < 0:
        faces = faces[:, [0, 2, 1]]
    u, v = np.meshgrid(np.linspace(0, 1, count), np.linspace(0, 1, len(rows)))
    v = v if arch.crown_sign > 0 else 1 - v
    return _carried(anatomy, arch, np.concatenate(rows), faces, np.stack([u.ravel(), v.ravel()], 1), Part.MOUTH)


def _carried(anatomy: Anatomy, arch: Arch, position, faces, uv, part: Part) -> Surface:
    """Let the points move as the affine fit to the motion of MakeHuman's dentures."""
    own = np.unique(anatomy.mesh.quads[arch.group])
    system = np.column_stack([anatomy.vertices[own], np.ones(len(own))])
    motion, *_ = np.linalg.lstsq(system, anatomy.expression[own].reshape(len(own), -1), rcond=None)
    expression = (np.column_stack([position, np.ones(len(position))]) @ motion).reshape(len(position), 3, -1)
    expression[np.abs(expression) < 1e-6] = 0
    return Surface(
        position,
        expression,
        np.tile(np.eye(5)[arch.joint], (len(position), 1)),
        uv,
        faces,
        np.full(len(faces), part, np.uint8),
        np.full(len(position), -1),
    )
