"""Points of the head as the camera sees them."""

import math

import numpy as np

from avatar.jit import kernel


@kernel
def _project(points, matrix, size_px, projected):
    """`project` of points [N, 3], written to `projected` [N, 3]; all float32, `matrix` [4, 4]."""
    half = np.float32(0.5) * size_px
    middle = np.float32(0)
    for index in range(points.shape[0]):
        x, y, z = points[index, 0], points[index, 1], points[index, 2]
        distance = matrix[3, 0] * x + matrix[3, 1] * y + matrix[3, 2] * z + matrix[3, 3]
        for row in range(2):
            along = matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] * z + matrix[row, 3]
            projected[index, row] = (along / distance + 1) * half
        projected[index, 2] = distance
        middle += distance / points.shape[0]
    focal = math.sqrt(matrix[0, 0] * matrix[0, 0] + matrix[0, 1] * matrix[0, 1] + matrix[0, 2] * matrix[0, 2])
    for index in range(points.shape[0]):
        projected[index, 2] = (projected[index, 2] - middle) * (focal * half / middle)


def project(points: np.ndarray, matrix: np.ndarray, size_px: int) -> np.ndarray:
    """Where the camera sees points.

    Args:
        points: [N, 3] float32, m.
        matrix: [4, 4] float32, world to clip space, of a square picture; its last row gives the distance.
        size_px: width and height of the picture.

    Returns:
        [N, 3] float32, pixels: x and y from the top left corner, and how far behind the mean of the points each lies at
        the scale that the picture has there (weak perspective; smaller is nearer).
    """
    projected = np.empty((len(points), 3), np.float32)
    _project(points, matrix, np.float32(size_px), projected)
    return projected
