"""Parallel rays along −z against triangles."""

import numpy as np

SAMPLES = 160


def front_depth(vertices, faces, across, upward):
    """Largest z [SAMPLES, SAMPLES] that the triangles reach over a grid of x and y, −inf where there is none."""
    x, y = np.linspace(*across, SAMPLES), np.linspace(*upward, SAMPLES)
    depth = np.full((SAMPLES, SAMPLES), -np.inf)
    corners = vertices[faces]
    inside = ((corners[:, :, 0].max(1) > x[0]) & (corners[:, :, 0].min(1) < x[-1])
              & (corners[:, :, 1].max(1) > y[0]) & (corners[:, :, 1].min(1) < y[-1]))  # fmt: skip
    for a, b, c in corners[inside]:
        columns = slice(*np.searchsorted(x, [min(a[0], b[0], c[0]), max(a[0], b[0], c[0])]))
        rows = slice(*np.searchsorted(y, [min(a[1], b[1], c[1]), max(a[1], b[1], c[1])]))
        px, py = np.meshgrid(x[columns], y[rows])
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-14 or not px.size:
            continue
        v = ((px - a[0]) * (c[1] - a[1]) - (py - a[1]) * (c[0] - a[0])) / area
        w = ((b[0] - a[0]) * (py - a[1]) - (b[1] - a[1]) * (px - a[0])) / area
        z = np.where((v >= 0) & (w >= 0) & (v + w <= 1), a[2] + v * (b[2] - a[2]) + w * (c[2] - a[2]), -np.inf)
        depth[rows, columns] = np.maximum(depth[rows, columns], z)
    return depth
