"""The enhancer's tensors seen from NumPy."""

import numpy as np
import pytest

from avatar.enhancer import IMAGE, MASK, RASTER, enhance
from avatar.errors import StageError

FRAME = np.full((8, 8, 4), 7, np.uint8)
PARTS = np.ones((8, 8), np.uint8)


def invert(tensors):
    assert tensors[MASK].shape == (1, 8, 8)
    return {IMAGE: 255 - tensors[RASTER]}


def test_frame_goes_through_the_engine_with_a_batch_axis():
    assert np.array_equal(enhance(invert, FRAME, PARTS), 255 - FRAME)


@pytest.mark.parametrize(
    "raster, mask, name",
    [
        (FRAME[..., :3], PARTS, "RASTER"),
        (FRAME.astype(np.float32), PARTS, "RASTER"),
        (FRAME, PARTS[:4], "MASK"),
        (FRAME, PARTS.astype(np.int32), "MASK"),
    ],
)
def test_wrong_input_is_named(raster, mask, name):
    with pytest.raises(StageError, match=f"enhancer failed: {name}"):
        enhance(invert, raster, mask)


@pytest.mark.parametrize("outputs", [{}, {IMAGE: FRAME}, {IMAGE: FRAME[None].astype(np.float32)}])
def test_wrong_output_is_named(outputs):
    with pytest.raises(StageError, match="IMAGE"):
        enhance(lambda tensors: outputs, FRAME, PARTS)
