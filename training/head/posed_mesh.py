"""The posed surface of an avatar part by part: what a path tracer draws from the camera of `avatar.toml`."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import tomllib
from numpy.typing import ArrayLike, NDArray

from avatar.head import Head, Part


@dataclass(frozen=True, eq=False)
class PosedPart:
    """One part of a posed head.

    Attributes:
        vertices: [N, 3] float32, m.
        faces: [F, 3] int32 into `vertices`.
        uv: [N, 2] float32 in [0, 1], origin top left.
        source: [N] int32, vertex of the head that each one is: per-vertex quantities can be looked up through it.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]
    source: NDArray[np.int32]


def posed_parts(avatar_dir: str | PathLike, blendshapes: ArrayLike, pose: ArrayLike) -> dict[Part, PosedPart]:
    """Pose the head of an avatar folder.

    Args:
        avatar_dir: folder with `head.npz`.
        blendshapes: [52] ARKit coefficients.
        pose: [6] neck rotation (rad) and translation (m).
    """
    head = Head.load(Path(avatar_dir) / "head.npz")
    vertices = head.pose(blendshapes, pose)
    result = {}
    for part in np.unique(head.part):
        source, faces = np.unique(head.faces[head.part == part], return_inverse=True)
        faces = faces.reshape(-1, 3).astype(np.int32)
        result[Part(part)] = PosedPart(vertices[source], faces, head.uv[source], source.astype(np.int32))
    return result


def camera(avatar_dir: str | PathLike) -> dict:
    """`[camera]` of an avatar: `fov_deg` (vertical), `position` [3], `target` [3], m."""
    return tomllib.loads((Path(avatar_dir) / "avatar.toml").read_text())["camera"]
