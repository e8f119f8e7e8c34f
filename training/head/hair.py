"""The hair as a shell over the scalp: parted at the side, combed back, tied into a low bun."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from avatar.blendshapes import ARKIT
from avatar.head import Joint, Part
from training.head.source import data_folder
from training.head.surface import Surface, boundary_loops, clipped, relaxed, vertex_normals

CENTER = np.array([0.0, 0.055, 0.005])
"""Middle of the skull, m: hairline azimuths and the hair's texture are taken about it."""

HAIRLINE = np.array(
    [
        (0, 0.099), (12, 0.101), (24, 0.099), (34, 0.092), (43, 0.079), (50, 0.066), (55, 0.056), (60, 0.048),
        (66, 0.039), (73, 0.030), (77, 0.026), (81, 0.036), (90, 0.042), (100, 0.038), (106, 0.012),
        (112, -0.012), (125, -0.030), (150, -0.046), (180, -0.050),
    ]
)  # fmt: skip
"""Height in m of the hairline over the azimuth in degrees from the front."""

EDGE_M = 0.006
"""The shell reaches this far beyond the hairline; its texture fades out there."""

HIDDEN_M = 0.022
"""Scalp further inside the hairline than this is not drawn."""

VOLUME_M = 0.016
LIFT_M = 0.0008
"""Distance of the shell's rim from the skin."""

RISE_M = 0.008
"""The shell reaches two thirds of its thickness this far inside the hairline."""

FILLED_SHARE = 0.96
"""Share of the strands' points that lie under the fitted shell."""

PARTING_X_M = 0.024
PARTING_WIDTH_M = 0.020
PARTING_END_Z_M = -0.03

BUN_CENTER = np.array([0.0, -0.012, -0.118])
BUN_RADII = np.array([0.044, 0.038, 0.034])


@dataclass(frozen=True, eq=False)
class Scalp:
    """Where hair grows, for strands.

    Attributes:
        vertices: [N, 3], m, rest pose.
        faces: [F, 3].
        normals: [N, 3].
        inside_m: [N] height above the hairline, negative on the skin.
        shell: [N, 3], the hair's outer surface over each vertex.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    normals: NDArray[np.float64]
    inside_m: NDArray[np.float64]
    shell: NDArray[np.float64]


def hairline_field(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height in m of each point [N, 3] above the hairline at its azimuth."""
    offset = position - CENTER
    azimuth = np.rad2deg(np.arctan2(np.abs(offset[:, 0]), offset[:, 2]))
    return position[:, 1] - np.interp(azimuth, *HAIRLINE.T)


def ears(skin: Surface) -> NDArray[np.bool_]:
    """[V] vertices of the outer ears, from MakeHuman's mask."""
    mask = cv2.imread(str(data_folder() / "mpfb2/textures/mpfb_ears.jpg"), cv2.IMREAD_GRAYSCALE)
    column, row = np.clip((skin.uv * mask.shape[0]).astype(int), 0, mask.shape[0] - 1).T
    return mask[row, column] > 128


def grow(skin: Surface) -> tuple[Surface, Scalp]:
    """The shell over the scalp of the refined `skin`, which still has MakeHuman's UV."""
    ear = ears(skin)
    covered = skin.kept(~ear[skin.faces].any(1) & (hairline_field(skin.position)[skin.faces].max(1) > -2 * EDGE_M))
    shell = clipped(covered, hairline_field(covered.position) + EDGE_M)
    rim = shell.position[np.concatenate(boundary_loops(shell.faces))]
    from_rim = cKDTree(rim).query(shell.position)[0] - EDGE_M
    inside = relaxed(shell.faces, np.minimum(hairline_field(shell.position), from_rim), 6)
    normal = relaxed(shell.faces, vertex_normals(shell.position, shell.faces), 8)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    thickness = LIFT_M + VOLUME_M * (1 - np.exp(-np.clip(inside, 0, None) / RISE_M)) * _parting(shell.position)
    outer = shell.position + normal * relaxed(shell.faces, thickness, 2)[:, None]
    outer = relaxed(shell.faces, outer, 3, inside > 0.002)
    hair = replace(shell, position=outer, part=np.full(len(shell.faces), Part.HAIR, np.uint8), uv=_azimuthal(outer))
    scalp = Scalp(shell.position, shell.faces, normal, inside, outer)
    return replace(hair, origin=np.full(len(outer), -1)), scalp


def fitted(shell: Surface, scalp: Scalp, strands: NDArray[np.float64]) -> Surface:
    """Lower the shell to what strands grown over the scalp really fill.

    Args:
        shell: as `grow` returns it, vertex by vertex over `scalp`.
        scalp: where the strands grew.
        strands: [S, K, 3] points, m.
    """
    points = strands.reshape(-1, 3)
    _, near = cKDTree((scalp.vertices + scalp.shell) / 2).query(points)
    height = ((points - scalp.vertices[near]) * scalp.normals[near]).sum(1)
    order = np.lexsort((height, near))
    last = np.cumsum(np.bincount(near, minlength=len(scalp.vertices)))
    first = np.concatenate([[0], last[:-1]])
    picked = np.maximum(first + np.ceil(FILLED_SHARE * (last - first)).astype(int) - 1, 0)
    measured = np.where(last > first, height[order][np.minimum(picked, len(order) - 1)], 0)
    design = np.linalg.norm(scalp.shell - scalp.vertices, axis=1)
    thickness = relaxed(scalp.faces, np.clip(measured, LIFT_M, design), 2)
    direction = (scalp.shell - scalp.vertices) / np.maximum(design, 1e-9)[:, None]
    return replace(shell, position=scalp.vertices + direction * thickness[:, None])


def _parting(position: NDArray) -> NDArray[np.float64]:
    """Thickness factor [N]: a groove from the hairline to the crown."""
    along = np.clip((position[:, 2] - PARTING_END_Z_M) / 0.02, 0, 1)
    top = np.clip((position[:, 1] - 0.08) / 0.02, 0, 1)
    groove = np.exp(-(((position[:, 0] - PARTING_X_M) / PARTING_WIDTH_M) ** 2))
    return 1 - 0.5 * groove * along * top


def _azimuthal(position: NDArray) -> NDArray[np.float64]:
    """UV in the unit square: distance from the crown is the polar angle, the face is at the bottom."""
    offset = position - CENTER
    polar = np.arctan2(np.hypot(offset[:, 0], offset[:, 2]), offset[:, 1])
    around = np.arctan2(offset[:, 0], offset[:, 2])
    radius = polar / np.deg2rad(160.0)
    return 0.5 + 0.5 * radius[:, None] * np.stack([np.sin(around), np.cos(around)], 1)


def bun(ring_count: int = 14, segment_count: int = 24) -> Surface:
    """An ellipsoid at the nape."""
    polar, around = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, ring_count), np.arange(segment_count + 1), indexing="ij"
    )
    around = around * 2 * np.pi / segment_count
    direction = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), -np.cos(polar)], 2).reshape(
        -1, 3
    )
    faces = strip_faces(ring_count, segment_count + 1)
    count = len(direction)
    return Surface(
        BUN_CENTER + BUN_RADII * direction,
        np.zeros((count, 3, len(ARKIT))),
        np.tile(np.eye(5)[Joint.NECK], (count, 1)),
        0.5 + 0.5 * direction[:, :2] * [1, -1],
        faces,
        np.full(len(faces), Part.HAIR, np.uint8),
        np.full(count, -1),
    )


def strip_faces(row_count: int, column_count: int) -> NDArray[np.int64]:
    """Triangles of a grid of vertices, row after row."""
    row, column = np.meshgrid(np.arange(row_count - 1), np.arange(column_count - 1), indexing="ij")
    a = (row * column_count + column).ravel()
    b, c = a + 1, a + column_count
    return np.concatenate([np.stack([a, b, c + 1], 1), np.stack([a, c + 1, c], 1)])
