"""Baking pictures back into the atlas, where the truth is known."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.head import Head, Part
from avatar.rasterizer import ops
from avatar.rasterizer.camera import Camera
from training.head.bake import Sample, Texels, averaged, filled, sample_view, without_highlights
from training.head.texture import BAND_M, RIM_DENSE_M, RIM_THIN_M, THIN, bake, rim_distances_m, rim_shares
from training.head.views import HAIRLINE, View, orbit

HEAD_FILE = Path(__file__).parents[2] / "avatars" / "default" / "head.npz"


def color_of(points):
    """A smooth color [N, 3] in 0..255 for each point in space."""
    return 127 + 100 * np.sin(points * [40, 50, 30] + [0, 1, 2])


def picture_of(head, view):
    """What a camera sees when every surface point of the resting head has the color of its place."""
    vertices = head.pose(view.blendshapes(), np.zeros(6))
    width, height = view.size
    clip = np.column_stack([vertices, np.ones(len(vertices))]).astype(np.float32) @ view.camera.matrix(width / height).T
    faces = np.ascontiguousarray(head.faces[~np.isin(head.part, (Part.HAIR, Part.LASHES))])
    rast, _ = ops.rasterize(clip, faces, (height, width), grad_db=False)
    face = rast[..., 3].astype(int) - 1
    u, v = rast[..., 0], rast[..., 1]
    place = np.einsum("hwk,hwkd->hwd", np.stack([u, v, 1 - u - v], -1), head.template[faces[face]])
    image = np.zeros((height, width, 4), np.uint8)
    image[..., :3], image[..., 3] = color_of(place), 255
    image[face < 0] = 0
    return image


@pytest.fixture(scope="module")
def head():
    return Head.load(HEAD_FILE)


@pytest.mark.parametrize("camera", [orbit(0, 0, 13), orbit(40, 0, 13), orbit(0, -25, 13)])
def test_visible_texels_get_the_color_of_their_place(head, camera):
    view = View("test", (Part.SKIN,), camera, size=(640, 640))
    texels = Texels.of(head, 256)
    texels = texels.only(head.part[texels.face] == Part.SKIN)
    sample = sample_view(head, texels, view, picture_of(head, view))
    place = np.einsum("nk,nkd->nd", texels.weight, head.template[head.faces[texels.face]])
    seen = sample.weight > 0
    assert 0.15 < seen.mean() < 0.8
    assert np.percentile(np.abs(sample.color[seen, :3] - color_of(place)[seen]), 99) < 8


def test_texels_behind_the_head_are_unseen(head):
    view = View("test", (Part.SKIN,), Camera(13, (0, 0.015, 1.2), (0, 0.015, 0.02)), size=(640, 640))
    texels = Texels.of(head, 256)
    texels = texels.only(head.part[texels.face] == Part.SKIN)
    place = np.einsum("nk,nkd->nd", texels.weight, head.template[head.faces[texels.face]])
    sample = sample_view(head, texels, view, picture_of(head, view))
    behind = place[:, 2] < -0.035  # the neck is widest, as the camera sees it, at -0.033
    assert behind.sum() > 500
    assert (sample.weight[behind] == 0).all()


def test_covered_pixels_do_not_count(head):
    view = View("test", (Part.SKIN,), orbit(0, 0, 13), size=(640, 640))
    texels = Texels.of(head, 128)
    texels = texels.only(head.part[texels.face] == Part.SKIN)
    cover = np.full((640, 640), 255, np.uint8)
    assert sample_view(head, texels, view, picture_of(head, view), cover).weight.max() == 0


def test_parts_that_are_not_baked_stay_as_they_are(head, tmp_path):
    view = View("front", (Part.SKIN,), orbit(0, 0, 13), size=(640, 640))
    cv2.imwrite(str(tmp_path / "front.png"), cv2.cvtColor(picture_of(head, view), cv2.COLOR_RGBA2BGRA))
    before = np.random.default_rng(0).integers(0, 255, (256, 256, 4), np.uint8)
    after = bake(head, [view], tmp_path, before, {Part.SKIN}, np.zeros((len(head.template), 2)))
    texels = Texels.of(head, 256)
    other, skin = (texels.only(mask) for mask in ((head.part[texels.face] == p) for p in (Part.HAIR, Part.SKIN)))
    np.testing.assert_array_equal(after[other.row, other.column], before[other.row, other.column])
    assert (after[skin.row, skin.column] != before[skin.row, skin.column]).any(1).mean() > 0.95


def test_the_hair_near_its_edge_shows_the_skin_between_strands(head, tmp_path):
    front = orbit(0, 0, 13)
    views = [View("hair", (Part.HAIR,), front, size=(640, 640)), View(HAIRLINE, (Part.HAIR,), front, size=(640, 640))]
    colors = {"hair": (30, 20, 10), HAIRLINE: (50, 100, 200)}
    for name, color in colors.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((640, 640, 4), (*color, 255), np.uint8))
    # Heights grow upward from the lowest hair that the camera sees.
    height_m = np.repeat(head.template[:, 1:2] - head.template[:, 1].max() + 0.06, 2, axis=1)
    baked = bake(head, views, tmp_path, np.zeros((256, 256, 4), np.uint8), {Part.HAIR}, height_m)
    texels = Texels.of(head, 256)
    texels = texels.only(head.part[texels.face] == Part.HAIR)
    height_m, (_, _, toward) = (texels.interpolated(head.faces, v).T for v in (height_m, head.template))
    low, high = ((toward > 0.06) & mask for mask in (height_m[0] < BAND_M[0], height_m[0] > BAND_M[1]))
    assert low.sum() > 20 and high.sum() > 20
    color = baked[texels.row, texels.column, :3].astype(int)
    assert np.median(np.abs(color[low] - (200, 100, 50)).max(1)) <= 2
    assert np.median(np.abs(color[high] - (10, 20, 30)).max(1)) <= 2


def test_average_weighs_color_by_alpha():
    red = Sample(np.array([[255, 0, 0, 255]], np.float32), np.array([1], np.float32))
    clear_blue = Sample(np.array([[0, 0, 255, 0]], np.float32), np.array([1], np.float32))
    color, weight = averaged([red, clear_blue])
    np.testing.assert_allclose(color, [[255, 0, 0, 127.5]])
    np.testing.assert_allclose(weight, [2])


def test_a_highlight_in_one_view_drops_out():
    plain = [Sample(np.array([[60, 60, 60, 255]], np.float32), np.ones(1, np.float32)) for _ in range(3)]
    bright = Sample(np.array([[250, 250, 250, 255]], np.float32), np.ones(1, np.float32))
    color, _ = without_highlights([*plain, bright])
    assert color[0, 0] < 65


def test_filling_keeps_the_known_and_spreads_it():
    image = np.zeros((64, 64, 4), np.float32)
    known = np.zeros((64, 64), bool)
    image[10:20, 10:20], known[10:20, 10:20] = 200, True
    result = filled(image, known)
    np.testing.assert_array_equal(result[known], image[known])
    np.testing.assert_allclose(result[~known], 200, atol=1)


def hair(avatar: str, size_px: int) -> tuple[Head, Texels]:
    head = Head.load(HEAD_FILE.parents[1] / avatar / "head.npz")
    texels = Texels.of(head, size_px)
    return head, texels.only(head.part[texels.face] == Part.HAIR)


def test_a_seam_of_the_atlas_is_no_rim():
    """The shell's islands in the atlas have many outlines, the shell has one below and none on the crown."""
    head, own = hair("default", 512)
    distance_m = rim_distances_m(head, own)
    place = own.interpolated(head.faces, head.template)
    crown = place[:, 1] > np.percentile(place[:, 1], 90)
    assert distance_m.min() < 0.001
    assert distance_m[crown].min() > 2 * RIM_THIN_M


def test_thin_hair_fades_over_a_longer_way_than_dense_hair():
    distance_m = np.linspace(0, RIM_THIN_M, 50)
    thin, dense = (rim_shares(np.full(50, opacity), distance_m) for opacity in (THIN, 1.0))
    assert thin[0] == dense[0] == 0 and thin[-1] == dense[-1] == 1
    assert np.all(np.diff(thin) > 0) and np.all(dense >= thin)
    assert np.all(dense[distance_m >= RIM_DENSE_M] == 1)


@pytest.mark.parametrize("avatar", ["default", "samuel", "mei", "arjun"])
def test_no_shell_of_hair_ends_in_a_line_across_the_skin(avatar):
    texture = cv2.imread(str(HEAD_FILE.parents[1] / avatar / "texture.png"), cv2.IMREAD_UNCHANGED)
    head, own = hair(avatar, len(texture))
    opacity = texture[own.row, own.column, 3] / 255
    assert opacity[rim_distances_m(head, own) < 0.0003].max() < 0.1
