"""The texture atlas as the shading kernel reads it: premultiplied, unused texels filled, with mip levels."""

from dataclasses import dataclass

import cv2
import numpy as np

from avatar.head import Part
from avatar.rasterizer import mipmap, ops

TRANSLUCENT_PARTS = (Part.LASHES, Part.HAIR)
"""Parts whose alpha in the texture counts; all others are opaque."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Mip levels of an RGBA texture.

    Attributes:
        width, height: of level 0, texels.
        texels: [N] uint32, RGBA premultiplied, red lowest; all levels one after the other, rows top down.
        level_offset: [L] int64, index of the first texel of each level.
    """

    width: int
    height: int
    texels: np.ndarray
    level_offset: np.ndarray

    @property
    def level_count(self) -> int:
        return len(self.level_offset)

    def level(self, index: int) -> np.ndarray:
        """One level, [h, w, 4] uint8."""
        height, width = self.height >> index, self.width >> index
        start = self.level_offset[index]
        return self.texels[start : start + width * height].view(np.uint8).reshape(height, width, 4)

    @classmethod
    def build(cls, image: np.ndarray, uv: np.ndarray, faces: np.ndarray, part: np.ndarray) -> "Atlas":
        """Prepare a texture.

        Args:
            image: [h, w, 4] uint8, straight alpha.
            uv: [V, 2] float32 in [0, 1]. faces: [F, 3] int32. part: [F] uint8.
        """
        height, width = image.shape[:2]
        used = chart_mask(uv, faces, width, height)
        translucent = chart_mask(uv, faces[np.isin(part, TRANSLUCENT_PARTS)], width, height)
        pixels = image.astype(np.float32)
        alpha = np.where(translucent, pixels[..., 3], np.float32(255))
        pixels[..., 3] = 255
        pixels *= (alpha / 255)[..., None]
        pixels = mipmap.fill_unused(pixels, used)
        levels, size = [], 0
        offsets = []
        while True:
            offsets.append(size)
            levels.append((pixels + 0.5).astype(np.uint8).reshape(-1).view(np.uint32))
            size += len(levels[-1])
            if pixels.shape[0] % 2 or pixels.shape[1] % 2:
                return cls(width, height, np.concatenate(levels), np.array(offsets, np.int64))
            pixels = mipmap.halve(pixels)


def chart_mask(uv: np.ndarray, faces: np.ndarray, width: int, height: int, margin_texels: int = 2) -> np.ndarray:
    """Texels that the given triangles may read, [height, width] bool."""
    position = np.zeros((len(uv), 4), np.float32)
    position[:, :2] = 2 * uv - 1
    position[:, 3] = 1
    rast, _ = ops.rasterize(position, faces, (height, width), grad_db=False)
    covered = (rast[..., 3] > 0).astype(np.uint8)
    return cv2.dilate(covered, np.ones((2 * margin_texels + 1,) * 2, np.uint8)) > 0


def read_texture(path) -> np.ndarray:
    """A picture file as [h, w, 4] uint8 RGBA; opaque where the file has no alpha."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError(f"a texture must be an 8-bit RGB or RGBA picture, cannot read {path}; convert it to PNG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGBA if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
