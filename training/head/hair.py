"""The hair as a shell over the scalp inside a hairline, and over the skin where the hair hangs down."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from avatar.head import Part
from training.head.source import data_folder
from training.head.surface import Surface, boundary_loops, clipped, relaxed, vertex_normals

CENTER = np.array([0.0, 0.055, 0.005])
"""Middle of the skull, m: hairline azimuths and the hair's texture are taken about it."""

EDGE_M = 0.006
"""The shell reaches this far beyond the hairline; its texture fades out there."""

HIDDEN_M = 0.022
"""Scalp further inside the hairline than this is not drawn."""

LIFT_M = 0.0008
"""Distance of the shell's rim from the skin."""

RISE_M = 0.008
"""The shell reaches two thirds of its thickness this far inside its edge."""

FILLED_SHARE = 0.96
"""Share of the strands' points that lie under the fitted shell."""


@dataclass(frozen=True)
class HairCut:
    """The hair's outline and volume.

    Attributes:
        hairline: pairs of azimuth from the front, degrees, and height, m: hair is rooted above; alike on both sides.
        drape: pairs of signed azimuth, positive on the subject's left, and height, m: hair hangs down to here. Where
            there is no pair the hairline holds.
        top_m, side_m, nape_m: thickness on the crown, at the temples and at the nape.
        parting_x_m: where the parting lies, positive on the subject's left.
        groove: share of the thickness that is missing at the parting.
    """

    hairline: tuple[tuple[float, float], ...] = (
        (0, 0.090), (12, 0.092), (24, 0.091), (34, 0.086), (43, 0.076), (50, 0.064), (55, 0.055), (60, 0.047),
        (66, 0.036), (71, 0.020), (76, 0.010), (79, 0.014), (82, 0.034), (90, 0.042), (100, 0.038), (106, 0.012),
        (112, -0.012), (125, -0.030), (150, -0.046), (180, -0.050),
    )  # fmt: skip
    drape: tuple[tuple[float, float], ...] = ()
    top_m: float = 0.020
    side_m: float = 0.010
    nape_m: float = 0.006
    parting_x_m: float = 0.026
    groove: float = 0.2

    def above_hairline_m(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of each point [N, 3] above the hairline at its azimuth, negative on the skin."""
        azimuth, height = np.array(self.hairline).T
        return position[:, 1] - np.interp(np.abs(azimuths_deg(position)), azimuth, height)

    def above_drape_m(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of each point [N, 3] above the lower edge of the hair, hanging hair included."""
        inside = self.above_hairline_m(position)
        if not self.drape:
            return inside
        azimuth, height = np.array(self.drape).T
        hanging = position[:, 1] - np.interp(azimuths_deg(position), azimuth, height, left=np.inf, right=np.inf)
        return np.maximum(inside, hanging)

    def thickness_m(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Thickness [N] far from every edge."""
        x, y, z = position.T
        up = _step(y, 0.01, 0.115)
        low = np.where(z < 0, self.side_m + (self.nape_m - self.side_m) * _step(-y, -0.04, 0.03), self.side_m)
        along, top = np.clip((z + 0.03) / 0.02, 0, 1), np.clip((y - 0.08) / 0.02, 0, 1)
        parting = np.exp(-(((x - self.parting_x_m) / 0.016) ** 2)) * along * top
        return (low + (self.top_m - low) * up) * (1 - self.groove * parting)


def azimuths_deg(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle [N] of points [N, 3] about the skull's middle, 0 at the front, positive on the subject's left."""
    offset = position - CENTER
    return np.rad2deg(np.arctan2(offset[:, 0], offset[:, 2]))


def _step(value: NDArray, start: float, end: float) -> NDArray[np.float64]:
    share = np.clip((value - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


@dataclass(frozen=True, eq=False)
class Scalp:
    """Where hair grows, for strands.

    Attributes:
        vertices: [N, 3], m, rest pose.
        faces: [F, 3].
        normals: [N, 3].
        inside_m: [N] height above the hairline, negative on the skin.
        drape_m: [N] height above the lower edge of the hair, which may hang over skin.
        shell: [N, 3], the hair's outer surface over each vertex.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    normals: NDArray[np.float64]
    inside_m: NDArray[np.float64]
    drape_m: NDArray[np.float64]
    shell: NDArray[np.float64]


def ears(skin: Surface) -> NDArray[np.bool_]:
    """[V] vertices of the outer ears, from MakeHuman's mask."""
    mask = cv2.imread(str(data_folder() / "mpfb2/textures/mpfb_ears.jpg"), cv2.IMREAD_GRAYSCALE)
    column, row = np.clip((skin.uv * mask.shape[0]).astype(int), 0, mask.shape[0] - 1).T
    return mask[row, column] > 128


def grow(skin: Surface, cut: HairCut) -> tuple[Surface, Scalp]:
    """The shell over the scalp of the refined `skin`, which still has MakeHuman's UV."""
    ear = ears(skin)
    covered = skin.kept(~ear[skin.faces].any(1) & (cut.above_drape_m(skin.position)[skin.faces].max(1) > -2 * EDGE_M))
    shell = clipped(covered, cut.above_drape_m(covered.position) + EDGE_M)
    rim = shell.position[np.concatenate(boundary_loops(shell.faces))]
    from_rim = cKDTree(rim).query(shell.position)[0] - EDGE_M
    drape = relaxed(shell.faces, np.minimum(cut.above_drape_m(shell.position), from_rim), 6)
    inside = np.minimum(relaxed(shell.faces, cut.above_hairline_m(shell.position), 2), drape)
    normal = relaxed(shell.faces, vertex_normals(shell.position, shell.faces), 8)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    thickness = LIFT_M + cut.thickness_m(shell.position) * (1 - np.exp(-np.clip(drape, 0, None) / RISE_M))
    outer = shell.position + normal * relaxed(shell.faces, thickness, 2)[:, None]
    outer = relaxed(shell.faces, outer, 2, drape > 0.002)
    hair = replace(shell, position=outer, part=np.full(len(shell.faces), Part.HAIR, np.uint8), uv=_azimuthal(outer))
    scalp = Scalp(shell.position, shell.faces, normal, inside, drape, outer)
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


def _azimuthal(position: NDArray) -> NDArray[np.float64]:
    """UV in the unit square: distance from the crown is the polar angle, the face is at the bottom."""
    offset = position - CENTER
    polar = np.arctan2(np.hypot(offset[:, 0], offset[:, 2]), offset[:, 1])
    around = np.arctan2(offset[:, 0], offset[:, 2])
    radius = polar / np.deg2rad(160.0)
    return 0.5 + 0.5 * radius[:, None] * np.stack([np.sin(around), np.cos(around)], 1)


def strip_faces(row_count: int, column_count: int) -> NDArray[np.int64]:
    """Triangles of a grid of vertices, row after row."""
    row, column = np.meshgrid(np.arange(row_count - 1), np.arange(column_count - 1), indexing="ij")
    a = (row * column_count + column).ravel()
    b, c = a + 1, a + column_count
    return np.concatenate([np.stack([a, b, c + 1], 1), np.stack([a, c + 1, c], 1)])
