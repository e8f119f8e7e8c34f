"""The texture atlas as the shading kernel reads it: premultiplied, unused texels filled, at many sizes."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from avatar.head import Part
from avatar.rasterizer import coverage, mipmap
from avatar.rasterizer.shading import LEVELS_PER_OCTAVE

TRANSLUCENT_PARTS = (Part.LASHES, Part.HAIR, Part.HAIR_FIN)
"""Parts whose alpha in the texture counts; all others are opaque."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """An RGBA texture at `LEVELS_PER_OCTAVE` sizes from one to its half.

    Attributes:
        texels: [N] uint32, RGBA premultiplied, red lowest; all levels one after the other, rows top down.
        level_offset: [L] uint64, index of the first texel of each level.
        level_size: [L, 2] int32, width and height of each level, 2 or more.
    """

    texels: np.ndarray
    level_offset: np.ndarray
    level_size: np.ndarray

    @functools.cached_property
    def level_scale(self) -> np.ndarray:
        """[L, 4] float32: width and height of each level, and the same against level 0."""
        size = self.level_size.astype(np.float32)
        return np.hstack([size, size / size[0]])

    @functools.cached_property
    def level_places(self) -> np.ndarray:
        """[L, 2] int32: first texel of each level, and its width | height << 16."""
        width, height = self.level_size.T
        return np.stack([self.level_offset.astype(np.int32), width | (height << 16)], axis=1)

    @property
    def level_count(self) -> int:
        return len(self.level_size)

    def level(self, index: int) -> np.ndarray:
        """One level, [h, w, 4] uint8."""
        width, height = self.level_size[index]
        start = int(self.level_offset[index])
        return self.texels[start : start + width * height].view(np.uint8).reshape(height, width, 4)

    @classmethod
    def build(cls, image: np.ndarray, uv: np.ndarray, faces: np.ndarray, part: np.ndarray) -> "Atlas":
        """Prepare a texture.

        Args:
            image: [h, w, 4] uint8, straight alpha.
            uv: [V, 2] float32 in [0, 1]. faces: [F, 3] int32. part: [F] uint8.
        """
        height, width = image.shape[:2]
        translucent = chart_mask(uv, faces[np.isin(part, TRANSLUCENT_PARTS)], width, height)
        pixels = image.astype(np.float32)
        alpha = np.where(translucent, pixels[..., 3], np.float32(255))
        pixels[..., 3] = 255
        pixels *= (alpha / 255)[..., None]
        pixels = mipmap.fill_unused(pixels, chart_mask(uv, faces, width, height))
        levels = []
        while True:
            scale = 2 ** (-len(levels) / LEVELS_PER_OCTAVE)
            size = round(width * scale), round(height * scale)
            if min(size) < 2:
                break
            level = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if levels else pixels
            levels.append((level + 0.5).astype(np.uint8))
        return cls(
            texels=np.concatenate([level.reshape(-1).view(np.uint32) for level in levels]),
            level_offset=np.cumsum([0] + [level.size // 4 for level in levels[:-1]]).astype(np.uint64),
            level_size=np.array([level.shape[1::-1] for level in levels], np.int32),
        )


def chart_mask(uv: np.ndarray, faces: np.ndarray, width: int, height: int, margin_texels: int = 2) -> np.ndarray:
    """Texels that the given triangles may read, [height, width] bool."""
    clip = np.zeros((len(uv), 4), np.float32)
    clip[:, :2] = 2 * uv - 1
    clip[:, 3] = 1
    screen, depth_and_inverse_w = np.empty((len(uv), 2), np.int32), np.empty((len(uv), 2), np.float32)
    facing, rows = np.empty(len(faces), np.int8), np.empty((len(faces), 2), np.int16)
    buffer = np.full((height, max(width, coverage.LANES)), coverage.EMPTY)
    coverage.project(clip, width, height, screen, depth_and_inverse_w)
    coverage.orient(screen, faces, height, width, facing, rows)
    drawn = np.flatnonzero(facing).astype(np.int32)
    coverage.rasterize_rows(screen, depth_and_inverse_w, faces, facing, rows, drawn, 0, len(drawn), 0, height, buffer)
    covered = (buffer[:, :width] != coverage.EMPTY).astype(np.uint8)
    return cv2.dilate(covered, np.ones((2 * margin_texels + 1,) * 2, np.uint8)) > 0


def read_texture(path) -> np.ndarray:
    """A picture file as [h, w, 4] uint8 RGBA; opaque where the file has no alpha."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.dtype != np.uint8:
        raise ValueError(f"a texture must be an 8-bit RGB or RGBA picture, cannot read {path}; convert it to PNG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGBA if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
