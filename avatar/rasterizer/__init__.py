"""The head as pixels: color, parts, motion vectors and landmarks of one frame."""

from avatar.rasterizer.renderer import RasterResult, Renderer

__all__ = ["RasterResult", "Renderer"]
