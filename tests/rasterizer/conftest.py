import pytest

from avatar.rasterizer import Renderer

from . import synthetic_avatar


@pytest.fixture(scope="session")
def avatar_dir(tmp_path_factory):
    return synthetic_avatar.write(tmp_path_factory.mktemp("avatars") / "synthetic")


@pytest.fixture(scope="session")
def renderer(avatar_dir):
    return Renderer.load(avatar_dir)
