"""A plain z-buffer renderer to look at the mesh while it is being built: Lambert shading, one color per part."""

import numba
import numpy as np
from numpy.typing import NDArray

from avatar.head import Part
from training.head.surface import vertex_normals

COLORS = {
    Part.SKIN: (224, 172, 148),
    Part.EYES: (235, 235, 235),
    Part.TEETH: (245, 240, 215),
    Part.TONGUE: (190, 80, 90),
    Part.MOUTH: (110, 40, 45),
    Part.LASHES: (40, 30, 25),
    Part.HAIR: (70, 48, 34),
    Part.CLOTHES: (70, 90, 120),
    Part.HAIR_FIN: (70, 48, 34),
}


@numba.njit(cache=True)
def _fill(screen, faces, colors, normals, depth, image):
    height, width = depth.shape
    for face in range(len(faces)):
        a, b, c = faces[face]
        ax, ay, bx, by, cx, cy = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-12:
            continue
        for y in range(max(0, int(min(ay, by, cy))), min(height - 1, int(max(ay, by, cy))) + 1):
            for x in range(max(0, int(min(ax, bx, cx))), min(width - 1, int(max(ax, bx, cx))) + 1):
                px, py = x + 0.5, y + 0.5
                u = ((cx - bx) * (py - by) - (cy - by) * (px - bx)) / area
                v = ((ax - cx) * (py - cy) - (ay - cy) * (px - cx)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * screen[a, 2] + v * screen[b, 2] + w * screen[c, 2]
                if z >= depth[y, x]:
                    continue
                depth[y, x] = z
                nx = u * normals[a, 0] + v * normals[b, 0] + w * normals[c, 0]
                ny = u * normals[a, 1] + v * normals[b, 1] + w * normals[c, 1]
                nz = u * normals[a, 2] + v * normals[b, 2] + w * normals[c, 2]
                length = max((nx * nx + ny * ny + nz * nz) ** 0.5, 1e-9)
                key = max(0.0, (0.45 * nx + 0.5 * ny + 0.74 * nz) / length)
                fill = max(0.0, (-0.75 * nx + 0.1 * ny + 0.65 * nz) / length)
                light = 0.18 + 0.62 * key + 0.25 * fill
                for channel in range(3):
                    image[y, x, channel] = min(255.0, colors[face, channel] * light)


def look_at(position: NDArray, target: NDArray) -> NDArray[np.float64]:
    """Rows right, up, backward of a camera [3, 3]."""
    backward = np.asarray(position, float) - target
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 1.0, 0.0], backward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(backward, right), backward])


def render(vertices, faces, part, camera, size_px=512, hide=(), crop=None, colors=None) -> NDArray[np.uint8]:
    """Shade a mesh.

    Args:
        vertices: [V, 3], m.
        faces: [F, 3].
        part: [F], values of `Part`.
        camera: mapping with `fov_deg`, `position`, `target`.
        size_px: width and height of the picture.
        hide: parts to leave out.
        crop: (x, y, side) of a square of the frame to enlarge to the whole picture, as fractions of the frame.
        colors: [F, 3] in 0..255 instead of the color of each part.

    Returns:
        [size_px, size_px, 3] uint8 RGB.
    """
    basis = look_at(camera["position"], np.asarray(camera["target"]))
    local = (vertices - np.asarray(camera["position"])) @ basis.T
    x0, y0, side = crop or (0.0, 0.0, 1.0)
    scale = 0.5 / np.tan(np.deg2rad(camera["fov_deg"]) / 2)
    screen = np.stack(
        [local[:, 0] / -local[:, 2] * scale + 0.5, 0.5 - local[:, 1] / -local[:, 2] * scale, -local[:, 2]], 1
    )
    screen[:, :2] = (screen[:, :2] - [x0, y0]) * size_px / side
    keep = ~np.isin(part, hide)
    table = np.zeros((256, 3))
    for value, color in COLORS.items():
        table[value] = color
    image = np.full((size_px, size_px, 3), 128.0)
    face_colors = table[part] if colors is None else np.asarray(colors, float)
    normals = vertex_normals(vertices, faces[keep])
    _fill(screen, faces[keep].astype(np.int64), face_colors[keep], normals, np.full((size_px, size_px), np.inf), image)
    return image.astype(np.uint8)
