"""Straight and premultiplied alpha in 8 bits."""

import numpy as np

from avatar.alpha import premultiply, unpremultiply


def every_color_and_alpha() -> np.ndarray:
    """[256, 256, 4] uint8: levels along the rows, alpha along the columns."""
    level, alpha = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    return np.stack([level, 255 - level, level // 2, alpha], axis=-1).astype(np.uint8)


def pixels(picture: np.ndarray) -> np.ndarray:
    return picture.view(np.uint32).reshape(-1)


def test_both_ways_round_to_the_nearest():
    straight = every_color_and_alpha()
    premultiplied, back = np.empty_like(straight), np.empty_like(straight)
    premultiply(pixels(straight), pixels(premultiplied))
    alpha = straight[..., 3:].astype(float)
    np.testing.assert_array_equal(premultiplied[..., :3], np.floor(straight[..., :3] * alpha / 255 + 0.5))
    unpremultiply(pixels(premultiplied), pixels(back))
    expected = np.floor(premultiplied[..., :3] * 255.0 / np.maximum(alpha, 1) + 0.5)
    np.testing.assert_array_equal(back[:, 1:, :3], expected[:, 1:])
    np.testing.assert_array_equal(back[..., 3], straight[..., 3])


def test_what_does_not_cover_has_no_color():
    stray = np.full((1, 70, 4), (3, 2, 1, 0), np.uint8)
    stray[0, 5] = (9, 8, 7, 255)
    result = np.empty_like(stray)
    unpremultiply(pixels(stray), pixels(result))
    assert result[0, 5].tolist() == [9, 8, 7, 255]
    assert not np.delete(result, 5, axis=1).any()
