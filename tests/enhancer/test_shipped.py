"""The weights that ship, on every avatar as the rasterizer draws it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
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


@pytest.fixture(scope="module", params=sorted(Path("avatars").glob("*/avatar.toml")), ids=lambda path: path.parent.name)
def renderer(request):
    return Renderer.load(request.param.parent)


def drawn(renderer):
    """Rasters and masks of a face at rest and of an open mouth."""
    pose = np.zeros(6, np.float32)
    faces = np.zeros((2, BLENDSHAPE_COUNT), np.float32)
    faces[1, INDEX["jawOpen"]] = 0.6
    return [renderer.render(face, pose, face, pose) for face in faces]


@pytest.fixture(scope="module")
def frames(renderer):
    return drawn(renderer)


@pytest.fixture(scope="module")
def shells(renderer):
    """Opacity of the same without the fin at the hair's outline."""
    scene = renderer.scene
    shell = replace(scene, tri=scene.tri[: scene.fins_from], part=scene.part[: scene.fins_from])
    return [frame.raster[..., 3] for frame in drawn(Renderer(shell))]


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


def test_hair_has_a_soft_edge_without_dots(network, frames, shells):
    """It reaches beyond the rasterizer's shell, thins out, and shows no trace of where the shell ended."""
    for frame, shell in zip(frames, shells, strict=True):
        upper, shell = network(frame.raster, frame.mask)[:200], shell[:200]
        alpha = upper[..., 3]
        assert ((alpha > 128) & (shell < 64)).sum() > 1000
        assert ((alpha > 25) & (alpha < 230)).sum() > 1500
        rim = cv2.dilate(((shell > 8) & (shell < 248)).astype(np.uint8), np.ones((9, 9))) > 0
        dots = np.abs(upper.astype(int) - cv2.medianBlur(upper, 3)).max(axis=-1)[rim]
        assert np.percentile(dots, 99) < 22


def test_equal_frames_give_equal_pictures(network, frames):
    first = network(frames[0].raster, frames[0].mask)
    assert np.array_equal(first, network(frames[0].raster, frames[0].mask))
