"""Antialiasing against supersampling, and the topology that it rests on."""

import numpy as np
import pytest

from avatar.rasterizer import ops
from avatar.rasterizer.silhouette import edge_neighbors, same_points

from .synthetic_avatar import _ellipsoid
from .test_coverage import clip_positions

SIZE = 64


def coverage_error(pos, tri, color, depth_tolerance=0.01, size=SIZE, factor=16):
    """Mean absolute error on the pixels of the rim, without and with antialiasing, against `factor`² samples a
    pixel."""
    rast, _ = ops.rasterize(pos, tri, (size, size))
    plain = (rast[..., 3:] > 0) * np.float32(1) if color is None else ops.interpolate(color, rast, tri)[0]
    smooth = ops.antialias(plain, rast, pos, tri, depth_tolerance=depth_tolerance)
    fine, _ = ops.rasterize(pos, tri, (size * factor, size * factor))
    fine = (fine[..., 3:] > 0) * np.float32(1) if color is None else ops.interpolate(color, fine, tri)[0]
    truth = fine.reshape(size, factor, size, factor, -1).mean(axis=(1, 3))
    rim = np.abs(truth - plain).max(axis=2) > 0.02
    return (
        np.abs(plain - truth)[rim].mean(),
        np.abs(smooth - truth)[rim].mean(),
        np.abs(smooth - truth)[~rim].max(),
        rim.sum(),
    )


@pytest.mark.parametrize("angle_deg", [0, 7, 20, 45, 63, 88])
def test_a_rectangles_rim_is_close_to_supersampling(angle_deg):
    angle = np.deg2rad(angle_deg)
    corners = np.array([(-19.3, -12.2), (19.1, -12.4), (19.4, 12.3), (-19.2, 12.1)])
    turned = corners @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]] + SIZE / 2
    plain, smooth, inside, rim = coverage_error(clip_positions(turned, SIZE), np.array([[0, 1, 2], [0, 2, 3]]), None)
    assert rim > 50
    assert smooth < 0.3 * plain
    assert inside < 0.3


def test_the_rim_of_a_fine_mesh_is_close_to_supersampling():
    """On a finely meshed ball the triangles at the rim are slivers, and many of them own no pixel."""
    vertices, _, tri = _ellipsoid((0, 0, 0), np.full(3, 0.7), 60, 120, (0, 0))
    vertices[:, 2] *= 0.5
    pos = np.column_stack([vertices, np.ones(len(vertices))]).astype(np.float32)
    tri = same_points(vertices)[tri]
    plain, smooth, _, rim = coverage_error(pos, tri, None, depth_tolerance=0.2)
    assert rim > 100
    assert smooth < 0.25 * plain


def test_a_nearer_surface_is_smoothed_against_the_one_behind():
    front = clip_positions([(10, 8), (50, 20), (20, 55)], SIZE, z=-0.5)
    back = clip_positions([(0, 0), (64, 0), (64, 64), (0, 64)], SIZE, z=0.5)
    pos = np.concatenate([front, back])
    tri = np.array([[0, 1, 2], [3, 4, 5], [3, 5, 6]])
    color = np.array([[1.0]] * 3 + [[0.0]] * 4, np.float32)
    plain, smooth, _, rim = coverage_error(pos, tri, color)
    assert rim > 50 and smooth < 0.25 * plain


def test_an_edge_behind_another_surface_changes_nothing():
    hidden = clip_positions([(20, 20), (40, 22), (30, 40)], SIZE, z=0.5)
    front = clip_positions([(0, 0), (64, 0), (64, 64), (0, 64)], SIZE, z=-0.5)
    pos = np.concatenate([hidden, front])
    tri = np.array([[0, 1, 2], [3, 4, 5], [3, 5, 6]])
    rast, _ = ops.rasterize(pos, tri, (SIZE, SIZE))
    color = np.random.default_rng(0).uniform(size=(SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_array_equal(ops.antialias(color, rast, pos, tri), color)


def test_inner_edges_of_a_surface_are_not_blended():
    rows, columns = np.mgrid[:5, :5] * 16.0
    index = np.arange(25).reshape(5, 5)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    tri = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    pos = clip_positions(np.stack([columns, rows], -1).reshape(-1, 2), SIZE)
    rast, _ = ops.rasterize(pos, tri, (SIZE, SIZE))
    color = np.random.default_rng(0).uniform(size=(SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_array_equal(ops.antialias(color, rast, pos, tri), color)


def test_neighbors_share_an_edge_and_borders_have_none():
    tri = np.array([[0, 1, 2], [2, 1, 3]])
    np.testing.assert_array_equal(edge_neighbors(tri), [[1, -1, -1], [-1, -1, 0]])


def test_seams_are_joined_by_position_and_fans_have_no_neighbor():
    split = np.array([[0, 1, 2], [4, 3, 5]])
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], float)
    np.testing.assert_array_equal(edge_neighbors(split), -1)
    assert edge_neighbors(split, same_points(positions))[0, 0] == 1
    fan = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    np.testing.assert_array_equal(edge_neighbors(fan), -1)
