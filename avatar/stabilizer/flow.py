"""Flow-guided exponential moving average of the picture.

The previous output is carried along the motion of the surface, limited to the colors that the current neighborhood
shows, and averaged with the current picture. Without motion vectors the flow is measured from the pictures.
"""

from dataclasses import dataclass
from threading import local

import numpy as np

from avatar.stabilizer import dis, kernels


@dataclass(frozen=True, slots=True)
class StabilizerConfig:
    """How much of the past stays.

    Attributes:
        current_weight: share of the current picture in the result, a multiple of 1/256 in (0, 1].
        slack_levels: levels of 255 by which the past may leave the range of the current 3x3 neighborhood.
    """

    current_weight: float = 0.75
    slack_levels: int = 3

    def __post_init__(self):
        if not 0 < self.current_weight <= 1:
            raise ValueError(
                f"current_weight must lie in (0, 1], got {self.current_weight}; 1 switches the average off"
            )
        if not 0 <= self.slack_levels <= 255:
            raise ValueError(f"slack_levels must lie in 0..255, got {self.slack_levels}; 255 switches the limit off")


class _Scratch(local):
    """Buffers of each thread, for the picture size it met last."""

    shape = None

    def fit(self, height: int, width: int) -> "_Scratch":
        if self.shape != (height, width):
            self.shape = (height, width)
            self.warped = np.empty((height, width), np.uint32)
            self.previous = np.zeros(height * width + width + 1, np.uint32)
            self.low, self.high = np.empty((2, 4 * width + 8), np.uint8)
        return self


_scratch = _Scratch()


def stabilize(
    image: np.ndarray, previous: np.ndarray, motion_vectors: np.ndarray | None, config: StabilizerConfig | None = None
) -> np.ndarray:
    """Hold a picture steady.

    Args:
        image: [H, W, 4] uint8, RGBA of this frame, premultiplied.
        previous: [H, W, 4] uint8, the result for the frame before; zero everywhere for the first frame, which passes
            unchanged.
        motion_vectors: [H, W, 2] float16, pixels (x, y) from each pixel to its place in `previous`; where it is NaN the
            current pixel passes unchanged. None, or NaN everywhere: the flow is measured from the pictures.
        config: how much of the past stays.

    Returns:
        [H, W, 4] uint8, RGBA, premultiplied.

    Raises:
        ValueError: shapes or types do not fit.
    """
    config = config or StabilizerConfig()
    image, previous = _picture("image", image), _picture("previous", previous)
    if image.shape != previous.shape:
        raise ValueError(
            f"image and previous must have one shape, got {image.shape} and {previous.shape}; resize one of them"
        )
    height, width = image.shape[:2]
    scratch = _scratch.fit(height, width)
    scratch.previous[: height * width] = _pixels(previous).reshape(-1)
    if not _pixels(previous).any():
        return image.copy()
    if motion_vectors is None or not _warp(image, scratch, _motion(motion_vectors, height, width)):
        _warp(image, scratch, dis.motion_vectors(image, previous))
    result = np.empty_like(image)
    kernels.blend_within_neighborhood(
        _channels(_pixels(image)),
        _channels(scratch.warped),
        round(config.current_weight * 256),
        config.slack_levels,
        scratch.low,
        scratch.high,
        _channels(_pixels(result)),
    )
    return result


def _warp(image: np.ndarray, scratch: _Scratch, motion: np.ndarray) -> bool:
    return kernels.warp(_pixels(image), scratch.previous, motion.view(np.uint32)[..., 0], scratch.warped)


def _picture(name: str, value: np.ndarray) -> np.ndarray:
    if value.ndim != 3 or value.shape[2] != 4 or value.dtype != np.uint8 or value.size == 0:
        raise ValueError(
            f"{name} must be [H, W, 4] uint8, got {list(value.shape)} {value.dtype}; pass RGBA, premultiplied"
        )
    return np.ascontiguousarray(value)


def _motion(value: np.ndarray, height: int, width: int) -> np.ndarray:
    if value.shape != (height, width, 2) or value.dtype != np.float16:
        wanted = f"[{height}, {width}, 2] float16"
        raise ValueError(f"motion_vectors must be {wanted}, got {list(value.shape)} {value.dtype}; convert them")
    return np.ascontiguousarray(value)


def _pixels(picture: np.ndarray) -> np.ndarray:
    """[H, W, 4] uint8 as [H, W] uint32, red lowest."""
    return picture.view(np.uint32)[..., 0]


def _channels(pixels: np.ndarray) -> np.ndarray:
    return pixels.view(np.uint8).reshape(len(pixels), -1)
