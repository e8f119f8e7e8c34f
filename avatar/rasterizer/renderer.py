"""One picture of the head: the production path, fused kernels on a few threads."""

import threading
import time
from collections import OrderedDict
from os import PathLike
from typing import NamedTuple

import numpy as np

from avatar.config import BLENDSHAPE_COUNT, FRAME_SIZE
from avatar.head import Part
from avatar.rasterizer import compose, coverage, points, shading, silhouette
from avatar.rasterizer.light import add_spot
from avatar.rasterizer.scene import Scene
from avatar.rasterizer.workers import Workers

_VIEWS_KEPT = 64
_PAIRS_PER_ROW = 64
_EYES = int(Part.EYES)  # To tell a compiled kernel the type of a member of an enumeration takes 0.1 ms a call.


class RasterResult(NamedTuple):
    """One rasterized frame.

    Attributes:
        raster: [H, W, 4] uint8, RGBA, premultiplied.
        mask: [H, W] uint8, values of `avatar.head.Part`.
        motion_vectors: [H, W, 2] float16, pixels (x, y) to where the point was in the previous frame; NaN where there
            is none.
        landmarks: [68, 2] float32, pixels (x, y) from the top left corner.
        face_mesh: [478, 3] float32, pixels: x, y as of the landmarks, and how far behind the mean of the points each
            lies at the scale that the picture has there (weak perspective; smaller is nearer). NaN where the head has
            none.
    """

    raster: np.ndarray
    mask: np.ndarray
    motion_vectors: np.ndarray
    landmarks: np.ndarray
    face_mesh: np.ndarray


class _View:
    """A posed head as the camera sees it; its triangles dealt to stripes of the picture."""

    def __init__(self, scene: Scene, vertices: np.ndarray, pose: np.ndarray, stripes: int):
        landmarks = scene.head.landmarks(vertices)
        self.light = scene.light.factors(vertices, landmarks, pose)
        self.spots = scene.light.spots(vertices, scene.matrix, scene.size_px)
        self.screen = np.empty((len(vertices), 2), np.int32)
        self.depth_and_inverse_w = np.empty((len(vertices), 2), np.float32)
        self.facing, self.rows = np.empty(len(scene.tri), np.int8), np.empty((len(scene.tri), 2), np.int16)
        clip = np.empty((len(vertices), 4), np.float32)
        coverage.transform(vertices, scene.matrix, clip)
        coverage.project(clip, scene.size_px, scene.size_px, self.screen, self.depth_and_inverse_w)
        coverage.orient(self.screen, scene.tri, scene.size_px, scene.size_px, self.facing, self.rows)
        room = len(scene.tri) + shading.LANES + 1
        self.drawn = np.zeros(room, np.int32)
        self.opaque_drawn = coverage.list_drawn(self.facing, self.rows, 0, scene.opaque_count, False, self.drawn, 0)
        layer_drawn = coverage.list_drawn(
            self.facing, self.rows, scene.opaque_count, scene.fins_from, True, self.drawn, self.opaque_drawn
        )
        self.all_drawn = coverage.list_drawn(
            self.facing, self.rows, scene.fins_from, len(scene.tri), False, self.drawn, layer_drawn
        )
        self.opaque = _dealt(self, 0, self.opaque_drawn, stripes)
        self.layer = _dealt(self, self.opaque_drawn, layer_drawn, stripes)
        self.fins = _dealt(self, layer_drawn, self.all_drawn, stripes)
        self.layer_rows = _rows(self.screen[scene.layer_vertices, 1], scene.size_px)
        self.landmarks = points.project(landmarks, scene.matrix, scene.size_px)[:, :2]
        self.face_mesh = points.project(scene.head.face_mesh(vertices), scene.matrix, scene.size_px)


def _dealt(view: _View, first: int, last: int, stripes: int) -> tuple[np.ndarray, list[int]]:
    """The view's triangles first..last-1 by stripes: their indices, and where each stripe's begin."""
    if stripes == 1:
        return view.drawn[first:last], [0, last - first]
    starts = np.empty(stripes + 1, np.int64)
    coverage.count_by_stripe(view.rows, view.drawn, first, last, starts)
    dealt = np.empty(starts[-1], np.int32)
    coverage.deal_by_stripe(view.rows, view.drawn, first, last, starts, dealt)
    return dealt, starts.tolist()


def _rows(heights: np.ndarray, size_px: int) -> tuple[int, int]:
    """Range of rows that points at `heights` (1/256 pixel) lie in, with one to spare on either side."""
    if not len(heights):
        return 0, 0
    first, last = int(heights.min()) // coverage.SUBPIXELS - 1, int(heights.max()) // coverage.SUBPIXELS + 2
    return min(max(first, 0), size_px), min(max(last, 0), size_px)


class _Scratch:
    """Buffers that are kept between frames: fresh ones would cost more in page faults than the drawing itself."""

    def __init__(self, size_px: int, vertex_count: int, face_count: int):
        picture = (size_px, size_px)
        self.surface, self.layer_surface, self.second_surface = np.empty((3, *picture), np.int64)
        tile_count = -(-size_px // coverage.TILE_PX)
        self.open_tiles = np.zeros((tile_count, tile_count), np.bool_)
        self.layer = np.zeros(picture, np.uint32)
        self.packed = np.empty((vertex_count, 8), np.float32)
        self.planes = np.zeros((face_count + 1, shading.PLANES), np.float32)
        self.light = np.empty((face_count, 3), np.float32)
        self.pairs = np.empty((_PAIRS_PER_ROW * size_px, 2), np.int32)
        self.weights = np.empty(len(self.pairs), np.float32)
        self.change = np.empty((len(self.pairs), 4), np.float32)
        self.slots = np.full((size_px * size_px, 4), -1, np.int32)


class Renderer:
    """Draws a scene. Equal arguments give equal bytes; calls from several threads are safe.

    Args:
        scene: what to draw.
        workers: threads that share one picture.
    """

    def __init__(self, scene: Scene, workers: int = 2):
        self.scene = scene
        self._rim_depth = scene.rim_depth
        self._workers = Workers(workers)
        # One thread gains nothing from stripes.
        self._stripe_rows = scene.size_px if workers == 1 else coverage.STRIPE_ROWS
        self._stripes = -(-scene.size_px // self._stripe_rows)
        self._local = threading.local()
        self._views: OrderedDict[bytes, _View] = OrderedDict()
        self._views_lock = threading.Lock()

    @classmethod
    def load(cls, avatar_dir: str | PathLike, workers: int = 2, size_px: int = FRAME_SIZE) -> "Renderer":
        """The renderer of the avatar in a folder, see docs/architecture.md; its kernels are compiled when this
        returns."""
        renderer = cls(Scene.load(avatar_dir, size_px), workers)
        rest = np.zeros(BLENDSHAPE_COUNT, np.float32), np.zeros(6, np.float32)
        renderer.render(*rest, *rest)
        return renderer

    def render(
        self, blendshapes, pose, previous_blendshapes, previous_pose, profile: dict | None = None
    ) -> RasterResult:
        """Draw one frame.

        Args:
            blendshapes: [52] float32, ARKit coefficients in [0, 1].
            pose: [6] float32, head rotation (rad, axis-angle) and translation (m).
            previous_blendshapes, previous_pose: those of the frame before, from which motion is measured.
            profile: where given, the milliseconds of each step are added to it.

        Raises:
            ValueError: a shape is wrong or a value is not finite.
        """
        blendshapes, pose = _vector("blendshapes", blendshapes, BLENDSHAPE_COUNT), _vector("pose", pose, 6)
        previous_blendshapes = _vector("previous_blendshapes", previous_blendshapes, BLENDSHAPE_COUNT)
        previous_pose = _vector("previous_pose", previous_pose, 6)
        lap = _Laps(profile)
        previous = self._view(previous_blendshapes, previous_pose)
        view = self._view(blendshapes, pose)
        lap("pose")
        scratch, size_px, run = self._scratch, self.scene.size_px, self._workers.run
        raster = np.empty((size_px, size_px, 4), np.uint8)
        mask = np.empty((size_px, size_px), np.uint8)
        motion = np.empty((size_px, size_px, 2), np.float16)
        shading.pack_vertices(
            view.screen, view.depth_and_inverse_w, self.scene.uv_texels, view.light, previous.screen, scratch.packed
        )
        run(lambda share: self._find_planes(scratch, view, previous, share))
        lap("planes")
        pixels, moved = raster.view(np.uint32)[..., 0], motion.view(np.uint32)[..., 0]
        run(lambda stripe: self._draw(scratch, view, pixels, mask, moved, stripe), self._stripes)
        for spot in view.spots:
            add_spot(raster, mask, _EYES, spot.x_px, spot.y_px, spot.radius_px, spot.levels)
        lap("draw")
        self._smooth(scratch, view, self.scene.edges, False, scratch.surface, raster)
        if self._has_layer:
            self._smooth(scratch, view, self.scene.layer_edges, True, scratch.layer_surface, raster)
        lap("antialias")
        return RasterResult(raster, mask, motion, view.landmarks.copy(), view.face_mesh.copy())

    @property
    def _scratch(self) -> _Scratch:
        if not hasattr(self._local, "scratch"):
            self._local.scratch = _Scratch(self.scene.size_px, len(self.scene.uv_texels), len(self.scene.tri))
        return self._local.scratch

    def _view(self, blendshapes: np.ndarray, pose: np.ndarray) -> _View:
        """The posed head; kept for a while, because a frame's controls come again as the next frame's previous ones."""
        key = blendshapes.tobytes() + pose.tobytes()
        with self._views_lock:
            view = self._views.get(key)
        if view is None:
            view = _View(self.scene, self.scene.head.pose(blendshapes, pose), pose, self._stripes)
            with self._views_lock:
                self._views[key] = view
                while len(self._views) > _VIEWS_KEPT:
                    self._views.popitem(last=False)
        return view

    def _find_planes(self, scratch: _Scratch, view: _View, previous: _View, share: int) -> None:
        scene, count = self.scene, self._workers.shares
        blocks = -(-view.all_drawn // shading.LANES)
        shading.find_planes(
            scratch.packed, scene.tri, scene.face_table, view.drawn, blocks * share // count,
            blocks * (share + 1) // count, previous.facing, scene.atlas.level_scale, scene.opaque_count,
            scratch.planes, scratch.light,
        )  # fmt: skip

    def _draw(self, scratch: _Scratch, view: _View, picture, mask, motion, stripe: int) -> None:
        """Cover and shade one stripe, the translucent layer included."""
        first_row = stripe * self._stripe_rows
        rows = first_row, min(first_row + self._stripe_rows, self.scene.size_px)
        layer_rows = max(rows[0], view.layer_rows[0]), min(rows[1], view.layer_rows[1])

        def cover(of_view, rows, surface, *behind) -> None:
            drawn, starts = of_view
            coverage.rasterize_rows(
                view.screen, view.depth_and_inverse_w, self.scene.tri, view.facing, view.rows, drawn, starts[stripe],
                starts[stripe + 1], *rows, surface, *behind,
            )  # fmt: skip

        def shade(surface, kind, rows, color) -> None:
            atlas = self.scene.atlas
            shading.shade_rows(
                coverage.depth_and_face(surface), scratch.planes, scratch.light, atlas.texels, atlas.level_places, kind,
                *rows, picture, color, mask, motion,
            )  # fmt: skip

        surface, layer, second = scratch.surface, scratch.layer_surface, scratch.second_surface
        surface[slice(*rows)] = coverage.EMPTY
        cover(view.opaque, rows, surface)
        shade(surface, shading.SURFACE, rows, picture)
        if layer_rows[0] >= layer_rows[1]:
            return
        coverage.begin_layer_rows(surface, *layer_rows, layer)
        cover(view.layer, layer_rows, layer)
        shade(layer, shading.LAYER, layer_rows, scratch.layer)
        opacity = scratch.layer.view(np.uint8).reshape(*scratch.layer.shape, 4)
        coverage.begin_second_layer_rows(surface, layer, opacity, *layer_rows, second, scratch.open_tiles)
        cover(view.layer, layer_rows, second, layer, scratch.open_tiles)
        shade(second, shading.SECOND_LAYER, layer_rows, scratch.layer)
        if len(view.fins[0]):
            coverage.begin_layer_rows(surface, *layer_rows, second)
            cover(view.fins, layer_rows, second)
            shade(second, shading.FINS, layer_rows, scratch.layer)
        compose.cover_rows(scratch.layer, *layer_rows, picture)

    def _smooth(self, scratch: _Scratch, view: _View, edges, both_sides: bool, surface, picture) -> None:
        scene, count = self.scene, self._workers.shares
        room = len(scratch.pairs) // count
        starts = np.arange(count) * room
        stops = starts.copy()

        def find(worker: int) -> None:
            share = edges[len(edges) * worker // count : len(edges) * (worker + 1) // count]
            own = slice(starts[worker], starts[worker] + room)
            stops[worker] += silhouette.find_crossings(
                view.screen, view.depth_and_inverse_w, scene.tri, view.facing, scene.neighbors, share, both_sides,
                self._rim_depth, coverage.depth_and_face(surface), scratch.pairs[own], scratch.weights[own],
            )  # fmt: skip

        self._workers.run(find)
        silhouette.weigh_crossings(scratch.pairs, scratch.weights, starts, stops, scratch.slots)
        compose.blend_pairs(scratch.pairs, scratch.weights, starts, stops, picture, scratch.change)

    @property
    def _has_layer(self) -> bool:
        return self.scene.opaque_count < len(self.scene.tri)


class _Laps:
    """Adds up the milliseconds between calls under the names given, or does nothing without a dictionary."""

    def __init__(self, profile: dict | None):
        self._profile = profile
        self._last_s = time.perf_counter()

    def __call__(self, name: str) -> None:
        if self._profile is not None:
            now_s = time.perf_counter()
            self._profile[name] = self._profile.get(name, 0.0) + (now_s - self._last_s) * 1000
            self._last_s = now_s


def _vector(name: str, value, length: int) -> np.ndarray:
    vector = np.ascontiguousarray(value, np.float32)
    if vector.shape != (length,):
        raise ValueError(f"{name} must have shape [{length}], got {list(vector.shape)}; pass the values of one frame")
    finite = np.isfinite(vector)
    if not finite.all():
        place = int(np.argmin(finite))
        raise ValueError(f"{name} must be finite, got {vector[place]} at {place}; repair it or repeat the last frame's")
    return vector
