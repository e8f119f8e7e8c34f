"""A stand-in avatar: an ellipsoid with eyes, a hair shell with a ragged alpha edge, and shoulders. Written in the
shipped file format."""

from pathlib import Path

import cv2
import numpy as np

from avatar.blendshapes import INDEX
from avatar.head import Joint, Part

CELLS = {"skin": (0, 0), "eyes": (1, 0), "hair": (0, 1), "clothes": (1, 1)}
"""Quarter of the atlas (column, row) of each piece."""

HEAD_CENTER_M = np.array([0.0, 1.6, 0.0])
HEAD_RADII_M = np.array([0.08, 0.11, 0.095])


def _ellipsoid(center, radii, rows: int, columns: int, cell, polar_deg=(0.0, 180.0)):
    """Vertices, texture coordinates and outward faces of a (cut) ellipsoid whose pole is up."""
    polar = np.deg2rad(np.linspace(*polar_deg, rows + 1))[:, None]
    around = np.linspace(0, 2 * np.pi, columns + 1)[None]
    normal = np.stack(
        [np.sin(polar) * np.sin(around), np.cos(polar) * np.ones_like(around), np.sin(polar) * np.cos(around)], -1
    )
    vertices = (np.asarray(center) + normal * radii).reshape(-1, 3)
    vertices.reshape(rows + 1, columns + 1, 3)[:, -1] = vertices.reshape(rows + 1, columns + 1, 3)[:, 0]
    across, down = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1))
    uv = (np.stack([across, down], -1) * 0.44 + 0.03 + np.asarray(cell) * 0.5).reshape(-1, 2)
    index = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return vertices, uv, faces[area > 1e-12]


def head_arrays(detail: float = 1) -> dict[str, np.ndarray]:
    """The arrays of `head.npz`; `detail` 4 has about 30 000 triangles."""
    steps = int(14 * detail)
    eye_radius_m = np.full(3, 0.013)
    eyes = {side: HEAD_CENTER_M + [x, 0.02, 0.086] for side, x in (("left", 0.03), ("right", -0.03))}
    pieces = [
        (Part.SKIN, Joint.NECK, *_ellipsoid(HEAD_CENTER_M, HEAD_RADII_M, 2 * steps, 4 * steps, CELLS["skin"])),
        (Part.EYES, Joint.LEFT_EYE, *_ellipsoid(eyes["left"], eye_radius_m, steps, steps, CELLS["eyes"])),
        (Part.EYES, Joint.RIGHT_EYE, *_ellipsoid(eyes["right"], eye_radius_m, steps, steps, CELLS["eyes"])),
        (
            Part.HAIR,
            Joint.NECK,
            *_ellipsoid(HEAD_CENTER_M, HEAD_RADII_M + 0.004, steps, 2 * steps, CELLS["hair"], polar_deg=(0, 70)),
        ),
        (
            Part.CLOTHES,
            Joint.ROOT,
            *_ellipsoid(
                HEAD_CENTER_M - [0, 0.25, 0.02], np.array([0.2, 0.13, 0.1]), steps, 2 * steps, CELLS["clothes"]
            ),
        ),
    ]
    counts = [len(piece[2]) for piece in pieces]
    starts = np.cumsum([0, *counts[:-1]])
    template = np.concatenate([piece[2] for piece in pieces])
    faces = np.concatenate([piece[4] + start for piece, start in zip(pieces, starts, strict=True)])
    weights = np.zeros((len(template), len(Joint)))
    regressor = np.zeros((len(Joint), len(template)))
    for (_, joint, *_), start, count in zip(pieces, starts, counts, strict=True):
        weights[start : start + count, joint] = 1
    regressor[[Joint.ROOT, Joint.NECK], :] = _average(0, counts[0], len(template))
    regressor[Joint.JAW] = regressor[Joint.NECK]
    regressor[Joint.LEFT_EYE] = _average(starts[1], counts[1], len(template))
    regressor[Joint.RIGHT_EYE] = _average(starts[2], counts[2], len(template))
    expression = np.zeros((len(template), 3, 52))
    lower = np.clip((HEAD_CENTER_M[1] - 0.02 - template[: counts[0], 1]) / 0.09, 0, 1)
    expression[: counts[0], 1, INDEX["jawOpen"]] = -0.02 * lower
    expression[: counts[0], 0, INDEX["mouthLeft"]] = 0.01 * lower
    skin = np.flatnonzero(np.isin(faces, np.arange(counts[0])).all(axis=1))
    front = skin[template[faces[skin]].mean(axis=1)[:, 2] > 0.03]
    landmarks = front[np.linspace(0, len(front) - 1, 68).astype(int)]
    face_mesh = np.concatenate([landmarks, front[np.linspace(0, len(front) - 1, 410).astype(int)]])
    return {
        "template": template.astype(np.float32),
        "shape_basis": np.zeros((len(template), 3, 0), np.float32),
        "expression_basis": expression.astype(np.float16),
        "pose_basis": np.zeros((len(template), 3, 0), np.float32),
        "joint_regressor": regressor.astype(np.float32),
        "skinning_weights": weights.astype(np.float32),
        "parents": np.array([-1, 0, 1, 1, 1], np.int32),
        "faces": faces.astype(np.int32),
        "uv": np.concatenate([piece[3] for piece in pieces]).astype(np.float32),
        "part": np.concatenate([np.full(len(piece[4]), piece[0], np.uint8) for piece in pieces]),
        "landmark_faces": landmarks.astype(np.int32),
        "landmark_barycentric": np.full((68, 3), 1 / 3, np.float32),
        "face_mesh_faces": face_mesh.astype(np.int32),
        "face_mesh_barycentric": np.full((478, 3), 1 / 3, np.float32),
    }


def _average(start: int, count: int, total: int) -> np.ndarray:
    row = np.zeros(total)
    row[start : start + count] = 1 / count
    return row


def texture(size_px: int = 512, seed: int = 0) -> np.ndarray:
    """[size, size, 4] uint8: smooth colored noise with a checker; the hair quarter fades out in strands at its lower
    rim."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 200, (16, 16, 3)).astype(np.float32)
    image = cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    row, column = np.mgrid[:size_px, :size_px]
    image += 25 * (((row // 16 + column // 16) % 2) * 2 - 1)[..., None]
    half = size_px // 2
    image[:half, half:] = 235
    iris = np.hypot((row[:half, half:] - half / 2), (column[:half, half:] - 1.06 * half)) < half / 8
    image[:half, half:][iris] = (70, 110, 60)
    image[half:, :half] *= 0.4
    alpha = np.full((size_px, size_px), 255.0)
    strands = 0.75 + 0.2 * np.sin(column[half:, :half] * 0.35)
    alpha[half:, :half] = 255 * np.clip((strands - (row[half:, :half] - half) / half) * 12, 0, 1)
    return np.dstack([np.clip(image, 0, 255), alpha]).astype(np.uint8)


def write(folder: Path, detail: int = 1, texture_px: int = 512) -> Path:
    """Write the avatar's files to `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "head.npz", **head_arrays(detail))
    cv2.imwrite(str(folder / "texture.png"), cv2.cvtColor(texture(texture_px), cv2.COLOR_RGBA2BGRA))
    (folder / "avatar.toml").write_text(
        'name = "synthetic"\n[camera]\nfov_deg = 24.0\nposition = [0.0, 1.58, 0.9]\ntarget = [0.0, 1.56, 0.0]\n'
    )
    return folder
