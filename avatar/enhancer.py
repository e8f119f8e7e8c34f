"""Enhancer: the network that turns a rasterized frame into one that looks path-traced, seen from NumPy.

Everything numeric (scaling, part codes, rounding, clipping) is inside the exported graph, so that every engine and
every language gives the same picture. What is left here is the contract of its tensors.
"""

from collections.abc import Callable

import numpy as np

from avatar.errors import StageError

STAGE = "enhancer"
RASTER, MASK, IMAGE = "RASTER", "MASK", "IMAGE"
"""Names of the tensors."""

Engine = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
"""Runs the network: tensors by name in, tensors by name out; all with a leading batch axis."""


def enhance(engine: Engine, raster: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """One frame through the network.

    Args:
        engine: runs the network.
        raster: [H, W, 4] uint8, RGBA, premultiplied.
        mask: [H, W] uint8, part ids, see `avatar.head.Part`.

    Returns:
        [H, W, 4] uint8, RGBA, premultiplied.

    Raises:
        StageError: a shape or type is not the contract's, on the way in or out.
    """
    return frame(engine(tensors(raster, mask)), raster.shape)


def tensors(raster: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    """The network's inputs for one frame: `RASTER` [1, H, W, 4] and `MASK` [1, H, W], uint8."""
    if raster.ndim != 3 or raster.shape[2] != 4 or raster.dtype != np.uint8:
        raise StageError(
            STAGE, f"{RASTER} must be [H, W, 4] uint8, got {raster.shape} {raster.dtype}; pass one RGBA frame"
        )
    if mask.shape != raster.shape[:2] or mask.dtype != np.uint8:
        raise StageError(
            STAGE,
            f"{MASK} must be {raster.shape[:2]} uint8, got {mask.shape} {mask.dtype}; pass the part ids of that frame",
        )
    return {RASTER: raster[None], MASK: mask[None]}


def frame(outputs: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The picture among the network's outputs; `shape` is that of the raster it was made from."""
    image = outputs.get(IMAGE)
    if image is None or image.shape != (1, *shape) or image.dtype != np.uint8:
        got = f"outputs {sorted(outputs)}" if image is None else f"{image.shape} {image.dtype}"
        raise StageError(STAGE, f"{IMAGE} must be {(1, *shape)} uint8, got {got}; export the network again")
    return image[0]
