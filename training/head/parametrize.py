"""Flattens a disc-like surface without folds and with even texel density.

Source: Floater, "Mean value coordinates", 2003; Yoshizawa, Belyaev and Seidel, "A fast and simple stretch-minimizing
mesh parameterization", 2004.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from training.head.surface import boundary_loops

ROUNDS = 5
EXPONENT = 0.7
LARGEST_STEP = 2.0
"""Damping of the stretch update."""


def flattened(
    position: NDArray[np.float64],
    faces: NDArray[np.int64],
    rim: NDArray[np.int64],
    rim_uv: NDArray[np.float64],
    density: NDArray[np.float64],
) -> NDArray[np.float64]:
    """UV [V, 2] of a surface whose rim is fixed on a convex outline.

    Args:
        position: [V, 3].
        faces: [F, 3].
        rim: [n] vertices of the outer boundary; other boundaries stay free.
        rim_uv: [n, 2] their places.
        density: [V] wanted texels per meter, relative.
    """
    vertex_count = len(position)
    position, faces, density = _filled(position, faces, rim, density)
    weights = _mean_value_weights(position, faces)
    best, least = None, np.inf
    for _ in range(ROUNDS):
        uv = _solve(weights, rim, rim_uv)
        stretch, share = _vertex_stretch(position, faces, uv, density)
        unevenness = float(np.sqrt(np.average(np.log(stretch) ** 2, weights=share)))

        if unevenness < least:
            best, least = uv, unevenness
        weights = weights @ sparse.diags(1 / np.clip(stretch, 1 / LARGEST_STEP, LARGEST_STEP) ** EXPONENT)
    return best[:vertex_count]


def _filled(position: NDArray, faces: NDArray, rim: NDArray, density: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Close inner holes with a fan about their middle, so that they keep their size."""
    for loop in boundary_loops(faces):
        if np.isin(loop, rim).all():
            continue
        middle = len(position)
        position = np.concatenate([position, position[loop].mean(0, keepdims=True)])
        density = np.append(density, 0.5 * density[loop].mean())
        fan = np.stack([np.roll(loop, -1), loop, np.full(len(loop), middle)], 1)
        faces = np.concatenate([faces, fan])
    return position, faces, density


def _mean_value_weights(position: NDArray, faces: NDArray) -> sparse.csr_matrix:
    rows, columns, values = [], [], []
    for corner in range(3):
        i, j, k = faces[:, corner], faces[:, (corner + 1) % 3], faces[:, (corner + 2) % 3]
        to_j, to_k = position[j] - position[i], position[k] - position[i]
        long_j, long_k = np.linalg.norm(to_j, axis=1), np.linalg.norm(to_k, axis=1)
        cosine = (to_j * to_k).sum(1) / np.maximum(long_j * long_k, 1e-18)
        half_tangent = np.tan(np.arccos(np.clip(cosine, -1, 1)) / 2)
        rows += [i, i]
        columns += [j, k]
        values += [half_tangent / np.maximum(long_j, 1e-9), half_tangent / np.maximum(long_k, 1e-9)]
    shape = (len(position), len(position))
    return sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape)


def _solve(weights: sparse.csr_matrix, rim: NDArray, rim_uv: NDArray) -> NDArray:
    count = weights.shape[0]
    inner = np.setdiff1d(np.arange(count), rim)
    normalized = sparse.diags(1 / np.asarray(weights.sum(1)).ravel()) @ weights
    system = (sparse.identity(count) - normalized).tocsr()
    uv = np.zeros((count, 2))
    uv[rim] = rim_uv
    right = -system[inner][:, rim] @ rim_uv
    uv[inner] = spsolve(system[inner][:, inner].tocsc(), right)
    return uv


def _vertex_stretch(position: NDArray, faces: NDArray, uv: NDArray, density: NDArray) -> tuple[NDArray, NDArray]:
    """L2 stretch [V] from UV to the surface times the wanted density, 1 on geometric average; surface share [V]."""
    p, q = position[faces], uv[faces]
    area = np.maximum(np.abs(np.cross(q[:, 1] - q[:, 0], q[:, 2] - q[:, 0])) / 2, 1e-14)
    s, t = q[:, :, 0], q[:, :, 1]
    along_s = (p[:, 0] * (t[:, 1] - t[:, 2])[:, None] + p[:, 1] * (t[:, 2] - t[:, 0])[:, None]
               + p[:, 2] * (t[:, 0] - t[:, 1])[:, None]) / (2 * area[:, None])  # fmt: skip
    along_t = (p[:, 0] * (s[:, 2] - s[:, 1])[:, None] + p[:, 1] * (s[:, 0] - s[:, 2])[:, None]
               + p[:, 2] * (s[:, 1] - s[:, 0])[:, None]) / (2 * area[:, None])  # fmt: skip
    square = ((along_s**2).sum(1) + (along_t**2).sum(1)) / 2 * density[faces].mean(1) ** 2
    surface = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1)
    total, share = np.zeros(len(position)), np.zeros(len(position))
    for corner in range(3):
        np.add.at(total, faces[:, corner], surface * np.sqrt(square))
        np.add.at(share, faces[:, corner], surface)
    stretch = total / np.maximum(share, 1e-18)
    return stretch / np.exp(np.average(np.log(np.maximum(stretch, 1e-12)), weights=share)), share
