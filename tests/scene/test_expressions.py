"""The faces that are rendered: reproducible, within their limits, and split by clip."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from avatar.blendshapes import INDEX
from training.scene.expressions import TEMPORAL_FRAMES, TRANSLATION_M, YAW_PITCH_ROLL_DEG, sample, training_faces

COUNT = 400


@pytest.fixture(scope="module")
def samples():
    return [sample(index) for index in range(COUNT)]


def test_a_face_is_a_function_of_its_index(samples):
    for index in (0, 5, 7, 123):
        again = sample(index)
        np.testing.assert_array_equal(again.blendshapes, samples[index].blendshapes)
        np.testing.assert_array_equal(again.pose, samples[index].pose)
    assert not np.array_equal(samples[1].blendshapes, samples[2].blendshapes)


def test_coefficients_and_poses_stay_within_limits(samples):
    faces, poses = np.stack([face.blendshapes for face in samples]), np.stack([face.pose for face in samples])
    assert faces.min() >= 0 and faces.max() <= 1
    yaw, pitch, roll = YAW_PITCH_ROLL_DEG
    assert (np.abs(np.degrees(poses[:, :3])).max(0) <= np.array((pitch, yaw, roll)) + 1e-3).all()
    assert (np.abs(poses[:, 3:]).max(0) <= np.array(TRANSLATION_M) + 1e-7).all()


def test_no_clip_is_divided_between_splits(samples):
    splits = defaultdict(set)
    for face in samples:
        splits[face.clip].add(face.split)
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize("prefix", [60, 200, COUNT])
def test_every_prefix_is_a_good_mix(samples, prefix):
    share = Counter(face.split for face in samples[:prefix])
    assert share["train"] == 0.8 * prefix and share["val"] == share["test"] == 0.1 * prefix
    faces = np.stack([face.blendshapes for face in samples[:prefix]])
    closed, open_mouth = faces[:, INDEX["eyeBlinkLeft"]] > 0.8, faces[:, INDEX["jawOpen"]] > 0.10
    assert 0.03 < closed.mean() < 0.3
    assert 0.25 < open_mouth.mean() < 0.7


def test_validation_clips_are_runs_of_motion(samples):
    clips = defaultdict(list)
    for face in samples:
        if face.split == "val":
            clips[face.clip].append(face)
    whole = [clip for clip in clips.values() if len(clip) == TEMPORAL_FRAMES]
    assert len(whole) >= 5
    for clip in whole:
        steps = np.diff([face.blendshapes for face in clip], axis=0)
        np.testing.assert_allclose(steps, np.broadcast_to(steps[:1], steps.shape), atol=1e-5)
        assert np.abs(steps).max() > 0


def test_training_faces_pass_over_held_out_ones():
    faces = training_faces(4, 5)
    assert {face.split for face in faces} == {"train"}
    assert [face.clip for face in faces] == [f"train{index:05d}" for index in (4, 6, 8, 9, 10)]
