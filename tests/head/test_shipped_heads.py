"""The heads that ship: anatomy that must hold whatever the face looks like."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from avatar.blendshapes import INDEX
from avatar.head import Head, Joint, Part
from tests.head.rays import front_depth

HEAD_FILES = sorted((Path(__file__).parents[2] / "avatars").glob("*/head.npz"))
MM = 1e-3


@pytest.fixture(scope="module", params=HEAD_FILES, ids=lambda path: path.parent.name)
def head_file(request):
    return request.param


@pytest.fixture(scope="module")
def head(head_file):
    return Head.load(head_file)


def posed(head, pose=np.zeros(6), **coefficients):
    """Vertices at the named coefficients; `eyeBlink=1` sets both sides."""
    blendshapes = np.zeros(52)
    for name, value in coefficients.items():
        sides = [name] if name in INDEX else [f"{name}Left", f"{name}Right"]
        blendshapes[[INDEX[side] for side in sides]] = value
    return head.pose(blendshapes, pose)


def vertices_of(head, part):
    return np.unique(head.faces[head.part == part])


def test_sizes_fit_a_real_time_budget(head, head_file):
    assert 10_000 <= len(head.template) <= 16_000
    assert 20_000 <= len(head.faces) <= 27_000
    assert head_file.stat().st_size < 4e6


def test_it_is_an_adult_in_meters_that_looks_along_z(head):
    left, right = head.joints()[Joint.LEFT_EYE], head.joints()[Joint.RIGHT_EYE]
    assert left[0] > 0 > right[0]
    assert 0.058 < left[0] - right[0] < 0.068
    nose, chin = head.landmarks(head.template)[[30, 8]]
    assert nose[2] > left[2]
    assert 0.09 < left[1] - chin[1] < 0.13


def test_weights_and_regressor_are_affine(head):
    np.testing.assert_allclose(head.skinning_weights.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(head.joint_regressor.sum(1), 1, atol=1e-4)
    assert head.skinning_weights.min() >= 0


def test_every_part_is_there_and_texture_coordinates_are_inside(head):
    assert set(head.part) == set(Part) - {Part.BACKGROUND}
    assert head.uv.min() >= 0 and head.uv.max() <= 1


def test_texture_triangles_do_not_fold(head):
    a, b, c = head.uv[head.faces[np.isin(head.part, (Part.SKIN, Part.EYES))]].transpose(1, 0, 2)
    area = np.cross(b - a, c - a)
    assert min((area > 0).mean(), (area < 0).mean()) == 0


def test_shoulders_stay_when_the_head_turns(head):
    turned = posed(head, np.array([0.1, 0.4, 0.1, 0, 0, 0]))
    garment = vertices_of(head, Part.CLOTHES)
    low = garment[head.template[garment, 1] < -0.16]
    assert np.abs(turned[low] - head.template[low]).max() < 2 * MM


def test_hair_and_upper_face_turn_as_one(head):
    turned = posed(head, np.array([0, 0.4, 0, 0, 0, 0]))
    rigid = np.flatnonzero(head.template[:, 1] > 0.03)
    before, after = head.template[rigid], turned[rigid]
    spread_before = np.linalg.norm(before - before.mean(0), axis=1)
    spread_after = np.linalg.norm(after - after.mean(0), axis=1)
    np.testing.assert_allclose(spread_after, spread_before, atol=0.3 * MM)


def test_lower_teeth_follow_the_jaw_and_upper_teeth_do_not(head):
    teeth = vertices_of(head, Part.TEETH)
    moved = np.linalg.norm(posed(head, jawOpen=1)[teeth] - head.template[teeth], axis=1)
    upper = head.skinning_weights[teeth, Joint.NECK] > 0.5
    assert moved[upper].max() < 0.01 * MM
    assert moved[~upper].min() > 5 * MM


def test_tongue_follows_the_jaw(head):
    tongue = vertices_of(head, Part.TONGUE)
    tip = tongue[np.argmax(head.template[tongue, 2])]
    assert (posed(head, jawOpen=1)[tip] - head.template[tip])[1] < -10 * MM


@pytest.mark.parametrize("coefficients", [{}, {"jawOpen": 1, "mouthClose": 1}, {"jawOpen": 0.3, "mouthClose": 0.3}])
def test_lips_touch(head, coefficients):
    landmarks = head.landmarks(posed(head, **coefficients))
    gaps = landmarks[[61, 62, 63], 1] - landmarks[[67, 66, 65], 1]
    assert np.abs(gaps).max() < 1.5 * MM


def test_the_jaw_opens_the_lips(head):
    landmarks = head.landmarks(posed(head, jawOpen=1))
    assert landmarks[62, 1] - landmarks[66, 1] > 20 * MM


@pytest.mark.parametrize("blink", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_eyeballs_stay_behind_the_lids(head, blink):
    """Rays from the front: where a lid covers the eyeball at rest of the blink, the lid is the nearer one."""
    vertices = posed(head, eyeBlink=blink)
    skin = front_depth(vertices, head.faces[head.part == Part.SKIN], *eye_window(head))
    eyes = front_depth(vertices, head.faces[head.part == Part.EYES], *eye_window(head))
    seen = np.isfinite(eyes) & (eyes > np.where(np.isfinite(skin), skin, -np.inf))
    assert holes(seen) <= 1
    if blink <= 0.5:
        assert holes(seen) == 1
    if blink == 1:  # narrow eyes are shut a little before
        assert holes(seen) == 0


def eye_window(head):
    center = head.joints()[Joint.LEFT_EYE]
    return (center[0] - 0.02, center[0] + 0.02), (center[1] - 0.02, center[1] + 0.02)


def holes(seen):
    """Number of connected regions larger than a few samples."""
    regions, count = label(seen)
    return sum((regions == k).sum() > 8 for k in range(1, count + 1))


def test_the_fin_of_the_hair_reaches_beyond_the_shell_and_turns_with_the_skull(head):
    fin, shell = vertices_of(head, Part.HAIR_FIN), vertices_of(head, Part.HAIR)
    np.testing.assert_array_equal(head.skinning_weights[fin], np.eye(5)[[Joint.NECK] * len(fin)])
    assert not head.expression_basis[fin].any()
    rows = head.template[fin].reshape(3, -1, 3)
    gap = rows[0] - rows[2]
    assert (np.linalg.norm(gap, axis=1) > 14 * MM).all() and np.abs(gap[:, 2]).max() < 2 * MM
    top, side = head.template[shell, 1].max(), np.abs(head.template[shell, 0]).max()
    assert 2 * MM < rows[0][:, 1].max() - top < 15 * MM
    assert 2 * MM < np.abs(rows[0][:, 0]).max() - side < 15 * MM
    assert rows[2][:, 1].max() < top and np.abs(rows[2][:, 0]).max() < side


UPPER_LIP, LOWER_LIP, NOSE_TIP, CHIN = 13, 14, 4, 152
RIGHT_LIDS, LEFT_LIDS = (159, 145), (386, 374)
"""Numbers in MediaPipe's face mesh; of lids the upper, then the lower one."""


def test_the_face_mesh_lies_on_the_skin_and_its_irises_on_the_eyes(head):
    part = head.part[head.face_mesh_faces]
    assert (part[:468] == Part.SKIN).all() and (part[468:] == Part.EYES).all()
    np.testing.assert_allclose(head.face_mesh_barycentric.sum(1), 1, atol=1e-5)
    assert head.face_mesh_barycentric.min() >= 0
    points = head.face_mesh(head.template)
    assert points[NOSE_TIP, 2] > np.delete(points[:, 2], (1, 4, 5, 19, 44, 45, 51, 274, 275, 281)).max()
    assert points[CHIN, 1] < points[LOWER_LIP, 1] - 25 * MM
    assert points[33, 0] < points[133, 0] < points[362, 0] < points[263, 0], "corners of the eyes, right to left"


def test_points_of_the_face_mesh_lie_by_their_landmarks(head):
    """Corners of the eyes and of the mouth, nose tip and chin: the same places under both numberings."""
    ours, ibug = head.face_mesh(head.template), head.landmarks(head.template)
    pairs = {33: 36, 133: 39, 362: 42, 263: 45, 61: 48, 291: 54, NOSE_TIP: 30, CHIN: 8}
    apart = np.linalg.norm(ours[list(pairs)] - ibug[list(pairs.values())], axis=1)
    assert apart.max() < 7 * MM, dict(zip(pairs, apart / MM, strict=True))


def test_lips_and_lids_of_the_face_mesh_meet_and_part(head):
    def gap_m(upper, lower, **coefficients):
        height = head.face_mesh(posed(head, **coefficients))[:, 1]
        return height[upper] - height[lower]

    assert abs(gap_m(UPPER_LIP, LOWER_LIP)) < 4 * MM and gap_m(UPPER_LIP, LOWER_LIP, jawOpen=1) > 20 * MM
    for lids in (RIGHT_LIDS, LEFT_LIDS):
        assert gap_m(*lids) > 6 * MM
        # The lids touch: the upper one ends at the lower one's edge or just covers it.
        assert -2.5 * MM < gap_m(*lids, eyeBlink=1) < 0.5 * MM


def test_irises_of_the_face_mesh_follow_the_gaze(head):
    rest = head.face_mesh(head.template)[468:]
    away = head.face_mesh(posed(head, eyeLookOutLeft=1, eyeLookInRight=1))[468:]
    assert (away[[0, 5], 0] - rest[[0, 5], 0] > 4 * MM).all(), "to the subject's left"
    for center, *rim in (range(5), range(5, 10)):
        width, height = np.linalg.norm(rest[rim[0]] - rest[rim[2]]), np.linalg.norm(rest[rim[1]] - rest[rim[3]])
        assert 11 * MM < width < 16 * MM and abs(width - height) < 0.2 * MM
        np.testing.assert_allclose(rest[rim].mean(0)[:2], rest[center][:2], atol=0.5 * MM)
