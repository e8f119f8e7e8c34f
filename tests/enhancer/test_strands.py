"""Targets whose hair shows the raster's strands."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training: needs the training extra (torch, transformers)")

from avatar.head import Part
from training.enhancer.pairs import Pairs
from training.enhancer.strands import with_strands

SIZE = 96


@pytest.fixture
def pairs():
    """Hair above skin before nothing: the raster's strands run down, the truth's are soft and brighter."""
    mask = np.zeros((1, SIZE, SIZE), np.uint8)
    mask[:, 20:60, 20:76], mask[:, 60:90, 20:76] = Part.HAIR, Part.SKIN
    raster, truth = np.zeros((2, 1, SIZE, SIZE, 4), np.uint8)
    raster[mask > 0], truth[mask > 0] = (80, 60, 40, 255), (100, 80, 60, 255)
    raster[:, 20:90, 20:76:4, :3] += 40
    raster[:, 14:20, 40:44] = (60, 40, 20, 200)
    attention, landmarks = np.full((1, SIZE, SIZE), 16, np.uint8), np.zeros((1, 68, 2), np.float32)
    return Pairs(("a",), raster, mask, truth, attention, landmarks)


def test_hair_takes_the_detail_and_keeps_the_color_of_the_truth(pairs):
    mixed = with_strands(pairs, 0.5).truth[0].astype(float)
    inside = np.s_[28:52, 28:68]
    np.testing.assert_allclose(mixed[inside].mean((0, 1)), pairs.truth[0][inside].mean((0, 1)), atol=1.5)
    taken, whole = mixed[inside][..., 0].std(), pairs.raster[0][inside][..., 0].std()
    assert taken == pytest.approx(0.5 * whole, rel=0.15)


def test_loose_hair_before_nothing_shows_and_skin_stays_as_it_is(pairs):
    mixed = with_strands(pairs, 0.5).truth[0]
    assert mixed[17, 41, 3] > 20
    np.testing.assert_array_equal(mixed[74:], pairs.truth[0][74:])
    assert (mixed[..., :3] <= mixed[..., 3:]).all(), "premultiplied"


def test_without_a_share_nothing_changes(pairs):
    assert with_strands(pairs, 0.0) is pairs
    same = with_strands(replace(pairs, raster=pairs.truth), 1.0)
    np.testing.assert_array_equal(same.truth, pairs.truth)
    assert cv2.countNonZero(same.mask[0]) > 0
