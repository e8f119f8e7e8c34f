"""The pose filter against its closed form and against what it is for."""

import numpy as np
import pytest

from avatar.stabilizer import kalman
from avatar.stabilizer.kalman import KalmanConfig


def run(measurements, dt_s=1 / 30, config=None):
    state, filtered = kalman.initial(config), []
    for measurement in measurements:
        state, pose = kalman.update(state, measurement, dt_s)
        filtered.append(pose)
    return state, np.array(filtered)


@pytest.mark.parametrize("dt_s", [1 / 25, 1 / 30, 1 / 60])
def test_steady_gain_is_kalatas(dt_s):
    config = KalmanConfig()
    state, _ = run(np.zeros((400, 6)), dt_s, config)
    for axis, noise, agility in (
        (0, config.rotation_noise_rad, config.rotation_agility),
        (5, config.translation_noise_m, config.translation_agility),
    ):
        index = np.sqrt(agility / dt_s) * dt_s**2 / noise
        root = np.sqrt(index**2 + 8 * index)
        alpha = -(index**2 + 8 * index - (index + 4) * root) / 8
        beta = (index**2 + 4 * index - index * root) / 4
        predicted = state.covariance[axis] / noise**2
        np.testing.assert_allclose(predicted[0, 0], alpha, rtol=1e-6)
        np.testing.assert_allclose(predicted[0, 1], beta / dt_s, rtol=1e-6)


def test_default_gain_is_one_half_at_30_frames_a_second():
    config = KalmanConfig()
    state, _ = run(np.zeros((200, 6)))
    np.testing.assert_allclose(state.covariance[0, 0, 0] / config.rotation_noise_rad**2, 0.5, atol=0.01)
    np.testing.assert_allclose(state.covariance[3, 0, 0] / config.translation_noise_m**2, 0.5, atol=0.01)


def test_jitter_shrinks_by_the_alpha_beta_filters_factor():
    rng = np.random.default_rng(0)
    config = KalmanConfig()
    state, filtered = run(rng.normal(0, config.rotation_noise_rad, (20_000, 6)))
    alpha = state.covariance[0, 0, 0] / config.rotation_noise_rad**2
    beta = state.covariance[0, 0, 1] / config.rotation_noise_rad**2 / 30
    expected = (2 * alpha**2 + beta * (2 - 3 * alpha)) / (alpha * (4 - 2 * alpha - beta))
    np.testing.assert_allclose(filtered[100:, :3].var() / config.rotation_noise_rad**2, expected, rtol=0.03)
    assert expected < 0.5


@pytest.mark.parametrize("rate_hz", [0.5, 1.0, 1.5])
def test_a_nod_comes_less_than_a_frame_late(rate_hz):
    times = np.arange(600) / 30
    nod = 0.1 * np.sin(2 * np.pi * rate_hz * times)
    _, filtered = run(np.outer(nod, [1, 0, 0, 0, 0, 0]))
    phase = [
        np.angle(np.sum(signal[120:] * np.exp(-2j * np.pi * rate_hz * times[120:]))) for signal in (nod, filtered[:, 0])
    ]
    lag_frames = (phase[0] - phase[1]) / (2 * np.pi * rate_hz) * 30
    assert 0 <= lag_frames < 1


def test_constant_velocity_has_no_lag():
    ramp = np.outer(np.arange(200) / 30, np.full(6, 0.02))
    _, filtered = run(ramp)
    np.testing.assert_allclose(filtered[-1], ramp[-1], atol=1e-5)


def test_first_pose_passes_and_a_long_pause_starts_again():
    pose = np.array([0.1, -0.2, 0.05, 0.01, 0.0, -0.02])
    state, first = kalman.update(kalman.initial(), pose, 1 / 30)
    np.testing.assert_array_equal(first, pose.astype(np.float32))
    _, after_pause = kalman.update(state, -pose, 2.0)
    np.testing.assert_array_equal(after_pause, -pose.astype(np.float32))


def test_update_leaves_its_state_alone():
    state, _ = kalman.update(kalman.initial(), np.zeros(6), 1 / 30)
    before = state.mean.copy(), state.covariance.copy()
    kalman.update(state, np.ones(6), 1 / 30)
    np.testing.assert_array_equal(state.mean, before[0])
    np.testing.assert_array_equal(state.covariance, before[1])


@pytest.mark.parametrize(
    ("measurement", "dt_s", "message"),
    [
        (np.zeros(5), 0.03, "6 finite"),
        (np.full(6, np.nan), 0.03, "6 finite"),
        (np.zeros(6), 0.0, "dt_s must be positive"),
    ],
)
def test_bad_input_is_named(measurement, dt_s, message):
    with pytest.raises(ValueError, match=message):
        kalman.update(kalman.initial(), measurement, dt_s)


def test_config_refuses_zero_noise():
    with pytest.raises(ValueError, match="rotation_noise_rad must be positive"):
        KalmanConfig(rotation_noise_rad=0)
