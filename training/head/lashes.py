"""Lashes as strips along the lid margins, shorter than MakeHuman's, with UV from the inner corner and from the root."""

from dataclasses import replace

import numpy as np

from avatar.head import Joint, Part
from training.head.anatomy import Anatomy
from training.head.surface import Surface

LENGTH_SHARE = {"1": 0.45, "2": 0.75}
"""Lower and upper lashes against MakeHuman's."""

ROW_COUNT = 5


def lashes(anatomy: Anatomy) -> dict[str, Surface]:
    """Four strips under their names in the atlas."""
    return {
        f"{side}_{lid}_lashes": _strip(anatomy, f"helper-{side[0]}-eyelashes-{number}", joint, LENGTH_SHARE[number])
        for side, joint in (("left", Joint.LEFT_EYE), ("right", Joint.RIGHT_EYE))
        for lid, number in (("lower", "1"), ("upper", "2"))
    }


def _strip(anatomy: Anatomy, group: str, joint: Joint, share: float) -> Surface:
    surface = anatomy.surface(group, Part.LASHES).kept(np.ones(len(anatomy.mesh.quads[group]), bool))
    grid = _grid(surface.faces, len(surface.position))
    distance = np.linalg.norm(surface.position[grid] - anatomy.joints[joint], axis=2).mean(1)
    if distance[0] > distance[-1]:
        grid = grid[::-1]
    outward = np.abs(surface.position[grid[0], 0])
    if outward[0] > outward[-1]:
        grid = grid[:, ::-1]
    position, expression, uv = surface.position.copy(), surface.expression.copy(), np.zeros((len(surface.position), 2))
    root_position, root_expression = surface.position[grid[0]], surface.expression[grid[0]]
    for row, members in enumerate(grid):
        position[members] = root_position + share * (surface.position[members] - root_position)
        expression[members] = root_expression + share * (surface.expression[members] - root_expression)
        uv[members] = np.stack([np.linspace(0, 1, grid.shape[1]), np.full(grid.shape[1], row / (len(grid) - 1))], 1)
    return replace(surface, position=position, expression=expression, uv=uv)


def _grid(quads: np.ndarray, vertex_count: int) -> np.ndarray:
    """Vertices of a rectangular patch as [ROW_COUNT, n], found by walking from a corner."""
    valence = np.bincount(quads.ravel(), minlength=vertex_count)
    neighbors = {vertex: set() for vertex in range(vertex_count)}
    for quad in quads:
        for a, b in zip(quad, np.roll(quad, -1), strict=True):
            neighbors[a].add(b)
            neighbors[b].add(a)
    start = int(np.flatnonzero(valence == 1)[0])
    for second in sorted(neighbors[start]):
        edge = [start, second]
        while valence[edge[-1]] != 1:
            edge.append(next(v for v in neighbors[edge[-1]] if valence[v] <= 2 and v not in edge))
        if len(edge) == ROW_COUNT:
            break
    columns = [edge]
    used = set(edge)
    while len(used) < vertex_count:
        columns.append([next(v for v in sorted(neighbors[vertex]) if v not in used) for vertex in columns[-1]])
        used |= set(columns[-1])
    return np.array(columns).T
