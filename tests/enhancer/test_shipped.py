"""The weights that ship, on every avatar as the rasterizer draws it."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from avatar import engine
from avatar.blendshapes import INDEX
from avatar.config import BLENDSHAPE_COUNT
from avatar.enhancer import enhance
from avatar.head import Part
from avatar.rasterizer import Renderer


@pytest.fixture(scope="module")
def network():
    path = Path("model_repository/enhancer/1/model.onnx")
    return partial(enhance, engine.load(path, engine.EngineConfig(precision="f32")).run)


@pytest.fixture(scope="module", params=sorted(path.parent.name for path in Path("avatars").glob("*/avatar.toml")))
def frames(request):
    """Rasters and masks of a face at rest and of an open mouth."""
    renderer = Renderer.load(f"avatars/{request.param}")
    pose = np.zeros(6, np.float32)
    faces = np.zeros((2, BLENDSHAPE_COUNT), np.float32)
    faces[1, INDEX["jawOpen"]] = 0.6
    return [renderer.render(face, pose, face, pose) for face in faces]


def test_the_figure_changes_and_stays_itself(network, frames):
    for frame in frames:
        image = network(frame.raster, frame.mask)
        skin = (frame.mask == Part.SKIN) & (frame.raster[..., 3] == 255)
        change = np.abs(image[skin].astype(int) - frame.raster[skin].astype(int))
        assert 0.5 < change[:, :3].mean() < 12
        assert image[skin][:, 3].mean() > 253


def test_empty_background_stays_empty(network, frames):
    for frame in frames:
        image = network(frame.raster, frame.mask)
        for corner in (image[:48, :96], image[:48, -96:]):
            assert corner[..., 3].max() <= 2


def test_hair_gets_a_soft_edge(network, frames):
    """Loose strands: more half-transparent pixels than the rasterizer's smoothed silhouette has."""
    for frame in frames:
        image = network(frame.raster, frame.mask)

        def soft(picture):
            upper = picture[:200, :, 3]
            return int(((upper > 25) & (upper < 230)).sum())

        assert soft(image) > 1.2 * soft(frame.raster)


def test_equal_frames_give_equal_pictures(network, frames):
    first = network(frames[0].raster, frames[0].mask)
    assert np.array_equal(first, network(frames[0].raster, frames[0].mask))
