"""What depends on the pose: darkness behind closed lips and under lids, the mirrored key light, hair seen edge-on."""

import math

import numpy as np
import pytest

from avatar.blendshapes import INDEX
from avatar.catalog import AVATARS_DIR
from avatar.head import Head, Joint, Part
from avatar.rasterizer import light as lighting
from avatar.rasterizer.camera import Camera
from avatar.rasterizer.light import Light, add_spot

CAMERA = Camera(19.0, (0.0, 0.0, 1.27), (0.0, 0.0, 0.07))
STILL = np.zeros(6, np.float32)


@pytest.fixture(scope="module")
def head():
    return Head.load(AVATARS_DIR / "default" / "head.npz")


def posed(head, pose=STILL, **coefficients):
    blendshapes = np.zeros(52, np.float32)
    for name, value in coefficients.items():
        blendshapes[INDEX[name]] = value
    return head.pose(blendshapes, pose)


@pytest.fixture(scope="module")
def light(head):
    return Light(head, CAMERA.position, (-0.59, 0.40, 0.70))


def factors_of(light, head, vertices, pose):
    return light.factors(vertices, head.landmarks(vertices), pose)


def vertices_of(head, part):
    return np.unique(head.faces[head.part == part])


def test_teeth_darken_as_the_lips_close(head, light):
    teeth = vertices_of(head, Part.TEETH)
    means = [
        factors_of(light, head, posed(head, jawOpen=opening), STILL)[teeth].mean() for opening in (0.0, 0.1, 0.3, 0.8)
    ]
    assert means == sorted(means)
    assert means[0] < 0.35 and means[-1] > 0.9


def test_what_lies_deeper_is_darker(head, light):
    vertices = posed(head, jawOpen=0.1)
    tongue = vertices_of(head, Part.TONGUE)
    factors, depth = factors_of(light, head, vertices, STILL)[tongue], vertices[tongue, 2]
    assert np.corrcoef(factors, depth)[0, 1] > 0.5


def test_skin_and_clothes_keep_the_baked_light(head, light):
    factors = factors_of(light, head, posed(head, jawOpen=0.4, eyeBlinkLeft=0.5), STILL)
    for part in (Part.SKIN, Part.CLOTHES):
        own = np.setdiff1d(
            vertices_of(head, part), np.concatenate([vertices_of(head, other) for other in (2, 3, 4, 5)])
        )
        np.testing.assert_array_equal(factors[own], 1)


def test_turning_the_head_does_not_change_its_own_light(head, light):
    turned = np.array([0.1, 0.4, -0.05, 0.02, 0.01, 0.0], np.float32)
    still = factors_of(light, head, posed(head, jawOpen=0.2), STILL)
    moved = factors_of(light, head, posed(head, turned, jawOpen=0.2), turned)
    rest = np.flatnonzero(~np.isin(np.arange(len(still)), head.faces[np.isin(head.part, (Part.HAIR, Part.HAIR_FIN))]))
    np.testing.assert_allclose(moved[rest], still[rest], atol=2e-3)


@pytest.mark.parametrize("turned", [STILL, np.array([0.1, 0.4, -0.05, 0.02, 0.01, 0.0], np.float32)])
def test_hair_is_left_where_it_faces_the_camera_and_gone_where_it_is_seen_edge_on(head, light, turned):
    hair, vertices = vertices_of(head, Part.HAIR), posed(head, turned)
    left = factors_of(light, head, vertices, turned)[hair]
    a, b, c = vertices[head.faces[head.part == Part.HAIR]].transpose(1, 0, 2).astype(float)
    normals = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(normals, head.faces[head.part == Part.HAIR][:, corner], np.cross(b - a, c - a))
    sight = np.subtract(CAMERA.position, vertices[hair])
    cosine = (normals[hair] * sight).sum(1) / (np.linalg.norm(normals[hair], axis=1) * np.linalg.norm(sight, axis=1))
    assert (left[np.abs(cosine) > 0.36] > 0.99).all(), "the far side of the shell, too"
    assert (left[np.abs(cosine) < 0.09] < 0.01).all()
    assert min((np.abs(cosine) > 0.36).sum(), (np.abs(cosine) < 0.09).sum()) > 20


@pytest.mark.parametrize(("turn_deg", "left"), [(0, 1.0), (5, 1.0), (16, 0.0), (-40, 0.0)])
def test_a_fin_is_gone_where_the_head_shows_another_outline(head, light, turn_deg, left):
    turned = np.array([0.0, np.deg2rad(turn_deg), 0.0, 0.0, 0.0, 0.0], np.float32)
    factors = factors_of(light, head, posed(head, turned), turned)[vertices_of(head, Part.HAIR_FIN)]
    np.testing.assert_allclose(factors, left, atol=0.01)


def test_a_closing_lid_darkens_its_eye_alone(head, light):
    eyes = vertices_of(head, Part.EYES)
    left = eyes[head.skinning_weights[eyes, Joint.LEFT_EYE] > 0.5]
    right = eyes[head.skinning_weights[eyes, Joint.RIGHT_EYE] > 0.5]
    opened, closed = (factors_of(light, head, posed(head, eyeBlinkLeft=value), STILL) for value in (0.0, 0.8))
    assert closed[left].mean() < opened[left].mean() - 0.1
    np.testing.assert_allclose(closed[right], opened[right], atol=0.02)


def test_highlights_lie_where_a_mirror_would_show_the_key_light(head, light):
    vertices = posed(head)
    spots = light.spots(vertices, CAMERA.matrix(), 512)
    assert len(spots) == 2
    for spot, joint in zip(spots, (Joint.LEFT_EYE, Joint.RIGHT_EYE), strict=True):
        eye = head.joints()[joint]
        x, y, _, w = CAMERA.matrix() @ np.append(eye, 1)
        center = np.array([x, y]) / w * 256 + 256
        # The light stands to the subject's right, left on the picture, and above.
        assert -8 < spot.x_px - center[0] < -1
        assert -8 < spot.y_px - center[1] < -1


def test_a_highlight_stays_with_the_light_when_the_eye_turns_and_fades_at_the_corneas_rim(head, light):
    straight = light.spots(posed(head), CAMERA.matrix(), 512)
    turned = light.spots(posed(head, eyeLookOutLeft=0.3, eyeLookInRight=0.3), CAMERA.matrix(), 512)
    far = light.spots(posed(head, eyeLookOutLeft=1.0, eyeLookInRight=1.0), CAMERA.matrix(), 512)
    for before, after in zip(straight, turned, strict=True):
        # The cornea's center moves with the gaze, by less than the pupil does.
        assert 0 < after.x_px - before.x_px < 0.16 * 0.0159 / 1.2 * 512 / (2 * math.tan(math.radians(9.5)))
    assert sum(spot.levels for spot in far) < sum(spot.levels for spot in straight)


def test_a_spot_is_added_to_its_part_alone():
    color = np.full((20, 20, 4), 100, np.uint8)
    mask = np.full((20, 20), Part.SKIN, np.uint8)
    mask[:, 10:] = Part.EYES
    add_spot(color, mask, Part.EYES, 10.5, 10.5, 3.0, 80.0)
    assert (color[:, :10, :3] == 100).all()
    assert color[10, 10, 0] == 180
    assert (np.diff(color[10, 10:, 0].astype(int)) <= 0).all() and color[10, 19, 0] == 100
    assert (color[..., 3] == 100).all()


def test_a_spot_off_the_picture_changes_nothing():
    color, mask = np.full((20, 20, 4), 100, np.uint8), np.full((20, 20), Part.EYES, np.uint8)
    add_spot(color, mask, Part.EYES, -500.0, 1e5, 3.0, 80.0)
    assert (color == 100).all()


def test_weights_carry_points_along_rigidly():
    rng = np.random.default_rng(0)
    vertices, points = rng.normal(size=(9, 3)), rng.normal(size=(2, 3))
    weights = lighting._fixed_points(vertices, points)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(weights @ (vertices @ turn.T + 0.3), points @ turn.T + 0.3, atol=1e-9)
