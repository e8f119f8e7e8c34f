"""The texture atlas: where each part lies and how skin and mouth are flattened."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.head.parametrize import flattened
from training.head.surface import Surface, boundary_loops

SIZE_PX = 2048

PLACES_PX = {
    "skin": (0, 0, 1200, 1700),
    "hair": (1208, 0, 840, 840),
    "garment": (1208, 848, 840, 440),
    "collar": (1208, 1296, 840, 100),
    "left_eye": (1208, 1404, 300, 300),
    "right_eye": (1516, 1404, 300, 300),
    "upper_teeth": (0, 1712, 760, 84),
    "lower_teeth": (0, 1800, 760, 84),
    "upper_gum": (0, 1892, 376, 76),
    "lower_gum": (384, 1892, 376, 76),
    "mouth": (768, 1712, 330, 330),
    "tongue": (1106, 1712, 330, 330),
    "left_lower_lashes": (1444, 1712, 600, 80),
    "left_upper_lashes": (1444, 1796, 600, 80),
    "right_lower_lashes": (1444, 1880, 600, 80),
    "right_upper_lashes": (1444, 1964, 600, 80),
    "hair_fin": (0, 1972, 760, 46),
}
"""Left, top, width and height of each surface at `SIZE_PX`."""

MARGIN_PX = 3
BEHIND_DENSITY = 0.35
"""Texels per meter behind the ears against the face."""


def placed(surface: Surface, name: str) -> Surface:
    """Move UV from the unit square to the surface's place."""
    left, top, width, height = PLACES_PX[name]
    inner = np.array([width, height]) - 2 * MARGIN_PX
    return replace(surface, uv=(np.array([left, top]) + MARGIN_PX + surface.uv * inner) / SIZE_PX)


def in_place(uv: NDArray, name: str) -> NDArray:
    """Where texture coordinates [N, 2] lie in a surface's own unit square."""
    left, top, width, height = PLACES_PX[name]
    inner = np.array([width, height]) - 2 * MARGIN_PX
    return (uv * SIZE_PX - np.array([left, top]) - MARGIN_PX) / inner


def unrolled_skin(skin: Surface) -> Surface:
    """Cut the skin down the back and flatten it on a rectangle, hairline up."""
    cut = _cut_back(_largest_piece(skin))
    outline = boundary_loops(cut.faces)[0]
    rim, uv = _rectangle(cut.position, outline)
    z = cut.position[:, 2]
    density = BEHIND_DENSITY + (1 - BEHIND_DENSITY) * np.clip((z - 0.0) / 0.06, 0, 1)
    aspect = np.array([PLACES_PX["skin"][2] / PLACES_PX["skin"][3], 1.0])
    flat = flattened(cut.position, cut.faces, rim, uv * aspect, density) / aspect
    return replace(cut, uv=flat * [-1, 1] + [1, 0])


def unrolled_mouth(mouth: Surface) -> Surface:
    """Flatten the mouth's inside on a disc whose rim is the lips."""
    mouth = _largest_piece(mouth)
    outline = max(boundary_loops(mouth.faces), key=lambda loop: mouth.position[loop, 2].mean())
    length = _arc(mouth.position[outline])
    angle = 2 * np.pi * length[:-1] / length[-1]
    uv = 0.5 + 0.5 * np.stack([np.cos(angle), np.sin(angle)], 1)
    return replace(mouth, uv=flattened(mouth.position, mouth.faces, outline, uv, np.ones(len(mouth.position))))


def _arc(points: NDArray) -> NDArray:
    """[n + 1] length along the closed line of n points."""
    step = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    return np.concatenate([[0], np.cumsum(step)])


def _largest_piece(surface: Surface) -> Surface:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = surface.faces[:, [0, 1, 2]].ravel(), surface.faces[:, [1, 2, 0]].ravel()
    count = len(surface.position)
    _, label = connected_components(csr_matrix((np.ones(len(a)), (a, b)), (count, count)), directed=False)
    main = np.bincount(label[surface.faces[:, 0]]).argmax()
    return surface.kept(label[surface.faces[:, 0]] == main)


def _cut_back(skin: Surface) -> Surface:
    """Double the vertices of the middle line behind, so that the neck opens there."""
    middle = np.flatnonzero((np.abs(skin.position[:, 0]) < 3e-4) & (skin.position[:, 2] < 0))
    twin = np.full(len(skin.position), -1)
    twin[middle] = len(skin.position) + np.arange(len(middle))
    center = skin.position[skin.faces].mean(1)
    left = (center[:, 0] > 0) & (center[:, 2] < 0)
    faces = skin.faces.copy()
    faces[left] = np.where(twin[faces[left]] >= 0, twin[faces[left]], faces[left])
    both = np.concatenate([np.arange(len(skin.position)), middle])
    doubled = Surface(
        skin.position[both],
        skin.expression[both],
        skin.weights[both],
        skin.uv[both],
        faces,
        skin.part,
        skin.origin[both],
    )
    return doubled.kept(np.ones(len(faces), bool))


def _rectangle(position: NDArray, outline: NDArray) -> tuple[NDArray, NDArray]:
    """The outline's vertices and their places on the unit square's sides; the four corners are the ends of the cut."""
    points = position[outline]
    behind = np.flatnonzero((np.abs(points[:, 0]) < 3e-4) & (points[:, 2] < 0))
    ring = np.arange(len(outline))
    breaks = [k for k in behind if not (np.isin((k - 1) % len(ring), behind) and np.isin((k + 1) % len(ring), behind))]
    if len(breaks) != 4:
        raise ValueError(
            f"the skin must open along one line behind, got {len(breaks)} ends; check the hairline and neckline"
        )
    sides = [points[breaks[k], 1] for k in range(4)]
    first = next(k for k in range(4) if sides[k] > sides[k - 1])
    corners = [breaks[(first + k) % 4] for k in range(4)]
    order = np.roll(ring, -corners[0])
    length = _arc(points[order])
    stops = [int(np.flatnonzero(order == corner)[0]) for corner in corners] + [len(order)]
    places = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], float)
    uv = np.zeros((len(order), 2))
    for side in range(4):
        a, b = stops[side], stops[side + 1]
        share = (length[a:b] - length[a]) / (length[b] - length[a])
        uv[a:b] = places[side] + share[:, None] * (places[side + 1] - places[side])
    return outline[order], uv
