"""Renders views of an avatar's path-traced look, one after another in one process.

The scene is built once; each view only moves vertices, strands and camera. One process holds one renderer, because
Blender has one scene.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
import cv2
import numpy as np

from training.head.posed_mesh import camera as avatar_camera
from training.person import Person
from training.render_config import RenderConfig
from training.scene.figure import Figure, Look
from training.scene.matte import project, shell_mask, soften
from training.scene.studio import Camera, add_lights, configure_cycles, place_camera

PARTS = ("skin", "eyes", "teeth", "tongue", "mouth", "brows", "lashes", "hair", "baby_hair", "scalp", "clothes")
"""Names that `hidden` and `holdout` of `render_view` take."""

HAIR = ("hair", "baby_hair")


class LookRenderer:
    """Builds the scene of one avatar and renders views of it.

    Args:
        config: what to build and how well to render.
    """

    def __init__(self, config: RenderConfig = RenderConfig()):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.config = config
        self.figure = Figure(config.avatar, config.scalp, Look.of(Person.load(config.person)))
        add_lights(self.figure.middle_of_eyes)
        configure_cycles(config.samples, config.threads)
        self.camera = Camera(**{key: _frozen(value) for key, value in avatar_camera(config.avatar).items()})
        self._folder = tempfile.TemporaryDirectory(prefix="look")

    def render_view(
        self,
        blendshapes: np.ndarray,
        pose: np.ndarray,
        width: int = 512,
        height: int = 512,
        camera: Camera | None = None,
        hidden: tuple[str, ...] = (),
        holdout: tuple[str, ...] = (),
        samples: int | None = None,
    ) -> np.ndarray:
        """Renders one view.

        Args:
            blendshapes: [52] ARKit coefficients.
            pose: [6] head rotation (rad) and translation (m).
            width: pixels.
            height: pixels.
            camera: instead of the avatar's own.
            hidden: parts that are not there at all.
            holdout: parts that hide what is behind them but are transparent themselves: with everything but `HAIR` held
                out, the picture is the hair alone as it is seen.
            samples: instead of the configured number.

        Returns:
            [height, width, 4] uint8 RGBA with straight alpha, display colors.

        Raises:
            ValueError: an unknown part.
        """
        unknown = {*hidden, *holdout} - set(PARTS)
        if unknown:
            raise ValueError(f"parts must be among {PARTS}, got {sorted(unknown)}")
        self.figure.pose(np.asarray(blendshapes, np.float32), np.asarray(pose, np.float32))
        for name, thing in self.figure.objects().items():
            thing.hide_render, thing.is_holdout = name in hidden, name in holdout
        camera = camera or self.camera
        place_camera(camera, width, height)
        scene = bpy.context.scene
        scene.cycles.samples = samples or self.config.samples
        path = Path(self._folder.name) / "view.png"
        scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        picture = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
        if "hair" in hidden:
            return picture
        pixels = project(self.figure.vertices, camera, width, height)
        return soften(picture, shell_mask(pixels, self.figure.hair_faces, width, height))


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value
