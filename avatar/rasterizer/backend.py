"""The interface between the picture and whatever rasterizes it: nvdiffrast's four operations.

A backend on another device implements `RasterBackend`, with arrays of its own kind; `composed.render` runs on it
unchanged as long as those arrays convert to and from NumPy.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avatar.rasterizer import ops


class RasterBackend(Protocol):
    """Shapes, order of arguments and meaning of channels are those of `avatar.rasterizer.ops`."""

    def rasterize(self, pos, tri, resolution, grad_db=True, front=None) -> tuple[np.ndarray, np.ndarray]: ...

    def interpolate(self, attr, rast, tri, rast_db=None, diff_attrs=None) -> tuple[np.ndarray, np.ndarray]: ...

    def texture(
        self, tex, uv, uv_da=None, mip_level_bias=None, mip=None, filter_mode="auto", boundary_mode="wrap"
    ) -> np.ndarray: ...

    def antialias(self, color, rast, pos, tri, topology=None) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class CpuBackend:
    """The operations of `avatar.rasterizer.ops`.

    Attributes:
        depth_tolerance: see `ops.antialias`.
    """

    depth_tolerance: float = 0.01

    rasterize = staticmethod(ops.rasterize)
    interpolate = staticmethod(ops.interpolate)
    texture = staticmethod(ops.texture)

    def antialias(self, color, rast, pos, tri, topology=None) -> np.ndarray:
        return ops.antialias(color, rast, pos, tri, topology, self.depth_tolerance)
