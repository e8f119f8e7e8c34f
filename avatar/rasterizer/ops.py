"""The four operations of nvdiffrast on the CPU, without gradients and without the minibatch axis.

Names, order of arguments and meaning of channels are those of `nvdiffrast.torch`, so that its backend can stand in for
this one. Row 0 of a picture is where y/w = -1; a projection that turns y over gives pictures whose first row is the
top.

Source: Laine et al. 2020, "Modular primitives for high-performance differentiable rendering".
"""

import math

import numpy as np

from avatar.rasterizer import coverage, sampling, silhouette
from avatar.rasterizer.mipmap import halve

FILTER_MODES = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARY_MODES = ("wrap", "clamp", "zero")

_PEEL_STEPS = 256
"""Depth steps by which the next layer must lie behind: more than the rounding of z/w to float32."""

_NOTHING_2D = np.zeros((0, 0), np.float32)
_NOTHING_3D = np.zeros((0, 0, 0), np.float32)


def _array(name: str, value, dtype, *shape) -> np.ndarray:
    """`value` as a contiguous array, after checking its shape; an axis given as None may have any length."""
    array = np.ascontiguousarray(value, dtype)
    if array.ndim != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, array.shape, strict=True)
    ):
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"{name} must have shape [{wanted}], got {list(array.shape)}; reshape it before the call")
    return array


def _triangles(tri, vertex_count: int) -> np.ndarray:
    tri = _array("tri", tri, np.int32, None, 3)
    if tri.size and (tri.min() < 0 or tri.max() >= vertex_count):
        raise ValueError(
            f"tri must index the {vertex_count} vertices, got {tri.min()}..{tri.max()}; check that both are of one mesh"
        )
    return tri


def rasterize(pos, tri, resolution, grad_db: bool = True, front=None) -> tuple[np.ndarray, np.ndarray]:
    """The visible triangle of every pixel.

    A triangle with a corner before the near plane, beyond the far plane, or more than a million pixels off the picture,
    is left out as a whole. Both sides of a triangle are drawn.

    Args:
        pos: [V, 4] float32, clip-space x y z w.
        tri: [F, 3] int32, vertex indices.
        resolution: (height, width) in pixels.
        grad_db: whether to return the derivatives, else they are empty.
        front: [H, W, 4] float32, the `rast` of an earlier call: draws the next layer behind it, and nothing where it is
            empty, as nvdiffrast's `DepthPeeler` does.

    Returns:
        rast: [H, W, 4] float32: u, v (perspective-correct weights of corners 0 and 1), z/w, triangle index + 1; zero
            where empty.
        rast_db: [H, W, 4] float32: du/dx, du/dy, dv/dx, dv/dy per pixel, or [H, W, 0].

    Raises:
        ValueError: a shape, an index or the resolution is out of range.
    """
    pos = _array("pos", pos, np.float32, None, 4)
    tri = _triangles(tri, len(pos))
    height, width = (int(length) for length in resolution)
    if not (0 < height <= 8192 and 0 < width <= 8192):
        raise ValueError(f"resolution must be (height, width) within 1..8192 pixels, got {resolution}; render in tiles")
    screen, depth_and_inverse_w, facing, rows = _project(pos, tri, width, height)
    pitch = max(width, coverage.LANES)
    buffer = np.full((height, pitch), coverage.EMPTY)
    if front is not None:
        front = _array("front", front, np.float32, height, width, 4)
        steps = ((front[..., 2].astype(np.float64) + 1) * coverage.DEPTH_STEPS).astype(np.int64) + _PEEL_STEPS
        front = np.where(front[..., 3] > 0, steps << 32, coverage.EMPTY)
        front = np.pad(front, ((0, 0), (0, pitch - width)), constant_values=coverage.EMPTY)
    drawn = np.flatnonzero(facing).astype(np.int32)
    coverage.rasterize_rows(
        screen, depth_and_inverse_w, tri, facing, rows, drawn, 0, len(drawn), 0, height, buffer, front
    )
    face_id = np.ascontiguousarray(coverage.depth_and_face(buffer)[:, :width, 0])
    rast, rast_db = np.empty((2, height, width, 4), np.float32)
    sampling.barycentrics(screen, depth_and_inverse_w, tri, face_id, rast, rast_db)
    return rast, rast_db if grad_db else rast_db[..., :0]


def _project(pos, tri, width: int, height: int):
    screen = np.empty((len(pos), 2), np.int32)
    depth_and_inverse_w = np.empty((len(pos), 2), np.float32)
    facing, rows = np.empty(len(tri), np.int8), np.empty((len(tri), 2), np.int16)
    coverage.project(pos, width, height, screen, depth_and_inverse_w)
    coverage.orient(screen, tri, height, width, facing, rows)
    return screen, depth_and_inverse_w, facing, rows


def interpolate(attr, rast, tri, rast_db=None, diff_attrs=None) -> tuple[np.ndarray, np.ndarray]:
    """Vertex attributes at every pixel.

    Args:
        attr: [V, A] float32.
        rast: [H, W, 4] float32, of `rasterize`.
        tri: [F, 3] int32.
        rast_db: [H, W, 4] float32, of `rasterize`; needed for derivatives.
        diff_attrs: None for no derivatives, or "all".

    Returns:
        out: [H, W, A] float32, zero where nothing is drawn.
        out_da: [H, W, 2A] float32: d/dx, d/dy of each attribute in turn, or [H, W, 0].

    Raises:
        ValueError: a shape is wrong, or derivatives are wanted without `rast_db`.
    """
    attr = _array("attr", attr, np.float32, None, None)
    rast = _array("rast", rast, np.float32, None, None, 4)
    tri = _triangles(tri, len(attr))
    if diff_attrs not in (None, "all"):
        raise ValueError(f"diff_attrs must be None or 'all', got {diff_attrs!r}; pick the channels from the result")
    if diff_attrs and rast_db is None:
        raise ValueError("derivatives of attributes need rast_db, got None; pass the second result of rasterize")
    height, width = rast.shape[:2]
    out = np.empty((height, width, attr.shape[1]), np.float32)
    if not diff_attrs:
        sampling.interpolate_pixels(attr, rast, _NOTHING_3D, tri, out, _NOTHING_3D)
        return out, np.empty((height, width, 0), np.float32)
    out_da = np.empty((height, width, 2 * attr.shape[1]), np.float32)
    sampling.interpolate_pixels(attr, rast, _array("rast_db", rast_db, np.float32, height, width, 4), tri, out, out_da)
    return out, out_da


def texture_construct_mip(tex, max_mip_level: int | None = None) -> list[np.ndarray]:
    """Mip levels 1, 2, ... of `tex` [Th, Tw, C], each the 2x2 box average of the one before, while both sides are
    even."""
    levels = []
    level = _array("tex", tex, np.float32, None, None, None)
    limit = math.inf if max_mip_level is None else max_mip_level
    while len(levels) < limit and level.shape[0] % 2 == 0 and level.shape[1] % 2 == 0:
        level = halve(level)
        levels.append(level)
    return levels


def texture(
    tex, uv, uv_da=None, mip_level_bias=None, mip=None, filter_mode="auto", boundary_mode="wrap", max_mip_level=None
) -> np.ndarray:
    """Texture look-up at every pixel.

    Args:
        tex: [Th, Tw, C] float32.
        uv: [H, W, 2] float32; texel centers lie at ((i + 0.5) / Tw, (j + 0.5) / Th), v = 0 is row 0.
        uv_da: [H, W, 4] float32, du/dx, du/dy, dv/dx, dv/dy per pixel; sets the mip level by the longer axis of the
            footprint.
        mip_level_bias: [H, W] float32, added to that level, or the level itself without `uv_da`.
        mip: levels 1, 2, ... as `texture_construct_mip` makes them; made here where None and needed.
        filter_mode: one of `FILTER_MODES`, or "auto": trilinear where `uv_da` or `mip_level_bias` is given, else
            bilinear.
        boundary_mode: one of `BOUNDARY_MODES`.
        max_mip_level: the last level to use.

    Returns:
        [H, W, C] float32; zero where uv is not finite.

    Raises:
        ValueError: a shape is wrong, a mode is unknown, or a mip filter has nothing to choose its level by.
    """
    tex = _array("tex", tex, np.float32, None, None, None)
    uv = _array("uv", uv, np.float32, None, None, 2)
    height, width = uv.shape[:2]
    has_level = uv_da is not None or mip_level_bias is not None
    if filter_mode == "auto":
        filter_mode = "linear-mipmap-linear" if has_level else "linear"
    for name, value, known in (
        ("filter_mode", filter_mode, FILTER_MODES),
        ("boundary_mode", boundary_mode, BOUNDARY_MODES),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}; correct the name")
    levels = [tex]
    if "mipmap" in filter_mode:
        if not has_level:
            raise ValueError(
                f"filter mode {filter_mode} needs uv_da or mip_level_bias, got neither; pass one or use 'linear'"
            )
        levels += texture_construct_mip(tex, max_mip_level) if mip is None else list(mip)[:max_mip_level]
    out = np.empty((height, width, tex.shape[2]), np.float32)
    sampling.sample_pixels(
        tuple(levels),
        uv,
        _NOTHING_3D if uv_da is None else _array("uv_da", uv_da, np.float32, height, width, 4),
        _NOTHING_2D if mip_level_bias is None else _array("mip_level_bias", mip_level_bias, np.float32, height, width),
        FILTER_MODES.index(filter_mode),
        BOUNDARY_MODES.index(boundary_mode),
        out,
    )
    return out


def antialias(color, rast, pos, tri, topology=None, depth_tolerance: float = 0.01) -> np.ndarray:
    """Blend pixels along visible silhouettes by the area that each side of the edge covers.

    Args:
        color: [H, W, C] float32.
        rast: [H, W, 4] float32, of `rasterize`.
        pos: [V, 4] float32, clip-space x y z w. tri: [F, 3] int32.
        topology: [F, 3] int32, of `silhouette.edge_neighbors`; worked out here where None. Without it vertices that are
            split at texture seams look like borders of the surface.
        depth_tolerance: z/w by which a surface may come nearer between its rim and the next pixel center.

    Returns:
        [H, W, C] float32.

    Raises:
        ValueError: a shape or an index is wrong.
    """
    color = _array("color", color, np.float32, None, None, None)
    height, width, channels = color.shape
    rast = _array("rast", rast, np.float32, height, width, 4)
    pos = _array("pos", pos, np.float32, None, 4)
    tri = _triangles(tri, len(pos))
    neighbors = (
        silhouette.edge_neighbors(tri) if topology is None else _array("topology", topology, np.int32, len(tri), 3)
    )
    screen, depth_and_inverse_w, facing, _ = _project(pos, tri, width, height)
    depth = np.full((height, width, 2), np.iinfo(np.int32).max, np.int32)
    depth[..., 1] = np.where(
        rast[..., 3] > 0, (rast[..., 2].astype(np.float64) + 1) * coverage.DEPTH_STEPS, depth[..., 1]
    )
    pairs = np.empty((4 * height * width, 2), np.int32)
    weights = np.empty(len(pairs), np.float32)
    count = silhouette.find_crossings(
        screen,
        depth_and_inverse_w,
        tri,
        facing,
        neighbors,
        silhouette.edges(neighbors),
        True,
        depth_tolerance,
        depth,
        pairs,
        weights,
    )
    silhouette.weigh_crossings(
        pairs, weights, np.array([0]), np.array([count]), np.full((height * width, 4), -1, np.int32)
    )
    source = color.reshape(-1, channels)
    out = source.copy()
    takes, gives = pairs[:count].T
    np.add.at(out, takes, weights[:count, None] * (source[gives] - source[takes]))
    return out.reshape(color.shape)
