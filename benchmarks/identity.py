"""Whether two pictures show the same person to a face recognizer: dlib's 128-d embedding, if installed.

`pip install dlib-bin face-recognition-models` brings the network and its weights (Boost and CC0 licences); they are a
measure only and no part of what ships.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

Embed = Callable[[np.ndarray], np.ndarray | None]
"""[H, W, 3] uint8 RGB -> [128] embedding, or None where no face is found."""


def embedder() -> Embed | None:
    """The recognizer, or None where it is not installed."""
    models = find_spec("face_recognition_models")
    if find_spec("dlib") is None or models is None or models.origin is None:
        return None
    import dlib

    folder = Path(models.origin).parent / "models"
    find = dlib.get_frontal_face_detector()
    locate = dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def embed(picture: np.ndarray) -> np.ndarray | None:
        picture = np.ascontiguousarray(picture)
        faces = find(picture)
        if not faces:
            return None
        return np.array(network.compute_face_descriptor(picture, locate(picture, faces[0])))

    return embed


def cosine(embed: Embed, first: np.ndarray, second: np.ndarray) -> float | None:
    """Cosine of the embeddings of two pictures, or None where one of them shows no face."""
    vectors = embed(first), embed(second)
    if vectors[0] is None or vectors[1] is None:
        return None
    return float(vectors[0] @ vectors[1] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[1]))
