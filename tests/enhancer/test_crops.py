"""Crops lie where the term looks, whole inside the frame."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from avatar.head import Part  # noqa: E402
from training.enhancer.config import CropConfig  # noqa: E402
from training.enhancer.crops import cut, draw_windows  # noqa: E402

pytestmark = pytest.mark.training


def scene():
    """Hair above, skin below, a mouth in the lower right corner."""
    mask = np.zeros((1, 128, 128), np.uint8)
    mask[0, :20], mask[0, 60:] = Part.HAIR, Part.SKIN
    attention = np.ones((1, 1, 128, 128), np.float32)
    attention[..., 100:, 100:] = 6.0
    return torch.from_numpy(mask), torch.from_numpy(attention)


@pytest.mark.parametrize(
    ("counts", "holds"),
    [((9, 0, 0), lambda mask, attention: (attention > 3).any()),
     ((0, 9, 0), lambda mask, attention: (mask == Part.HAIR).any()),
     ((0, 0, 9), lambda mask, attention: (mask == Part.SKIN).any())],
)  # fmt: skip
def test_each_kind_of_crop_shows_its_region(counts, holds):
    config = CropConfig(32, *counts)
    mask, attention = scene()
    windows = draw_windows(mask, attention, config, np.random.default_rng(0))
    assert len(windows) == 9 and len(set(windows)) > 3
    for parts, weights in zip(cut(mask[:, None], windows, 32), cut(attention, windows, 32), strict=True):
        assert parts.shape == (1, 32, 32)
        assert holds(parts, weights)


def test_a_frame_without_the_region_gives_crops_of_the_figure_or_of_anything():
    mask, attention = scene()
    mask[mask == Part.HAIR] = 0
    config = CropConfig(32, 0, 8, 0)
    windows = draw_windows(mask, attention, config, np.random.default_rng(0))
    assert all((parts == Part.SKIN).any() for parts in cut(mask[:, None], windows, 32))
    assert len(draw_windows(torch.zeros_like(mask), attention, config, np.random.default_rng(0))) == 8


def test_crops_are_the_pixels_of_their_frame():
    mask, attention = (torch.cat([x, x]) for x in scene())
    pictures = torch.arange(2 * 3 * 128 * 128.0).reshape(2, 3, 128, 128)
    windows = draw_windows(mask, attention, CropConfig(64), np.random.default_rng(1))
    crops = cut(pictures, windows, 64)
    assert [w.frame for w in windows] == [0] * 4 + [1] * 4
    for window, crop in zip(windows, crops, strict=True):
        assert crop[0, 0, 0] == pictures[window.frame, 0, window.top, window.left]
        assert crop.shape == (3, 64, 64)


def test_a_frame_smaller_than_a_crop_is_taken_whole():
    mask, attention = scene()
    windows = draw_windows(mask, attention, CropConfig(256), np.random.default_rng(0))
    assert cut(mask[:, None], windows, 256).shape == (4, 1, 128, 128)


def test_crops_that_the_networks_cannot_halve_are_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        CropConfig(size_px=100)
    with pytest.raises(ValueError, match="must be a crop"):
        CropConfig(focus=0, hair=0, skin=0)
