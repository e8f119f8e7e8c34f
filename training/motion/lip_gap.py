"""The opening between the lips as a linear function of the coefficients, measured on a head."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.head import Head

INNER_LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
"""iBUG-68 points of the inner upper lip, and those of the lower lip below them."""


@dataclass(frozen=True, eq=False)
class LipGap:
    """Opening in millimeters = weights · coefficients + rest; exact where expressions are linear, as in FLAME's
    formulation.

    Attributes:
        weights: float32 [3, 52] for the subject's right, the middle, and the left.
        rest: float32 [3].
        face_height_mm: from the brows to the chin.
    """

    weights: np.ndarray
    rest: np.ndarray
    face_height_mm: float

    @classmethod
    def of(cls, head: Head) -> "LipGap":
        corners = head.faces[head.landmark_faces]
        basis = np.einsum("nk,nkde->nde", head.landmark_barycentric, head.expression_basis[corners])
        points = head.landmarks(head.template)
        upper, lower = (np.array(side) for side in zip(*INNER_LIP_PAIRS, strict=True))
        return cls(
            (1000.0 * (basis[upper, 1] - basis[lower, 1])).astype(np.float32),
            (1000.0 * (points[upper, 1] - points[lower, 1])).astype(np.float32),
            float(1000.0 * (points[19, 1] - points[8, 1])),
        )

    @classmethod
    def load(cls, path: str | Path = "avatars/default/head.npz") -> "LipGap":
        return cls.of(Head.load(path))

    def __call__(self, blendshapes: np.ndarray) -> np.ndarray:
        """[..., 52] to the mean opening of the three places [...], mm; negative where the lips press."""
        return blendshapes @ self.weights.mean(axis=0) + self.rest.mean()
