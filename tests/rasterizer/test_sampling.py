"""Interpolation and texture look-ups against slow or independent ones."""

import cv2
import numpy as np
import pytest

from avatar.rasterizer import mipmap, ops

from .test_coverage import SIZE, clip_positions


def test_interpolation_follows_the_barycentric_weights_and_their_derivatives():
    pos = clip_positions([(1, 3), (31, 6), (10, 30)], w=[1.0, 4.0, 2.5])
    attr = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    tri = np.array([[0, 1, 2]])
    rast, rast_db = ops.rasterize(pos, tri, (SIZE, SIZE))
    out, out_da = ops.interpolate(attr, rast, tri, rast_db, "all")
    u, v = rast[..., 0:1], rast[..., 1:2]
    drawn = rast[..., 3] > 0
    expected = u * attr[0] + v * attr[1] + (1 - u - v) * attr[2]
    np.testing.assert_allclose(out[drawn], expected[drawn], atol=1e-5)
    assert not out[~drawn].any() and not out_da[~drawn].any()
    along_x = rast_db[..., 0:1] * (attr[0] - attr[2]) + rast_db[..., 2:3] * (attr[1] - attr[2])
    np.testing.assert_allclose(out_da[..., 0::2][drawn], along_x[drawn], atol=1e-5)


def test_interpolation_without_derivatives_has_an_empty_second_result():
    pos = clip_positions([(1, 3), (31, 6), (10, 30)])
    rast, _ = ops.rasterize(pos, [[0, 1, 2]], (SIZE, SIZE))
    out, out_da = ops.interpolate(np.ones((3, 2)), rast, [[0, 1, 2]])
    assert out.shape == (SIZE, SIZE, 2) and out_da.shape == (SIZE, SIZE, 0)


def random_texture(height=32, width=64, channels=3):
    return np.random.default_rng(1).uniform(0, 1, (height, width, channels)).astype(np.float32)


@pytest.mark.parametrize(
    ("boundary", "border"), [("clamp", cv2.BORDER_REPLICATE), ("wrap", cv2.BORDER_WRAP), ("zero", cv2.BORDER_CONSTANT)]
)
def test_bilinear_equals_opencv(boundary, border):
    tex = random_texture()
    uv = np.random.default_rng(2).uniform(-0.6, 1.6, (20, 30, 2)).astype(np.float32)
    # Coordinates on the 1/32 texel grid of OpenCV's interpolation.
    texels = np.round(uv * (64, 32) * 32) / 32 - 0.5
    uv = ((texels + 0.5) / (64, 32)).astype(np.float32)
    expected = cv2.remap(tex, texels.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=border)
    np.testing.assert_allclose(ops.texture(tex, uv, boundary_mode=boundary), expected, atol=2e-5)


def test_nearest_takes_the_texel_that_holds_the_point():
    tex = random_texture()
    rows, columns = np.mgrid[:32, :64]
    uv = np.dstack([(columns + 0.3) / 64, (rows + 0.8) / 32]).astype(np.float32)
    np.testing.assert_array_equal(ops.texture(tex, uv, filter_mode="nearest"), tex)


def test_mip_levels_are_box_averages():
    tex = random_texture(16, 32)
    levels = ops.texture_construct_mip(tex)
    assert [level.shape[:2] for level in levels] == [(8, 16), (4, 8), (2, 4), (1, 2)]
    np.testing.assert_allclose(levels[0], tex.reshape(8, 2, 16, 2, 3).mean(axis=(1, 3)), atol=1e-6)
    assert len(ops.texture_construct_mip(tex, max_mip_level=2)) == 2


@pytest.mark.parametrize("level", [0.0, 1.0, 1.25, 2.75, 9.0])
def test_trilinear_blends_the_two_levels_around(level):
    tex = random_texture(32, 64)
    uv = np.random.default_rng(3).uniform(0, 1, (8, 8, 2)).astype(np.float32)
    pyramid = [tex, *ops.texture_construct_mip(tex)]
    wanted = min(level, len(pyramid) - 1)
    lower, upper = pyramid[int(wanted)], pyramid[min(int(wanted) + 1, len(pyramid) - 1)]
    part = wanted - int(wanted)
    expected = (1 - part) * ops.texture(lower, uv) + part * ops.texture(upper, uv)
    result = ops.texture(tex, uv, mip_level_bias=np.full((8, 8), level))
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize(("footprint_texels", "level"), [((1, 1), 0), ((4, 1), 2), ((2, 8), 3)])
def test_level_follows_the_longer_axis_of_the_footprint(footprint_texels, level):
    tex = random_texture(64, 64)
    uv = np.random.default_rng(4).uniform(0, 1, (8, 8, 2)).astype(np.float32)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    jacobian = np.diag(footprint_texels) @ turn / 64
    uv_da = np.broadcast_to(jacobian.reshape(4), (8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(
        ops.texture(tex, uv, uv_da), ops.texture(tex, uv, mip_level_bias=np.full((8, 8), level)), atol=1e-4
    )


def test_coordinates_that_are_not_finite_read_zero():
    uv = np.array([[[np.nan, 0.5], [np.inf, 0.5], [0.5, 0.5]]], np.float32)
    result = ops.texture(random_texture() + 1, uv)
    assert not result[0, :2].any() and result[0, 2].all()


def test_unused_texels_take_colors_from_around():
    texture = np.zeros((16, 16, 1), np.float32)
    used = np.zeros((16, 16), bool)
    used[2:5, 3:6] = True
    texture[used] = 0.8
    filled = mipmap.fill_unused(texture, used)
    np.testing.assert_allclose(filled, 0.8, atol=1e-5)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"filter_mode": "cubic"}, "filter_mode must be one of"),
        ({"boundary_mode": "mirror"}, "boundary_mode must be one of"),
        ({"filter_mode": "linear-mipmap-linear"}, "needs uv_da or mip_level_bias"),
        ({"uv_da": np.zeros((3, 3, 4))}, "uv_da must have shape"),
    ],
)
def test_bad_input_is_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        ops.texture(random_texture(), np.zeros((4, 4, 2)), **keywords)


def test_derivatives_need_those_of_the_rasterizer():
    with pytest.raises(ValueError, match="need rast_db"):
        ops.interpolate(np.zeros((3, 1)), np.zeros((4, 4, 4)), [[0, 1, 2]], diff_attrs="all")
