"""Which faces to render: speech-like mouths, free combinations, blinks, gaze, brows, head poses, runs of motion."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from avatar.blendshapes import ARKIT, INDEX
from avatar.config import BLENDSHAPE_COUNT
from training.teacher.poses import AIMS, CHANNELS, columns

TEMPORAL_FRAMES = 6
"""Frames of a validation clip, 1/30 s apart."""

FREE_LIMIT = dict.fromkeys(ARKIT, 0.7) | {
    "jawForward": 0.4, "jawLeft": 0.35, "jawRight": 0.35, "jawOpen": 0.75, "mouthClose": 0.0,
    "cheekPuff": 0.5, "tongueOut": 0.5, "mouthLeft": 0.5, "mouthRight": 0.5,
}  # fmt: skip
"""Largest coefficient of a free combination."""

YAW_PITCH_ROLL_DEG = (12.0, 8.0, 6.0)
TRANSLATION_M = (0.005, 0.004, 0.006)


@dataclass(frozen=True)
class Sample:
    """One face to render.

    Attributes:
        clip: name of the clip it belongs to; a split never divides a clip.
        split: "train", "val" or "test".
        blendshapes: [52] float32 in [0, 1].
        pose: [6] float32, rad and m.
    """

    clip: str
    split: str
    blendshapes: np.ndarray
    pose: np.ndarray


def speech_mouth(random: np.random.Generator) -> np.ndarray:
    """[52] a mouth between two visemes, exaggerated or mumbled, with the lips pressed or rolled now and then."""
    face = np.zeros(BLENDSHAPE_COUNT)
    first, second = AIMS[random.integers(len(AIMS), size=2)]
    aim = (first + random.uniform(0, 1) * (second - first)) * random.uniform(0.6, 1.35)
    for channel, value in zip(CHANNELS, aim, strict=True):
        face[list(columns(channel))] = value
    kind = random.uniform()
    if kind < 0.18:
        face[INDEX["mouthClose"]] = face[INDEX["jawOpen"]] * random.uniform(0.7, 1.0)
        press = random.uniform(0, 0.6)
        face[[INDEX["mouthPressLeft"], INDEX["mouthPressRight"]]] = press
        face[[INDEX["mouthRollLower"], INDEX["mouthRollUpper"]]] = random.uniform(0, 0.5, 2)
    elif kind < 0.30:
        face[INDEX["mouthRollLower"]] = random.uniform(0.2, 0.7)
        face[[INDEX["mouthUpperUpLeft"], INDEX["mouthUpperUpRight"]]] = random.uniform(0.1, 0.5)
    if random.uniform() < 0.35:
        smile = random.uniform(0.05, 0.6)
        for side in ("Left", "Right"):
            face[INDEX[f"mouthSmile{side}"]] += smile * random.uniform(0.85, 1.15)
            face[INDEX[f"cheekSquint{side}"]] += 0.6 * smile
            face[INDEX[f"eyeSquint{side}"]] += 0.4 * smile
    elif random.uniform() < 0.2:
        face[[INDEX["mouthFrownLeft"], INDEX["mouthFrownRight"]]] += random.uniform(0.05, 0.5)
    return face


def free_face(random: np.random.Generator) -> np.ndarray:
    """[52] a random combination of 2 to 7 coefficients, left and right mostly alike."""
    face = np.zeros(BLENDSHAPE_COUNT)
    for name in random.choice(ARKIT, random.integers(2, 8), replace=False):
        if name.startswith(("eyeBlink", "eyeLook")):
            continue
        value = FREE_LIMIT[name] * random.uniform(0, 1)
        face[INDEX[name]] = value
        for side, other in (("Left", "Right"), ("Right", "Left")):
            twin = name.removesuffix(side) + other
            if (
                name.endswith(side)
                and twin in INDEX
                and random.uniform() < 0.75
                and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
            ):
                face[INDEX[twin]] = value * random.uniform(0.8, 1.2)
    return face


def living_eyes(random: np.random.Generator, face: np.ndarray) -> None:
    """Adds gaze, blinks of every degree and brows to `face` [52]."""
    horizontal, vertical = np.clip(random.normal(0, (0.28, 0.20)), -0.8, 0.7)
    for side, inwards in (("Left", -1.0), ("Right", 1.0)):
        face[INDEX[f"eyeLookIn{side}"]] = max(0.0, inwards * horizontal)
        face[INDEX[f"eyeLookOut{side}"]] = max(0.0, -inwards * horizontal)
        face[INDEX[f"eyeLookUp{side}"]], face[INDEX[f"eyeLookDown{side}"]] = max(0.0, vertical), max(0.0, -vertical)
    if random.uniform() < 0.32:
        lid = random.choice([random.uniform(0.1, 0.9), 1.0], p=[0.7, 0.3])
        face[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = lid, lid * 0.985
    if random.uniform() < 0.35:
        inner, outer, down = random.uniform(0, 0.7, 3) * (random.uniform(0, 1, 3) < (0.5, 0.5, 0.35))
        face[INDEX["browInnerUp"]] += inner
        for side in ("Left", "Right"):
            face[INDEX[f"browOuterUp{side}"]] += outer
            face[INDEX[f"browDown{side}"]] += down


def head_pose(random: np.random.Generator) -> np.ndarray:
    """[6] rotation in rad and translation in m; most heads look nearly ahead, some turn to the limit."""
    reach = random.choice([0.35, 1.0], p=[0.5, 0.5])
    yaw, pitch, roll = np.radians(YAW_PITCH_ROLL_DEG) * random.uniform(-1, 1, 3) * reach
    return np.concatenate([(pitch, yaw, roll), np.array(TRANSLATION_M) * random.uniform(-1, 1, 3)])


def draw(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One face [52] and head pose [6], float32."""
    kind = random.uniform()
    if kind < 0.62:
        face = speech_mouth(random)
    elif kind < 0.84:
        face = free_face(random)
    elif kind < 0.94:
        face = np.zeros(BLENDSHAPE_COUNT)
    else:
        face = 0.6 * (speech_mouth(random) + free_face(random))
    living_eyes(random, face)
    return np.clip(face, 0, 1).astype(np.float32), head_pose(random).astype(np.float32)


def sample(index: int, seed: int = 0) -> Sample:
    """The `index`-th face: a pure function of index and seed.

    Of 20 faces 16 are single training faces, 2 single faces of the test split, and 2 belong to a validation clip of
    `TEMPORAL_FRAMES` consecutive frames; so every prefix is a good mix. Face 0 is the face at rest.
    """
    block, place = divmod(index, 20)
    if index == 0:
        return Sample("rest", "train", np.zeros(BLENDSHAPE_COUNT, np.float32), np.zeros(6, np.float32))
    if place in (7, 17):
        random = np.random.default_rng((seed, 1, index))
        return Sample(f"test{index:05d}", "test", *draw(random))
    if place in (5, 15):
        number, frame = divmod(2 * block + (place == 15), TEMPORAL_FRAMES)
        random = np.random.default_rng((seed, 2, number))
        (start, start_pose), (end, end_pose) = draw(random), draw(random)
        share = frame / (TEMPORAL_FRAMES - 1)
        # Full travel takes 0.17 s, the pace of quick speech; the head is ten times slower.
        face, pose = start + share * (end - start), start_pose + 0.1 * share * (end_pose - start_pose)
        return Sample(f"val{number:03d}", "val", face.astype(np.float32), pose.astype(np.float32))
    return Sample(f"train{index:05d}", "train", *draw(np.random.default_rng((seed, 0, index))))


def training_faces(first: int, count: int) -> list[Sample]:
    """`count` faces of the training split, from index `first` on."""
    faces = (sample(index) for index in itertools.count(first))
    return list(itertools.islice((face for face in faces if face.split == "train"), count))
