"""Life: the same at every frame rate, within the human range, and gentle."""

import numpy as np

from avatar.blendshapes import INDEX
from avatar.emotion import EMOTIONS, EmotionState
from avatar.life import Life

BLINK = INDEX["eyeBlinkLeft"]


def play(seed, fps, seconds):
    life = Life(seed)
    return [life.at(k / fps) for k in range(int(seconds * fps))]


def test_the_same_seed_lives_the_same_at_every_frame_rate():
    slow, fast = play(7, 30, 60), play(7, 60, 60)[::2]
    for a, b in zip(slow, fast, strict=True):
        np.testing.assert_allclose(a.blendshapes, b.blendshapes, atol=1e-6)
        np.testing.assert_allclose(a.pose, b.pose, atol=1e-6)


def test_different_seeds_live_differently():
    assert not np.allclose(play(1, 30, 10)[-1].pose, play(2, 30, 10)[-1].pose)


def test_blinks_are_in_the_human_range():
    """Bentivoglio et al. 1997: 14 to 26 blinks a minute in rest and conversation; lids must close fully and open
    again."""
    rates = []
    for seed in range(8):
        closure = np.array([signs.blendshapes[BLINK] for signs in play(seed, 60, 120)])
        starts = np.count_nonzero((closure[1:] >= 0.5) & (closure[:-1] < 0.5))
        rates.append(starts / 2)
        assert closure.max() > 0.97 and np.mean(closure < 0.02) > 0.7
    assert 12 <= np.mean(rates) <= 24 and min(rates) >= 8


def test_a_lid_closes_faster_than_it_opens():
    closure = np.array([signs.blendshapes[BLINK] for signs in play(3, 200, 60)])
    closing, opening = np.count_nonzero(np.diff(closure) > 1e-4), np.count_nonzero(np.diff(closure) < -1e-4)
    assert 1.6 < opening / closing < 3.5


def test_gaze_rests_between_saccades():
    signs = play(5, 100, 120)
    gaze = (
        np.array([s.blendshapes[INDEX["eyeLookOutLeft"]] - s.blendshapes[INDEX["eyeLookInLeft"]] for s in signs]) * 30
    )
    moving = np.abs(np.diff(gaze)) > 1e-3
    assert moving.mean() < 0.12
    assert np.abs(gaze).max() < 12


def test_sway_is_slow_and_small_and_starts_at_rest():
    poses = np.array([signs.pose for signs in play(11, 30, 300)])
    assert np.all(poses[0] == 0)
    degrees = np.degrees(poses[:, :3])
    assert degrees.std(0).max() > 0.3 and np.abs(degrees).max() < 5
    assert np.abs(np.diff(degrees, axis=0)).max() < 0.15
    assert np.abs(poses[:, 3:]).max() < 0.006


def test_a_change_of_emotion_never_jumps():
    state = EmotionState()
    values = []
    for k in range(120):
        if k == 30:
            state.wish("surprised", 1.0)
        if k == 60:
            state.wish("angry", 0.5)
        values.append(state.at(k / 30).copy())
    assert np.abs(np.diff(values, axis=0)).max() < 0.07
    np.testing.assert_allclose(values[-1], 0.5 * EMOTIONS["angry"], atol=0.02)
