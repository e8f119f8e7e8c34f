"""Life: the same at every frame rate, within the human range, and gentle."""

import numpy as np

from avatar.blendshapes import INDEX
from avatar.emotion import EMOTIONS, EmotionState
from avatar.life import Life, LifeConfig

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
    still = Life(11, LifeConfig(nod_deg=0.0))
    poses = np.array([still.at(k / 30).pose for k in range(30 * 300)])
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


def talk(time_s):
    """Phrases of 2 s with pauses of 0.5 s."""
    return 1.0 if time_s % 2.5 < 2.0 else 0.0


def blink_starts(fps, seconds, seed, speech):
    life = Life(seed)
    closure = np.array([life.at(k / fps, speech).blendshapes[BLINK] for k in range(int(seconds * fps))])
    return np.flatnonzero((closure[1:] >= 0.5) & (closure[:-1] < 0.5)) / fps


def test_speech_lives_the_same_at_every_frame_rate():
    lives = {fps: Life(4) for fps in (30, 60)}
    for k in range(30 * 40):
        slow = lives[30].at(k / 30, talk)
        lives[60].at((2 * k - 1) / 60, talk) if k else None
        fast = lives[60].at(2 * k / 60, talk)
        np.testing.assert_allclose(slow.blendshapes, fast.blendshapes, atol=1e-6)
        np.testing.assert_allclose(slow.pose, fast.pose, atol=1e-6)


def test_speakers_blink_more_often_and_where_phrases_end():
    """Bentivoglio et al. 1997: 17 a minute at rest, 26 in conversation; Nakano and Kitazawa 2010: at breakpoints."""
    talking = [blink_starts(60, 120, seed, talk) for seed in range(6)]
    resting = [blink_starts(60, 120, seed, lambda time_s: 0.0) for seed in range(6)]
    talking_rate, resting_rate = (np.mean([len(starts) for starts in group]) / 2 for group in (talking, resting))
    assert 10 <= resting_rate < talking_rate <= 30
    phase_s = np.concatenate(talking) % 2.5
    in_pause = np.mean(phase_s >= 2.0)
    assert in_pause > 1.3 * 0.2, "a fifth of the time is pause"


def test_a_listener_looks_at_the_viewer_more_and_nods():
    """Argyle and Cook 1976: 75 % of the time while listening, 41 % while speaking."""

    def play_with(speech):
        contact, nods = [], 0
        for seed in range(6):
            life = Life(seed)
            signs = [life.at(k / 50, speech) for k in range(50 * 60)]
            gaze = [np.abs(s.blendshapes[[INDEX["eyeLookOutLeft"], INDEX["eyeLookInLeft"]]]).max() for s in signs]
            contact.append(np.mean(np.array(gaze) < 0.01))
            pitch = np.degrees([s.pose[0] for s in signs])
            nods += np.count_nonzero(np.diff(np.sign(np.diff(pitch))[np.abs(np.diff(pitch)) > 0.05]) != 0)
        return np.mean(contact), nods

    listening, speaking = play_with(lambda time_s: 0.0), play_with(lambda time_s: 1.0)
    assert 0.6 < listening[0] < 0.9
    assert 0.3 < speaking[0] < 0.6
    assert listening[1] > 3 * speaking[1]


def test_micro_expressions_are_faint_and_short_and_leave_the_lips():
    signs = np.array([signs.blendshapes for signs in play(2, 50, 120)])
    lips = [column for name, column in INDEX.items() if name.startswith(("mouth", "jaw", "tongue"))]
    assert np.all(signs[:, lips] == 0)
    squint = signs[:, INDEX["eyeSquintLeft"]]
    assert 0 < squint.max() < 0.15
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], squint > 0.001, [0]]).astype(int))))[::2] / 50
    assert runs.max() <= 0.5


def test_saccades_follow_the_main_sequence():
    """Peak velocity grows with amplitude: 1.5 times the mean of a smooth step, 21 ms + 2.2 ms a degree (Carpenter
    1988)."""
    signs = play(8, 1000, 60)
    gaze = np.array([s.blendshapes[INDEX["eyeLookOutLeft"]] - s.blendshapes[INDEX["eyeLookInLeft"]] for s in signs])
    gaze_deg = gaze * 30
    speed = np.abs(np.diff(gaze_deg)) * 1000
    edges = np.flatnonzero(np.diff(np.concatenate([[0], speed > 0.5, [0]]).astype(int))).reshape(-1, 2)
    lengths_s = [(b - a) / 1000 for a, b in edges if abs(gaze_deg[b] - gaze_deg[a]) > 1.0]
    assert len(lengths_s) > 8
    assert min(lengths_s) > 0.018 and max(lengths_s) < 0.05


def test_an_emotion_neither_jumps_nor_kicks_and_is_the_same_at_every_frame_rate():
    def path(fps):
        state, values = EmotionState(), []
        for k in range(2 * fps):
            values.append(state.at(k / fps))
            if k == fps // 2:
                state.wish("surprised", 1.0)
        return np.array(values)

    slow, fast = path(30), path(60)
    np.testing.assert_allclose(slow[15:], fast[30::2], atol=1e-5)
    acceleration = np.abs(np.diff(fast, 2, axis=0)).max()
    assert acceleration < 0.012, "an exponential begins with a kick of 0.026"


def test_no_emotion_parts_closed_lips():
    from training.motion.lip_gap import LipGap

    lips = LipGap.load()
    closed = np.zeros(52, np.float32)
    for name, value in (("jawOpen", 0.05), ("mouthClose", 0.05), ("mouthRollUpper", 0.1), ("mouthRollLower", 0.1)):
        closed[INDEX[name]] = value
    for name, units in EMOTIONS.items():
        assert lips(units) < 0.01 * lips.face_height_mm, name
        assert lips(closed + units) < 1.0, name
