"""Flicker of consecutive frames, before and after the stabilizer."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.catalog import AVATARS_DIR
from avatar.rasterizer import Renderer
from benchmarks.flicker import flicker, mean_flicker, moments, runs_of
from benchmarks.rendering import stabilizer_lines
from training.enhancer.pairs import Entry

RNG = np.random.default_rng(0)


def test_what_moves_with_the_surface_does_not_flicker():
    before = cv2.GaussianBlur(RNG.integers(0, 256, (64, 64, 4), np.uint8), (0, 0), 2.0)
    now = np.roll(before, 3, axis=1)
    motion = np.full((64, 64, 2), np.nan, np.float16)
    motion[8:56, 8:56] = (-3, 0)
    assert flicker(now, before, motion) < 0.5 < flicker(now, before, np.zeros_like(motion))
    assert flicker(now, before, np.full_like(motion, np.nan)) == 0.0


def test_clips_are_the_folders_with_several_frames():
    entries = [Entry(Path(name), np.zeros(52), np.zeros(6), "val") for name in ("b/2.png", "a/1.png", "b/1.png")]
    assert [[entry.picture.name for entry in run] for run in runs_of(entries)] == [["1.png", "2.png"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four frames of a turning head whose truth has fresh noise in each."""
    folder, renderer = tmp_path_factory.mktemp("clip"), Renderer.load(AVATARS_DIR / "default", workers=1)
    entries = []
    for number in range(4):
        pose = np.array([0, 0.01 * number, 0, 0, 0, 0], np.float32)
        entry = Entry(folder / f"{number}.png", np.zeros(52, np.float32), pose, "val")
        drawn = renderer.render(entry.blendshapes, pose, entry.blendshapes, pose).raster.astype(int)
        noisy = drawn + RNG.integers(-20, 21, drawn.shape) * (drawn[..., 3:] == 255)
        straight = np.clip(noisy, 0, 255).astype(np.uint8)
        straight[..., 3] = drawn[..., 3]
        cv2.imwrite(str(entry.picture), cv2.cvtColor(straight, cv2.COLOR_RGBA2BGRA))
        entries.append(entry)
    return moments(entries, renderer, lambda raster, mask: noise_on(raster))


def noise_on(raster):
    noisy = raster[..., :3] + RNG.integers(-20, 21, raster[..., :3].shape) * (raster[..., 3:] == 255)
    return np.dstack([np.clip(noisy, 0, raster[..., 3:]), raster[..., 3]]).astype(np.uint8)


def test_the_stabilizer_takes_flicker_away(run):
    steady, enhanced = mean_flicker([run], "stabilized"), mean_flicker([run], "enhanced")
    assert mean_flicker([run], "raster") < steady < 0.9 * enhanced


def test_lines_tell_of_both_sides_of_the_stabilizer(run):
    text = stabilizer_lines([run], np.full((512, 512, 3), 90, np.uint8))
    assert text.startswith("flicker, warped difference of 255: raster ")
    assert [line.split("|")[1].strip() for line in text.splitlines()[3:]] == ["frame", "face", "mouth"]
    assert stabilizer_lines([], np.zeros((8, 8, 3), np.uint8)).startswith("stabilizer: no clip")
