"""The head as pixels: color, parts, motion vectors, landmarks and face mesh of one frame."""

from avatar.rasterizer.renderer import RasterResult, Renderer

__all__ = ["RasterResult", "Renderer"]
