"""Eyeballs: surfaces of revolution about the gaze with a corneal bulge, fine where the iris is."""

import numpy as np
from numpy.typing import NDArray

from avatar.blendshapes import ARKIT
from avatar.head import Joint, Part
from training.head.anatomy import Anatomy
from training.head.surface import Surface

SEGMENT_COUNT = 32
RINGS_DEG = (8, 15, 21, 24, 26.5, 30, 38, 50, 65, 82, 100, 115)
"""Polar angles from the pupil; the back of the eyeball is never seen."""

CORNEA_DEG = 26.0
CORNEA_HEIGHT = 0.05
"""Bulge of the cornea as a share of the radius: the eyeball must turn under the lids."""


def eye_radius_m(anatomy: Anatomy) -> float:
    """Radius of MakeHuman's eyeball, m."""
    ball = anatomy.vertices[np.unique(anatomy.mesh.quads["helper-l-eye"])]
    return float(np.linalg.norm(ball - anatomy.joints[Joint.LEFT_EYE], axis=1).mean())


def profile(polar_deg: NDArray) -> NDArray[np.float64]:
    """Distance from the eye's center over its radius, by the angle from the gaze."""
    inside = np.clip(1 - (np.asarray(polar_deg) / CORNEA_DEG) ** 2, 0, 1)
    return 1 + CORNEA_HEIGHT * inside**1.5


def eyeball(anatomy: Anatomy, joint: Joint) -> Surface:
    """One eyeball; its UV is the azimuthal equidistant map of the front in the unit square."""
    radius = eye_radius_m(anatomy)
    polar = np.deg2rad(np.repeat(RINGS_DEG, SEGMENT_COUNT))
    azimuth = np.tile(np.arange(SEGMENT_COUNT) * 2 * np.pi / SEGMENT_COUNT, len(RINGS_DEG))
    polar, azimuth = np.concatenate([[0.0], polar]), np.concatenate([[0.0], azimuth])
    direction = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], 1)
    position = anatomy.joints[joint] + radius * profile(np.rad2deg(polar))[:, None] * direction
    flat = polar[:, None] / np.deg2rad(RINGS_DEG[-1]) * np.stack([np.cos(azimuth), -np.sin(azimuth)], 1)
    around = np.arange(SEGMENT_COUNT)
    after = (around + 1) % SEGMENT_COUNT
    faces = [np.stack([np.zeros_like(around), 1 + around, 1 + after], 1)]
    for ring in range(len(RINGS_DEG) - 1):
        inner, outer = 1 + ring * SEGMENT_COUNT, 1 + (ring + 1) * SEGMENT_COUNT
        faces.append(np.stack([inner + around, outer + around, outer + after], 1))
        faces.append(np.stack([inner + around, outer + after, inner + after], 1))
    faces = np.concatenate(faces)
    count = len(position)
    return Surface(
        position,
        np.zeros((count, 3, len(ARKIT))),
        np.tile(np.eye(5)[joint], (count, 1)),
        0.5 + 0.5 * flat,
        faces,
        np.full(len(faces), Part.EYES, np.uint8),
        np.full(count, -1),
    )
