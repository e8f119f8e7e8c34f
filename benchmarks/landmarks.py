"""Distance of facial landmarks that one detector finds in two pictures: mediapipe's face mesh, if installed.

`pip install mediapipe==0.10.21` brings the detector and its weights (Apache-2.0); it wants numpy < 2.
"""

from collections.abc import Callable

import numpy as np

Detector = Callable[[np.ndarray], np.ndarray | None]
"""[H, W, 3] uint8 RGB -> [468 or 478, 2] pixels, or None where it finds no face."""


def face_mesh(refined: bool = False) -> Detector | None:
    """The detector, or None where mediapipe is not installed.

    Args:
        refined: with its second look at lips and eyes, and the ten points of the irises.
    """
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh
    except ImportError:
        return None
    mesh = FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=refined)

    def detect(picture: np.ndarray) -> np.ndarray | None:
        found = mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
        if not found:
            return None
        height, width = picture.shape[:2]
        return np.array([(point.x * width, point.y * height) for point in found[0].landmark])

    return detect


def distance_px(detect: Detector, picture: np.ndarray, truth: np.ndarray) -> float | None:
    """Mean distance in pixels of the landmarks found in both pictures, or None where one of them shows no face."""
    first, second = detect(picture), detect(truth)
    if first is None or second is None:
        return None
    return float(np.linalg.norm(first - second, axis=1).mean())
