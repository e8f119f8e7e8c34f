"""One picture of the head from the four operations alone: the reference for the fused renderer, and the way onto other
backends."""

import numpy as np

from avatar.head import Part
from avatar.rasterizer import coverage, shading
from avatar.rasterizer.backend import CpuBackend, RasterBackend
from avatar.rasterizer.light import add_spot
from avatar.rasterizer.scene import Scene
from avatar.rasterizer.silhouette import edge_neighbors


def render(
    scene: Scene,
    vertices: np.ndarray,
    previous_vertices: np.ndarray,
    pose: np.ndarray,
    backend: RasterBackend | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a posed head.

    Args:
        scene: what to draw.
        vertices, previous_vertices: [V, 3] float32, m, in this frame and the one before.
        pose: [6] float32, the controls' pose in this frame.
        backend: the operations to use, by default those of the CPU.

    Returns:
        raster: [H, W, 4] float32, RGBA in 0..255, premultiplied.
        mask: [H, W] uint8, values of `avatar.head.Part`.
        motion: [H, W, 2] float32, pixels; NaN where there is none.
    """
    backend = backend or CpuBackend(scene.rim_depth)
    clip, previous_clip = _clip(scene, vertices), _clip(scene, previous_vertices)
    screen, facing = _screen(scene, clip)
    previous_screen, previous_facing = _screen(scene, previous_clip)
    level = np.zeros(len(scene.tri), np.int32)
    shading.texture_levels(screen, scene.texel_area, scene.tri, facing, scene.atlas.level_count - 1, level)
    offset = (previous_screen.astype(np.float32) - screen) / coverage.SUBPIXELS
    # Weighted by w, what is interpolated in perspective turns linear on the picture.
    w = clip[:, 3:]
    attributes = np.column_stack(
        [
            scene.uv_texels / scene.atlas.level_size[0],
            scene.light.factors(vertices, scene.head.landmarks(vertices), pose),
            offset * w,
            w,
        ]
    ).astype(np.float32)

    surface = _layer(scene, backend, clip, attributes, np.flatnonzero(facing[: scene.opaque_count] > 0), level)
    translucent = scene.opaque_count + np.flatnonzero(facing[scene.opaque_count : scene.fins_from] != 0)
    fins = scene.fins_from + np.flatnonzero(facing[scene.fins_from :] > 0)
    layer = _layer(scene, backend, clip, attributes, translucent, level, behind=surface["depth"])
    second = _layer(scene, backend, clip, attributes, translucent, level, behind=surface["depth"], front=layer["rast"])
    fin = _layer(scene, backend, clip, attributes, fins, level, behind=surface["depth"])
    surface["color"][..., :3] = np.minimum(surface["color"][..., :3] * surface["light"], 255)
    surface["color"][..., 3] = np.where(surface["face"] >= 0, 255, 0)
    fin["color"] *= np.clip(fin["light"], 0, 1)
    for item in (layer, second):
        item["color"] *= np.where(surface["face"][..., None] < 0, np.clip(item["light"], 0, 1), 1)
    alpha = layer["color"][..., 3:]
    seen_through = np.where(alpha < coverage.NEARLY_OPAQUE, 1 - alpha / 255, 0)
    covering = [alpha[..., 0] >= 128]
    for item, share in ((second, seen_through), (fin, None)):
        rest = 1 - layer["color"][..., 3:] / 255 if share is None else share
        layer["color"] = layer["color"] + item["color"] * rest
        covering.append(~np.any(covering, axis=0) & (layer["color"][..., 3] >= 128))
    face = np.select(covering, [item["face"] for item in (layer, second, fin)], surface["face"])
    motion = np.select(
        [item[..., None] for item in covering],
        [item["motion"] for item in (layer, second, fin)],
        surface["motion"],
    )
    mask = np.where(face >= 0, scene.part[face], 0).astype(np.uint8)
    premultiplied = layer["color"] + surface["color"] * (1 - layer["color"][..., 3:] / 255)
    for spot in scene.light.spots(vertices, scene.matrix, scene.size_px):
        add_spot(premultiplied, mask, Part.EYES, spot.x_px, spot.y_px, spot.radius_px, spot.levels)
    for item in (surface, layer):
        premultiplied = backend.antialias(premultiplied, item["rast"], clip, item["tri"], item["topology"])

    rows, columns = np.mgrid[: scene.size_px, : scene.size_px] + 0.5
    previous = motion + np.dstack([columns, rows])
    seen = np.where(face >= scene.opaque_count, previous_facing[face] != 0, previous_facing[face] > 0) & (face >= 0)
    seen &= ((previous >= 0) & (previous < scene.size_px)).all(axis=2)
    motion = np.where(seen[..., None], motion, np.nan)
    return np.clip(premultiplied, 0, 255), mask, motion.astype(np.float32)


def _clip(scene: Scene, vertices: np.ndarray) -> np.ndarray:
    clip = np.empty((len(vertices), 4), np.float32)
    coverage.transform(vertices, scene.matrix, clip)
    return clip


def _screen(scene: Scene, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    screen, depth_and_inverse_w = np.empty((len(clip), 2), np.int32), np.empty((len(clip), 2), np.float32)
    facing, rows = np.empty(len(scene.tri), np.int8), np.empty((len(scene.tri), 2), np.int16)
    coverage.project(clip, scene.size_px, scene.size_px, screen, depth_and_inverse_w)
    coverage.orient(screen, scene.tri, scene.size_px, scene.size_px, facing, rows)
    return screen, facing


def _layer(
    scene: Scene, backend: RasterBackend, clip, attributes, faces, level, behind=None, front=None
) -> dict[str, np.ndarray]:
    """Color [H, W, 4] premultiplied 0..255, light [H, W, 1] on it, face [H, W], motion [H, W, 2] in pixels, depth
    [H, W] and rast of the nearest of `faces`.

    Args:
        attributes: [V, 6]: u, v, light, offset to the previous x and y times w, w.
        faces: indices into `scene.tri`.
        level: [F], level of the atlas for each face.
        behind: [H, W], z/w of what hides fragments behind it.
        front: [H, W, 4], rast of the layer behind which to look.
    """
    tri = scene.tri[faces]
    rast, _ = backend.rasterize(clip, tri, (scene.size_px, scene.size_px), front=front)
    depth = np.where(rast[..., 3] > 0, rast[..., 2], np.float32(np.inf))
    if behind is not None:
        # The antialiasing of the layer sees what is in front of it, but no triangle there.
        rast = np.where((depth < behind)[..., None], rast, np.float32(0))
    face = np.append(faces, -1)[rast[..., 3].astype(np.int64) - 1]
    values, _ = backend.interpolate(attributes, rast, tri)
    color = np.zeros((*face.shape, 4), np.float32)
    for index in np.unique(level[face[face >= 0]]):
        texels = scene.atlas.level(index).astype(np.float32)
        here = (face >= 0) & (level[face] == index)
        color[here] = backend.texture(texels, values[..., :2], filter_mode="linear", boundary_mode="clamp")[here]
    topology = edge_neighbors(tri, scene.same_point)
    return {
        "color": color,
        "light": values[..., 2:3],
        "face": face,
        "motion": values[..., 3:5] / np.maximum(values[..., 5:], 1e-6),
        "depth": depth,
        "rast": rast,
        "tri": tri,
        "topology": topology,
    }
