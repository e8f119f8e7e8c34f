"""Which faces a portrait can show: the others stay coarse, or go when they lie inside the head."""

import numba
import numpy as np
from numpy.typing import NDArray

from avatar.blendshapes import ARKIT, INDEX
from training.head.surface import Surface, joined

PORTRAIT_VIEWS_DEG = [(yaw, pitch) for yaw in (-50, -25, 0, 25, 50) for pitch in (-25, 0, 25)]
EXPRESSION_VIEWS_DEG = [(-30, 0), (0, 0), (30, 0), (0, -20), (0, 20)]
OUTSIDE_VIEWS_DEG = [(yaw, pitch) for yaw in range(0, 360, 30) for pitch in (-50, 0, 50)]
COMBINATIONS = (
    ("jawOpen", "mouthFunnel"),
    ("jawOpen", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"),
    ("jawOpen", "mouthStretchLeft", "mouthStretchRight"),
    ("jawOpen", "tongueOut"),
)
SIZE_PX = 900


@numba.njit(cache=True)
def _mark(screen, faces, identity, depth):
    size = depth.shape[0]
    for face in range(len(faces)):
        a, b, c = faces[face]
        ax, ay, bx, by, cx, cy = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        for y in range(max(0, int(min(ay, by, cy))), min(size - 1, int(max(ay, by, cy))) + 1):
            for x in range(max(0, int(min(ax, bx, cx))), min(size - 1, int(max(ax, bx, cx))) + 1):
                u = ((cx - bx) * (y + 0.5 - by) - (cy - by) * (x + 0.5 - bx)) / area
                v = ((ax - cx) * (y + 0.5 - cy) - (ay - cy) * (x + 0.5 - cx)) / area
                if u < 0 or v < 0 or u + v > 1:
                    continue
                z = u * screen[a, 2] + v * screen[b, 2] + (1 - u - v) * screen[c, 2]
                if z > depth[y, x]:
                    depth[y, x] = z
                    identity[y, x] = face


def _seen(position, faces, yaw_deg, pitch_deg) -> NDArray[np.bool_]:
    """[F] triangles that an orthographic camera at these angles sees."""
    yaw, pitch = np.deg2rad([yaw_deg, pitch_deg])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    view = position @ (nod @ turn).T
    low, high = view.min(0), view.max(0)
    screen = view.copy()
    screen[:, :2] = (view[:, :2] - low[:2]) / (high[:2] - low[:2]).max() * SIZE_PX
    identity = np.full((SIZE_PX, SIZE_PX), -1)
    _mark(screen, faces, identity, np.full((SIZE_PX, SIZE_PX), -np.inf))
    result = np.zeros(len(faces), bool)
    result[identity[identity >= 0]] = True
    return result


def _widened(quads: NDArray, mask: NDArray) -> NDArray[np.bool_]:
    """Faces that share a vertex with a chosen one."""
    touched = np.zeros(quads.max() + 1, bool)
    touched[quads[mask].ravel()] = True
    return touched[quads].any(1)


def visible_faces(body: Surface, occluders: list[Surface]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Faces of a quad surface that portraits show in any expression, and faces seen from anywhere around the head.

    Args:
        body: the surface in question.
        occluders: what else may hide it, for example the eyeballs.

    Returns:
        Two masks [F].
    """
    whole = joined([body, *occluders])
    quad_count = len(body.faces)
    near = np.linalg.norm(whole.position, axis=1) < 0.16

    def seen(names: tuple[str, ...], views: list, close: bool) -> NDArray[np.bool_]:
        posed = whole.position + whole.expression[:, :, [INDEX[name] for name in names]].sum(2)
        faces = whole.faces[near[whole.faces].all(1)] if close else whole.faces
        marks = np.zeros(len(faces), bool)
        for yaw_deg, pitch_deg in views:
            marks |= _seen(posed, faces, yaw_deg, pitch_deg)
        result = np.zeros(len(whole.faces), bool)
        result[near[whole.faces].all(1) if close else slice(None)] = marks
        return result[:quad_count] | result[quad_count : 2 * quad_count]

    portrait = seen((), PORTRAIT_VIEWS_DEG, False) | seen((), PORTRAIT_VIEWS_DEG, True)
    for names in [(name,) for name in ARKIT] + list(COMBINATIONS):
        portrait |= seen(names, EXPRESSION_VIEWS_DEG, True)
    outside = seen((), OUTSIDE_VIEWS_DEG, False) | portrait
    return _widened(body.faces, portrait), _widened(body.faces, outside)
