"""The camera of an avatar: a pinhole that looks from `position` at `target`, y up."""

import math
from dataclasses import dataclass

import numpy as np

NEAR_M = 0.05
FAR_M = 20.0


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the picture is taken from.

    Attributes:
        fov_deg: vertical field of view.
        position: camera center, metres.
        target: point in the middle of the picture, metres.
    """

    fov_deg: float
    position: tuple[float, float, float]
    target: tuple[float, float, float]

    def __post_init__(self):
        if not 1 <= self.fov_deg <= 120:
            raise ValueError(f"fov_deg must lie in 1..120 degrees, got {self.fov_deg}; correct [camera] in avatar.toml")
        for name in ("position", "target"):
            value = np.asarray(getattr(self, name), np.float64)
            if value.shape != (3,) or not np.isfinite(value).all():
                raise ValueError(
                    f"{name} must be three finite numbers, got {getattr(self, name)}; correct [camera] in avatar.toml"
                )
        sight = np.subtract(self.target, self.position)
        if np.linalg.norm(np.cross(sight, (0, 1, 0))) < 1e-6:
            raise ValueError(f"the camera must not look along y, got {sight.tolist()}; move position or target")

    def matrix(self, aspect: float = 1.0) -> np.ndarray:
        """World to clip space, [4, 4] float32 for column vectors; row 0 of the picture is the top.

        Args:
            aspect: width / height of the picture.
        """
        forward = np.subtract(self.target, self.position).astype(np.float64)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 1.0, 0.0))
        right /= np.linalg.norm(right)
        view = np.eye(4)
        view[:3, :3] = right, np.cross(right, forward), -forward
        view[:3, 3] = -view[:3, :3] @ np.asarray(self.position, np.float64)
        focal = 1 / math.tan(math.radians(self.fov_deg) / 2)
        projection = np.zeros((4, 4))
        projection[0, 0] = focal / aspect
        projection[1, 1] = -focal
        projection[2, 2] = (FAR_M + NEAR_M) / (NEAR_M - FAR_M)
        projection[2, 3] = 2 * FAR_M * NEAR_M / (NEAR_M - FAR_M)
        projection[3, 2] = -1
        return (projection @ view).astype(np.float32)
