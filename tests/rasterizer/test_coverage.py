"""Which pixels a triangle takes: against exact arithmetic, without holes and without doubles."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.rasterizer import ops

SIZE = 32


def clip_positions(points_px, size: int = SIZE, z=0.0, w=1.0) -> np.ndarray:
    """Clip-space vertices that project to `points_px` [V, 2], pixels."""
    points_px = np.asarray(points_px, np.float64)
    w = np.broadcast_to(w, len(points_px))
    ndc = np.column_stack([points_px / size * 2 - 1, np.broadcast_to(z, len(points_px))])
    return np.column_stack([ndc * w[:, None], w]).astype(np.float32)


def exact_coverage(points_px, size: int = SIZE) -> np.ndarray:
    """Pixel centers inside a triangle by rational arithmetic and the top-left rule, [size, size] bool."""
    a, b, c = ((Fraction(float(x)), Fraction(float(y))) for x, y in points_px)
    if (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) < 0:
        b, c = c, b
    covered = np.zeros((size, size), bool)
    for row, column in np.ndindex(size, size):
        point = Fraction(2 * column + 1, 2), Fraction(2 * row + 1, 2)
        inside = True
        for start, end in ((a, b), (b, c), (c, a)):
            run, rise = end[0] - start[0], end[1] - start[1]
            edge = run * (point[1] - start[1]) - rise * (point[0] - start[0])
            is_left, is_top = rise < 0, rise == 0 and run > 0
            inside &= edge > 0 or (edge == 0 and (is_left or is_top))
        covered[row, column] = inside
    return covered


TRIANGLES = [
    pytest.param([(2, 2), (30, 2), (2, 30)], id="axis-aligned"),
    pytest.param([(2.5, 2.5), (20.5, 2.5), (2.5, 20.5)], id="corners on pixel centers"),
    pytest.param([(4.5, 1.5), (28.5, 13.5), (4.5, 25.5)], id="edges through pixel centers"),
    pytest.param([(16, -20), (60, 40), (-30, 40)], id="larger than the picture"),
    pytest.param([(3.25, 7.75), (29.125, 9.5), (15.0625, 27.25)], id="general"),
    pytest.param([(3.25, 7.75), (15.0625, 27.25), (29.125, 9.5)], id="general, other winding"),
    pytest.param([(1, 1), (31, 1.25), (1, 1.5)], id="sliver"),
    pytest.param([(8.2, 8.2), (8.4, 8.2), (8.2, 8.4)], id="between pixel centers"),
]


@pytest.mark.parametrize("points", TRIANGLES)
def test_coverage_is_exact(points):
    points = np.round(np.array(points) * 256) / 256
    rast, _ = ops.rasterize(clip_positions(points), [[0, 1, 2]], (SIZE, SIZE))
    np.testing.assert_array_equal(rast[..., 3] > 0, exact_coverage(points))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-1024, 9216), st.integers(-1024, 9216)), min_size=3, max_size=3))
def test_coverage_is_exact_for_any_snapped_triangle(corners):
    points = np.array(corners) / 256
    rast, _ = ops.rasterize(clip_positions(points), [[0, 1, 2]], (SIZE, SIZE))
    np.testing.assert_array_equal(rast[..., 3] > 0, exact_coverage(points))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_triangles_of_a_mesh_leave_no_hole_and_share_no_pixel(seed):
    rng = np.random.default_rng(seed)
    cells = 6
    rows, columns = np.mgrid[: cells + 1, : cells + 1] * (SIZE / cells)
    points = np.stack([columns, rows], -1)
    points[1:-1, 1:-1] += rng.uniform(-1.2, 1.2, (cells - 1, cells - 1, 2))
    if rng.random() < 0.5:
        points = np.floor(points) + 0.5  # Vertices on pixel centers: every tie there is.
        points[0, :, 1], points[:, 0, 0], points[-1, :, 1], points[:, -1, 0] = 0, 0, SIZE, SIZE
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:])
    tri = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    pos = clip_positions(points.reshape(-1, 2))
    times = sum((ops.rasterize(pos, tri[[face]], (SIZE, SIZE))[0][..., 3] > 0).astype(int) for face in range(len(tri)))
    np.testing.assert_array_equal(times, 1)


def test_the_nearer_triangle_is_visible_and_the_earlier_wins_a_tie():
    points = [(2, 2), (30, 2), (2, 30)]
    pos = np.concatenate([clip_positions(points, z=z) for z in (0.2, -0.3, -0.3)])
    rast, _ = ops.rasterize(pos, np.arange(9).reshape(3, 3), (SIZE, SIZE))
    assert set(np.unique(rast[..., 3])) == {0, 2}


def test_layers_peel_off_from_front_to_back():
    depths = [0.2, -0.3, 0.1, -0.3]
    pos = np.concatenate([clip_positions([(2, 2), (30, 2), (2, 30)], z=z) for z in depths])
    tri = np.arange(12).reshape(4, 3)
    order, rast = [], None
    for _ in range(4):
        rast, _ = ops.rasterize(pos, tri, (SIZE, SIZE), front=rast)
        order.append(set(np.unique(rast[..., 3]).astype(int)) - {0})
    # Of two surfaces in one place the later one is never seen.
    assert order == [{2}, {3}, {1}, set()]


def test_channels_are_perspective_correct():
    """Against ray casting: solve for the point on the triangle's plane that a pixel's center sees."""
    points, w = np.array([(1.0, 3.0), (31.0, 6.0), (10.0, 30.0)]), np.array([1.0, 4.0, 2.5])
    z = np.array([-0.5, 0.5, 0.1])
    pos = clip_positions(points, z=z, w=w)
    rast, rast_db = ops.rasterize(pos, [[0, 1, 2]], (SIZE, SIZE))
    rows, columns = np.nonzero(rast[..., 3])
    for row, column in zip(rows, columns, strict=True):

        def weights(x_px, y_px):
            ray = np.array([x_px / SIZE * 2 - 1, y_px / SIZE * 2 - 1, 1.0])
            solution = np.linalg.solve(pos[:, [0, 1, 3]].T.astype(np.float64), ray)
            return solution / solution.sum()

        center = column + 0.5, row + 0.5
        expected = weights(*center)
        np.testing.assert_allclose(rast[row, column, :2], expected[:2], atol=2e-3)
        depth = (expected @ (pos[:, 2])) / (expected @ pos[:, 3])
        np.testing.assert_allclose(rast[row, column, 2], depth, atol=2e-3)
        step = 1e-4
        along_x = (weights(center[0] + step, center[1]) - weights(center[0] - step, center[1])) / (2 * step)
        along_y = (weights(center[0], center[1] + step) - weights(center[0], center[1] - step)) / (2 * step)
        np.testing.assert_allclose(
            rast_db[row, column], [along_x[0], along_y[0], along_x[1], along_y[1]], rtol=0.02, atol=2e-4
        )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), wild=st.sampled_from([0.0, 1e-30, 1.0, 1e9, 1e38, np.inf, -np.inf, np.nan]))
def test_no_position_is_a_crash(seed, wild):
    rng = np.random.default_rng(seed)
    pos = rng.normal(0, 1, (24, 4)).astype(np.float32)
    pos[rng.random(pos.shape) < 0.2] = wild
    pos[rng.random(24) < 0.3] = pos[0]
    tri = rng.integers(0, 24, (40, 3))
    rast, rast_db = ops.rasterize(pos, tri, (24, 40))
    assert np.isfinite(rast).all()
    drawn = rast[..., 3] > 0
    assert (rast[drawn][:, 3] <= 40).all() and (np.abs(rast[drawn][:, 2]) <= 1 + 1e-6).all()
    out, _ = ops.interpolate(pos * 0 + 1 if np.isfinite(pos).all() else np.ones((24, 1)), rast, tri, rast_db, "all")
    ops.antialias(out, rast, pos, tri)


def test_triangles_behind_the_camera_are_left_out():
    pos = clip_positions([(2, 2), (30, 2), (2, 30)])
    pos[1, 3] = -1
    rast, _ = ops.rasterize(pos, [[0, 1, 2]], (SIZE, SIZE))
    assert not rast.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 3)), [[0, 1, 2]], (8, 8)), r"pos must have shape \[any, 4\], got \[3, 3\]"),
        ((np.zeros((3, 4)), [[0, 1, 3]], (8, 8)), "tri must index the 3 vertices"),
        ((np.zeros((3, 4)), [[0, -1, 2]], (8, 8)), "tri must index the 3 vertices"),
        ((np.zeros((3, 4)), [[0, 1, 2]], (0, 8)), "resolution must be"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.rasterize(*arguments)
