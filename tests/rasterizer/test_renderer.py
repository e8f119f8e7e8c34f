"""The fused renderer: equal to the four operations, deterministic, and true in its motion vectors."""

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.blendshapes import INDEX
from avatar.catalog import AVATARS_DIR
from avatar.head import Part
from avatar.rasterizer import Renderer, composed
from avatar.rasterizer import scene as scenes
from avatar.rasterizer.atlas import read_texture
from avatar.rasterizer.scene import Scene

from . import synthetic_avatar

REST = np.zeros(52, np.float32)
STILL = np.zeros(6, np.float32)
HAIR_END = 260
"""Row below the synthetic head's hair at rest."""


def controls(pose=(0, 0, 0, 0, 0, 0), **coefficients):
    blendshapes = REST.copy()
    for name, value in coefficients.items():
        blendshapes[INDEX[name]] = value
    return blendshapes, np.array(pose, np.float32)


POSES = [
    pytest.param(controls(), controls(), id="rest"),
    pytest.param(controls((0.1, 0.4, 0.05, 0, 0.01, 0)), controls((0.12, 0.37, 0.05, 0.004, 0.01, 0)), id="turned"),
    pytest.param(controls(jawOpen=0.8, mouthLeft=0.5), controls(jawOpen=0.6), id="jaw"),
    pytest.param(controls((0, 0, 0, 0, 0, 0.75)), controls(), id="partly before the camera"),
]


def premultiplied(raster):
    raster = raster.astype(np.float64)
    return np.dstack([raster[..., :3] * raster[..., 3:] / 255, raster[..., 3]])


@pytest.fixture(scope="module")
def shipped():
    return Renderer.load(AVATARS_DIR / "default")


@pytest.mark.parametrize(("now", "before"), POSES)
def test_fused_equals_the_four_operations(renderer, now, before):
    result = renderer.render(*now, *before)
    head = renderer.scene.head
    raster, mask, motion = composed.render(renderer.scene, head.pose(*now), head.pose(*before), now[1])
    difference = np.abs(premultiplied(result.raster) - premultiplied(raster)).max(axis=2)
    assert (difference > 3).mean() < 2e-4
    assert difference.mean() < 0.5
    assert (mask != result.mask).mean() < 2e-4
    assert (np.isnan(motion) != np.isnan(result.motion_vectors)).mean() < 4e-4
    error = np.abs(motion - result.motion_vectors)
    tolerance = 2e-3 + np.abs(motion) * 2**-10
    assert np.nanmean(error > tolerance) < 4e-4


@pytest.mark.parametrize(("now", "before"), POSES)
def test_the_fused_shipped_avatar_equals_the_four_operations(shipped, now, before):
    result, head = shipped.render(*now, *before), shipped.scene.head
    raster, mask, _ = composed.render(shipped.scene, head.pose(*now), head.pose(*before), now[1])
    difference = np.abs(premultiplied(result.raster) - premultiplied(raster)).max(axis=2)
    # Half its triangles are smaller than two pixels.
    assert (difference > 3).mean() < 8e-4
    assert difference.mean() < 0.5
    assert (mask != result.mask).mean() < 4e-4


def test_result_has_the_documented_shapes_and_types(renderer):
    result = renderer.render(REST, STILL, REST, STILL)
    assert result.raster.shape == (512, 512, 4) and result.raster.dtype == np.uint8
    assert result.mask.shape == (512, 512) and result.mask.dtype == np.uint8
    assert result.motion_vectors.shape == (512, 512, 2) and result.motion_vectors.dtype == np.float16
    assert result.landmarks.shape == (68, 2) and result.landmarks.dtype == np.float32


def test_one_worker_two_and_three_give_equal_bytes(avatar_dir):
    now, before = controls((0.1, 0.3, 0, 0, 0, 0), jawOpen=0.5), controls((0.1, 0.28, 0, 0, 0, 0))
    results = [Renderer.load(avatar_dir, workers=workers).render(*now, *before) for workers in (1, 2, 3)]
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


def test_threads_may_share_a_renderer(renderer):
    poses = [controls((0, 0.05 * step, 0, 0, 0, 0)) for step in range(6)]
    alone = [renderer.render(*pose, *poses[0]) for pose in poses]
    together = [None] * len(poses)

    def draw(index):
        for _ in range(5):
            together[index] = renderer.render(*poses[index], *poses[0])

    threads = [threading.Thread(target=draw, args=(index,)) for index in range(len(poses))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_array_equal(first.raster, second.raster)
        np.testing.assert_array_equal(first.motion_vectors, second.motion_vectors)


def test_a_still_head_has_no_motion(renderer):
    pose = controls((0.05, -0.2, 0.02, 0, 0, 0), jawOpen=0.3)
    motion = renderer.render(*pose, *pose).motion_vectors
    assert np.nanmax(np.abs(motion)) < 1e-3


def test_motion_vectors_warp_the_previous_frame_onto_this_one(renderer):
    now, before = controls((0.02, 0.06, 0.01, 0.003, 0, 0), jawOpen=0.5), controls(jawOpen=0.2)
    result, previous = renderer.render(*now, *before), renderer.render(*before, *before)
    motion = result.motion_vectors.astype(np.float32)
    columns, rows = np.meshgrid(np.arange(512, dtype=np.float32), np.arange(512, dtype=np.float32))
    warped = cv2.remap(
        previous.raster, columns + np.nan_to_num(motion[..., 0]), rows + np.nan_to_num(motion[..., 1]), cv2.INTER_LINEAR
    )
    inner = cv2.erode((result.mask == Part.SKIN).astype(np.uint8), np.ones((9, 9))) > 0
    inner &= ~np.isnan(motion[..., 0])
    # The synthetic texture is a checker: one pixel of error in the motion would show as tens of levels.
    error = np.abs(warped.astype(float) - result.raster)[inner].mean()
    unmoved = np.abs(previous.raster.astype(float) - result.raster)[inner].mean()
    assert np.linalg.norm(motion[inner], axis=1).mean() > 3
    assert error < 3 and error < 0.2 * unmoved


def test_motion_agrees_with_the_landmarks(renderer):
    now, before = controls((0, 0.05, 0, 0.002, 0, 0)), controls()
    result, previous = renderer.render(*now, *before), renderer.render(*before, *before)
    checked = 0
    for point, old_point in zip(result.landmarks, previous.landmarks, strict=True):
        column, row = np.floor(point).astype(int)
        if result.mask[row, column] == Part.SKIN and not np.isnan(result.motion_vectors[row, column]).any():
            np.testing.assert_allclose(result.motion_vectors[row, column], old_point - point, atol=0.25)
            checked += 1
    assert checked > 20


def test_surface_that_was_turned_away_or_off_the_picture_has_no_motion(renderer):
    turned = renderer.render(*controls(), *controls((0, 1.2, 0, 0, 0, 0)))
    assert np.isnan(turned.motion_vectors[turned.mask == Part.SKIN]).any()
    entered = renderer.render(*controls(), *controls((0, 0, 0, 0.5, 0, 0)))
    assert np.isnan(entered.motion_vectors).all()


def test_background_is_empty(renderer):
    result = renderer.render(REST, STILL, REST, STILL)
    background = cv2.erode((result.mask == 0).astype(np.uint8), np.ones((5, 5))) > 0
    background[:HAIR_END] = False
    assert not result.raster[background].any()
    assert np.isnan(result.motion_vectors[background]).all()


def test_outline_is_antialiased_and_keeps_its_color(renderer):
    plain = np.full((64, 64, 4), (180, 120, 90, 255), np.uint8)
    result = Renderer(Scene.build(renderer.scene.head, renderer.scene.camera, plain)).render(REST, STILL, REST, STILL)
    alpha = result.raster[..., 3].astype(float)
    rim = (alpha > 8) & (alpha < 255)
    assert rim.sum() > 500
    assert alpha[rim].std() > 50
    # Not mixed with the black of the void beyond its alpha.
    error = np.abs(result.raster[..., :3][rim] - alpha[rim, None] / 255 * plain[0, 0, :3]).max(axis=1)
    assert (error <= 2).all()


def test_hair_thins_out_toward_its_outline(renderer):
    """Before nothing: where skin lies behind, it stays as the texture has it."""
    result = renderer.render(REST, STILL, REST, STILL)
    alpha = result.raster[..., 3].astype(int)
    top = int(np.flatnonzero(alpha.any(axis=1))[0])
    column = alpha[top : top + 20, alpha.shape[1] // 2]
    assert (np.diff(column) >= -1).all() and (np.diff(column) < 128).all()
    assert column[0] < 60 and column[-1] > 250
    solid = Renderer(_without(renderer.scene, Part.HAIR)).render(REST, STILL, REST, STILL).mask > 0
    assert (alpha[solid] == 255).mean() > 0.99


def test_hair_is_drawn_an_octave_coarser(renderer, monkeypatch):
    """What is as fine as a pixel would be grain there, since single strands do not lie on the shell."""
    texture = np.random.default_rng(0).integers(0, 256, (512, 512, 4), np.uint8)
    texture[..., 3] = 255
    grain = {}
    for octaves in (scenes.HAIR_OCTAVES, 0.0):
        monkeypatch.setattr(scenes, "HAIR_OCTAVES", octaves)
        scene = Scene.build(renderer.scene.head, renderer.scene.camera, texture)
        result = Renderer(scene).render(REST, STILL, REST, STILL)
        picture = result.raster[..., :3].astype(np.float32)
        fine = np.abs(picture - cv2.blur(picture, (3, 3))).mean(axis=2)
        for part in (Part.HAIR, Part.SKIN):
            inside = cv2.erode((result.mask == part).astype(np.uint8), np.ones((5, 5))) > 0
            grain[octaves, part] = fine[inside].mean()
    assert grain[1.0, Part.HAIR] < 0.75 * grain[0.0, Part.HAIR]
    assert grain[1.0, Part.SKIN] == grain[0.0, Part.SKIN]


def test_hair_blends_over_the_skin_by_its_alpha(renderer):
    result = renderer.render(REST, STILL, REST, STILL)
    assert (result.mask == Part.HAIR).sum() > 1000
    bald = _without(renderer.scene, Part.HAIR)
    skin = Renderer(bald).render(REST, STILL, REST, STILL)
    changed = np.abs(result.raster.astype(int) - skin.raster).max(axis=2) > 4
    partly = changed & (result.mask == Part.SKIN)
    assert partly.sum() > 50  # fringe: hair under half coverage, the part stays skin
    np.testing.assert_array_equal(result.mask[~changed & (skin.mask > 0)], skin.mask[~changed & (skin.mask > 0)])


def test_hair_behind_thin_hair_shows_through(renderer):
    """Where the fringe is thin before the void, the far side of the hair closes the gap."""
    image = synthetic_avatar.texture()
    half = len(image) // 2
    image[half:, :half, 3] = 128  # hair that covers by half, everywhere
    scene = Scene.build(renderer.scene.head, renderer.scene.camera, image)
    result = Renderer(scene).render(REST, STILL, REST, STILL)
    before_the_void = (result.mask == Part.HAIR) & (result.raster[..., 3] < 255)
    alpha = result.raster[..., 3][cv2.erode(before_the_void.astype(np.uint8), np.ones((3, 3))) > 0]
    assert len(alpha) > 10
    # 1 - (1 - 1/2)² where both sides are whole; less towards the outline, where they fade.
    assert 130 < np.median(alpha) < alpha.max() <= 194


@pytest.mark.parametrize(("now", "before"), POSES[:3])
def test_the_face_mesh_is_projected_as_the_landmarks_are(shipped, now, before):
    result, head, camera = shipped.render(*now, *before), shipped.scene.head, shipped.scene.camera
    points = head.face_mesh(head.pose(*now))
    clip = np.column_stack([points, np.ones(len(points))]) @ camera.matrix().T
    np.testing.assert_allclose(result.face_mesh[:, :2], (clip[:, :2] / clip[:, 3:] + 1) * 256, atol=1e-2)
    behind_m = clip[:, 3] - clip[:, 3].mean()
    px_per_m = 512 / (2 * np.tan(np.deg2rad(camera.fov_deg / 2)) * clip[:, 3].mean())
    np.testing.assert_allclose(result.face_mesh[:, 2], behind_m * px_per_m, atol=2e-2)
    assert result.face_mesh[4, 2] < result.face_mesh[[234, 454], 2].min(), "the nose is nearer than the ears"


@pytest.mark.parametrize("turn_rad", [0.0, 0.1, 0.3])
def test_a_fin_shows_beyond_the_outline_of_the_hair_alone(shipped, turn_rad):
    now = controls((0, turn_rad, 0, 0, 0, 0))
    whole = shipped.render(*now, *now)
    scene, texture = shipped.scene, read_texture(AVATARS_DIR / "default" / "texture.png")
    place = scene.head.uv[np.unique(scene.head.faces[scene.head.part == Part.HAIR_FIN])] * len(texture)
    (left, top), (right, bottom) = place.min(0).astype(int) - 2, place.max(0).astype(int) + 3
    texture[top:bottom, left:right, 3] = 0
    shell = Renderer(Scene.build(scene.head, scene.camera, texture)).render(*now, *now)
    changed = (whole.raster != shell.raster).any(axis=2)
    assert not changed[shell.raster[..., 3] == 255].any(), "hair and skin hide it"
    assert (whole.raster[..., 3] >= shell.raster[..., 3]).all()
    assert changed.any() == (turn_rad < 0.2)
    beyond = changed & (shell.mask == 0)
    assert beyond.sum() > 1500 or not changed.any()
    assert set(np.unique(whole.mask)) <= set(range(1 + Part.CLOTHES))
    # But where the smoothing of edges thickened what was thinner.
    thin = beyond & (whole.raster[..., 3] >= 128) & (whole.mask != Part.HAIR)
    assert thin.sum() < 0.03 * max(beyond.sum(), 1)


def _without(scene: Scene, part: Part) -> Scene:
    keep = scene.head.part != part
    landmark_faces = np.searchsorted(np.flatnonzero(keep), scene.head.landmark_faces)
    arrays = {name: getattr(scene.head, name) for name in scene.head.__dataclass_fields__ if not name.startswith("_")}
    arrays |= {"faces": scene.head.faces[keep], "part": scene.head.part[keep], "landmark_faces": landmark_faces}
    return Scene.build(type(scene.head).from_arrays(arrays), scene.camera, synthetic_avatar.texture())


def test_texture_is_filtered_when_it_shrinks(avatar_dir, tmp_path):
    """A texture of 4 times the resolution with noise in each texel gives the average, not sparkle."""
    noisy = np.random.default_rng(0).integers(0, 256, (2048, 2048, 4), np.uint8)
    noisy[..., 3] = 255
    scene = Scene.load(avatar_dir)
    renderer = Renderer(Scene.build(scene.head, scene.camera, noisy))
    result = renderer.render(REST, STILL, REST, STILL)
    clothes = cv2.erode((result.mask == Part.CLOTHES).astype(np.uint8), np.ones((9, 9))) > 0
    assert result.raster[clothes][:, :3].std() < 0.62 * noisy[..., :3].std()
    assert abs(result.raster[clothes][:, :3].mean() - 127.5) < 4
    assert synthetic_avatar.texture().shape[0] < 2048


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), reach=st.sampled_from([1.0, 30.0, 1e6, 1e30]))
def test_any_finite_controls_are_survived(renderer, seed, reach):
    rng = np.random.default_rng(seed)
    blendshapes, previous_blendshapes = rng.uniform(-reach, reach, (2, 52))
    pose, previous_pose = rng.uniform(-reach, reach, (2, 6))
    result = renderer.render(blendshapes, pose, previous_blendshapes, previous_pose)
    assert result.raster.shape == (512, 512, 4)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(51), r"must have shape \[\d+\], got \[51\]"),
        (None, "must be finite, got nan at 3"),
    ],
)
def test_bad_controls_are_named(renderer, place, value, message):
    arguments = [REST.copy(), STILL.copy(), REST.copy(), STILL.copy()]
    name = ("blendshapes", "pose", "previous_blendshapes", "previous_pose")[place]
    if value is None:
        arguments[place][3] = np.nan
    else:
        arguments[place] = value
    with pytest.raises(ValueError, match=f"^{name} {message}"):
        renderer.render(*arguments)


@pytest.mark.parametrize(
    ("toml", "error", "message"),
    [
        ('name = "x"', ValueError, "section \\[camera\\]"),
        ("[camera]\nfov_deg = 20.0", ValueError, "fov_deg, position and target"),
        (
            "[camera]\nfov_deg = 0.0\nposition = [0.0, 0.0, 1.0]\ntarget = [0.0, 0.0, 0.0]",
            ValueError,
            "fov_deg must lie in",
        ),
        (
            "[camera]\nfov_deg = 20.0\nposition = [0.0, 1.0, 0.0]\ntarget = [0.0, 0.0, 0.0]",
            ValueError,
            "must not look along y",
        ),
    ],
)
def test_bad_avatar_files_are_named(tmp_path, avatar_dir, toml, error, message):
    for file in avatar_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "avatar.toml").write_text(toml)
    with pytest.raises(error, match=message):
        Renderer.load(tmp_path)


def test_a_missing_texture_is_named(tmp_path, avatar_dir):
    for name in ("avatar.toml", "head.npz"):
        (tmp_path / name).write_bytes((avatar_dir / name).read_bytes())
    with pytest.raises(FileNotFoundError, match="texture.png"):
        Renderer.load(tmp_path)
