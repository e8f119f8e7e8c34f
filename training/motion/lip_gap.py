"""Where the coefficients move a head's landmarks, and the opening between its lips: both linear in them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.head import Head

INNER_LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
"""iBUG-68 points of the inner upper lip, and those of the lower lip below them."""


def landmark_basis(head: Head) -> np.ndarray:
    """Meters that each coefficient moves the 68 landmarks: float32 [68, 3, 52], head upright, model axes.

    Exact where expressions are linear, as in FLAME's formulation.
    """
    corners = head.faces[head.landmark_faces]
    basis = np.einsum("nk,nkde->nde", head.landmark_barycentric, head.expression_basis[corners])
    return basis.astype(np.float32)


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
        basis = landmark_basis(head)
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
