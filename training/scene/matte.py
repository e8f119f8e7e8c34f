"""The matte of fine hair: Cycles does not denoise alpha, so that few paths leave single dots in it."""

from __future__ import annotations

import cv2
import numpy as np

from training.scene.studio import Camera, view_of

REACH_PX = 9
"""Hair may stand this far off its shell, at a picture height of 512."""

SIGMA_PX = 0.9


def project(points: np.ndarray, camera: Camera, width: int, height: int) -> np.ndarray:
    """Pixels [N, 2] of points [N, 3] in metres; pixel centers lie at +0.5.

    Source: pinhole camera; the vertical field of view spans the picture's height.
    """
    right, up, backward, position = view_of(np.array(camera.position), np.array(camera.target))
    offset = points - position
    depth = -(offset @ backward)
    focal_px = 0.5 * height / np.tan(np.radians(camera.fov_deg) / 2)
    return np.stack([width / 2 + focal_px * (offset @ right) / depth, height / 2 - focal_px * (offset @ up) / depth], 1)


def shell_mask(pixels: np.ndarray, faces: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixels [H, W] uint8 that the projected triangles `faces` [F, 3] cover, grown by the reach of loose hair."""
    mask = np.zeros((height, width), np.uint8)
    for triangle in np.round(pixels[faces] * 16 - 8).astype(np.int32):
        cv2.fillConvexPoly(mask, triangle, 1, shift=4)
    size = 2 * round(REACH_PX * height / 512) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def soften(picture: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Averages the matte over neighbouring pixels where hair lets the background through.

    Args:
        picture: [H, W, 4] uint8, straight alpha.
        region: [H, W] uint8, where loose hair may be.
    """
    sigma = SIGMA_PX * picture.shape[0] / 512
    rgba = picture.astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    smooth = cv2.GaussianBlur(rgba, (0, 0), sigma)
    loose = cv2.erode(rgba[..., 3], np.ones((3, 3))) < 0.98
    share = cv2.GaussianBlur((loose & (region > 0)).astype(np.float32), (0, 0), sigma)[..., None]
    mixed = rgba + share * (smooth - rgba)
    mixed[..., :3] /= np.maximum(mixed[..., 3:], 1e-4)
    return np.round(np.clip(mixed, 0, 1) * 255).astype(np.uint8)
