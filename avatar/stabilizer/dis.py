"""Motion vectors measured from two pictures, for when the rasterizer gives none.

Source: Kroeger et al. 2016, "Fast optical flow using dense inverse search", in OpenCV's implementation.
"""

import cv2
import numpy as np

LARGEST_MISMATCH_PX = 1.0
"""A vector counts where the flow back from its end returns to within this distance."""


def motion_vectors(image: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Offsets from each pixel of `image` to its place in `previous`.

    Args:
        image, previous: [H, W, 4] uint8, RGBA, premultiplied, at least 16 pixels high and wide.

    Returns:
        [H, W, 2] float16, pixels (x, y); NaN where the picture is transparent or the flow back disagrees, as where a
        surface is hidden.
    """
    height, width = image.shape[:2]
    if min(height, width) < 16:
        return np.full((height, width, 2), np.nan, np.float16)
    now, before = _brightness(image), _brightness(previous)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow, back = search.calc(now, before, None), search.calc(before, now, None)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    returned = cv2.remap(
        back, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    mismatch = np.hypot(*(flow + returned).transpose(2, 0, 1))
    flow[(mismatch > LARGEST_MISMATCH_PX) | (image[..., 3] == 0)] = np.nan
    return flow.astype(np.float16)


def _brightness(picture: np.ndarray) -> np.ndarray:
    """[H, W] uint8: brightness over black, so that the outline counts as well."""
    return cv2.cvtColor(picture, cv2.COLOR_RGBA2GRAY)
