"""The moving average: what it removes, what it must not leave behind."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar import compositor
from avatar.stabilizer import stabilize
from avatar.stabilizer.flow import StabilizerConfig

SIZE = 96


def opaque(rgb: np.ndarray) -> np.ndarray:
    return np.dstack([np.clip(rgb, 0, 255), np.full(rgb.shape[:2], 255)]).round().astype(np.uint8)


def motion(x: float = 0.0, y: float = 0.0, size: int = SIZE) -> np.ndarray:
    return np.broadcast_to(np.array([x, y], np.float16), (size, size, 2)).copy()


def texture(seed: int = 0, size: int = SIZE) -> np.ndarray:
    return cv2.GaussianBlur(np.random.default_rng(seed).uniform(0, 255, (size, size, 3)), (0, 0), 1.2) * 2 - 128


def test_first_frame_passes_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 4), np.uint8)
    np.testing.assert_array_equal(stabilize(image, np.zeros_like(image), motion()), image)


def test_a_still_picture_is_a_fixed_point():
    image = opaque(texture())
    np.testing.assert_array_equal(stabilize(image, image, motion()), image)


def test_any_alpha_is_a_fixed_point():
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 4), np.uint8)
    np.testing.assert_array_equal(stabilize(image, image, motion()), image)


@pytest.mark.parametrize("weight", [0.5, 0.75])
def test_noise_shrinks_by_the_averages_closed_form(weight):
    rng = np.random.default_rng(2)
    config = StabilizerConfig(current_weight=weight, slack_levels=20)
    clean, frames = np.full((SIZE, SIZE, 3), 120.0), []
    previous = np.zeros((SIZE, SIZE, 4), np.uint8)
    for _ in range(60):
        previous = stabilize(opaque(clean + rng.normal(0, 5, clean.shape)), previous, motion(), config)
        frames.append(previous[..., :3].astype(float))
    measured = np.mean(np.square(np.array(frames[20:]) - clean)) / 25
    np.testing.assert_allclose(measured, weight / (2 - weight), rtol=0.03)


def test_default_weight_still_shrinks_noise_with_the_limit_in_force():
    rng = np.random.default_rng(3)
    clean, previous, frames = texture(), np.zeros((SIZE, SIZE, 4), np.uint8), []
    for _ in range(40):
        previous = stabilize(opaque(clean + rng.normal(0, 4, clean.shape)), previous, motion())
        frames.append(previous[..., :3].astype(float))
    assert np.var(frames[10:], axis=0).mean() / 16 < 0.7


def test_a_moving_edge_leaves_no_trail_even_without_its_motion():
    previous = np.zeros((SIZE, SIZE, 4), np.uint8)
    for step in range(20):
        rgb = np.full((SIZE, SIZE, 3), 40.0)
        rgb[:, 10 + 3 * step : 20 + 3 * step] = 220
        previous = stabilize(opaque(rgb), previous, motion())
    # Pixels further than the neighborhood from the bar hold the background, within the slack.
    trail = previous[:, : 10 + 3 * 19 - 2, :3].astype(int)
    assert np.abs(trail - 40).max() <= 3


def test_disoccluded_pixels_take_the_current_picture():
    image, previous = opaque(texture(4)), opaque(texture(5))
    vectors = motion()
    vectors[:, : SIZE // 2] = np.nan
    result = stabilize(image, previous, vectors)
    np.testing.assert_array_equal(result[:, : SIZE // 2], image[:, : SIZE // 2])
    assert (result[:, SIZE // 2 :] != image[:, SIZE // 2 :]).any()


def test_motion_that_leads_off_the_picture_takes_the_current_one():
    image, previous = opaque(texture(6)), opaque(texture(7))
    result = stabilize(image, previous, motion(x=-30))
    np.testing.assert_array_equal(result[:, :29], image[:, :29])


def test_previous_is_read_where_the_vector_points():
    previous = opaque(texture(8))
    image = np.zeros_like(previous)
    image[:, :-7] = previous[:, 7:]
    image[:, -7:, 3] = 255
    result = stabilize(image, previous, motion(x=7), StabilizerConfig(current_weight=1 / 256, slack_levels=255))
    np.testing.assert_array_equal(result[:, :-8], image[:, :-8])


@pytest.mark.parametrize("shift_px", [0.5, 0.37])
def test_texture_stays_sharp_over_a_hundred_moving_frames(shift_px):
    size = 192
    base = texture(9, size)
    columns, rows = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    previous = np.zeros((size, size, 4), np.uint8)
    sharpness = []
    for step in range(100):
        moved = cv2.remap(
            base, (columns - step * shift_px) % (size - 1), rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        image = opaque(moved)
        previous = stabilize(image, previous, motion(-shift_px, 0, size))
        detail = [
            cv2.Laplacian(picture[8:-8, 80:-8, :3].astype(np.float32), cv2.CV_32F).std()
            for picture in (previous, image)
        ]
        sharpness.append(detail[0] / detail[1])
    assert min(sharpness[1:]) > 0.85
    np.testing.assert_allclose(sharpness[-1], np.median(sharpness[2:8]), rtol=0.1)


def test_without_vectors_the_flow_is_measured():
    size = 192
    base = cv2.GaussianBlur(np.random.default_rng(10).uniform(0, 255, (size, size, 3)), (0, 0), 3) * 3 - 255
    noise = np.random.default_rng(11).normal(0, 6, (2, size, size, 3))
    previous, image = opaque(base + noise[0]), opaque(np.roll(base, 4, axis=1) + noise[1])
    inner = (slice(24, -24), slice(24, -24), slice(0, 3))
    clean = opaque(np.roll(base, 4, axis=1))[inner].astype(float)
    for vectors in (None, motion(np.nan, np.nan, size)):
        error = np.abs(stabilize(image, previous, vectors)[inner] - clean).mean()
        assert error < 0.93 * np.abs(image[inner] - clean).mean()


def test_transparent_background_does_not_darken_the_rim():
    image = opaque(np.full((SIZE, SIZE, 3), 200.0))
    image[:, SIZE // 2 :] = 0
    image[:, SIZE // 2, :] = (100, 100, 100, 128)
    result = compositor.cut_out(stabilize(image, image, motion(x=0.4)))
    visible = result[..., 3] > 16
    assert np.abs(result[visible][:, :3].astype(int) - 200).max() <= 4


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_bytes_and_vectors_are_survived(seed, height, width):
    rng = np.random.default_rng(seed)
    image, previous = rng.integers(0, 256, (2, height, width, 4), np.uint8)
    vectors = rng.integers(0, 2**16, (height, width, 2), np.uint16).view(np.float16)
    result = stabilize(image, previous, vectors)
    assert result.shape == image.shape and result.dtype == np.uint8
    np.testing.assert_array_equal(result, stabilize(image, previous, vectors))


@pytest.mark.parametrize(
    ("image", "previous", "vectors", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 4), np.uint8), motion(size=8), "image must be"),
        (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 4), np.float32), motion(size=8), "previous must be"),
        (np.zeros((8, 8, 4), np.uint8), np.zeros((9, 8, 4), np.uint8), motion(size=8), "one shape"),
        (np.zeros((8, 8, 4), np.uint8), np.ones((8, 8, 4), np.uint8), motion(size=9), "motion_vectors must be"),
        (
            np.zeros((8, 8, 4), np.uint8),
            np.ones((8, 8, 4), np.uint8),
            motion(size=8).astype(np.float32),
            "motion_vectors must be",
        ),
    ],
)
def test_bad_input_is_named(image, previous, vectors, message):
    with pytest.raises(ValueError, match=message):
        stabilize(image, previous, vectors)
