"""The studio: soft boxes, fill, camera and Cycles settings."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix

from training.scene.geometry import to_blender, unit

Vector3 = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera in the head's space; pixel centers lie at +0.5, as in the rasteriser.

    Attributes:
        fov_deg: vertical field of view.
        position: of the pinhole, metres.
        target: point at the picture's center, metres.
    """

    fov_deg: float
    position: Vector3
    target: Vector3


@dataclass(frozen=True)
class SoftBox:
    """A rectangular light aimed at the face.

    Attributes:
        offset: from the middle of the eyes, metres, head space.
        size_m: width and height.
        watts: power.
        color: linear RGB.
    """

    offset: Vector3
    size_m: tuple[float, float]
    watts: float
    color: Vector3 = (1.0, 1.0, 1.0)


PORTRAIT = (
    SoftBox((-0.68, 0.46, 0.80), (0.50, 0.65), 16.0, (1.0, 0.94, 0.87)),
    SoftBox((1.00, 0.00, 0.70), (0.9, 1.1), 4.2, (0.88, 0.94, 1.0)),
    SoftBox((0.75, 0.45, -0.70), (0.35, 0.9), 4.5, (1.0, 0.95, 0.90)),
    SoftBox((-0.85, 0.35, -0.65), (0.30, 0.9), 4.0, (0.88, 0.94, 1.0)),
)
"""Key from the subject's right and above, broad fill from the left, two rims from behind."""


def add_lights(middle_of_eyes: np.ndarray, boxes: tuple[SoftBox, ...] = PORTRAIT) -> None:
    """Adds the soft boxes around `middle_of_eyes` [3] and a dim room light from everywhere."""
    for number, box in enumerate(boxes):
        light = bpy.data.lights.new(f"softbox{number}", "AREA")
        light.shape, light.size, light.size_y = "RECTANGLE", *box.size_m
        light.energy, light.color = box.watts, box.color
        lamp = bpy.data.objects.new(light.name, light)
        lamp.matrix_world = aimed(middle_of_eyes + np.array(box.offset), middle_of_eyes)
        bpy.context.scene.collection.objects.link(lamp)
    world = bpy.data.worlds.new("room")
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs[0].default_value, background.inputs[1].default_value = (0.42, 0.46, 0.52, 1.0), 0.34
    bpy.context.scene.world = world


def view_of(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rows [4, 3] right, up, backward and position of an upright view from `position` [3] to `target` [3]."""
    backward = unit(np.asarray(position, float) - np.asarray(target, float))
    right = unit(np.cross((0.0, 1.0, 0.0), backward))
    return np.stack([right, np.cross(backward, right), backward, np.asarray(position, float)])


def aimed(position: np.ndarray, target: np.ndarray) -> Matrix:
    """Blender matrix of an object at `position` that looks at `target` along its -z, upright; both in head space."""
    columns = to_blender(view_of(position, target))
    return Matrix([[*columns[:, row]] for row in range(3)] + [[0, 0, 0, 1]])


def place_camera(camera: Camera, width: int, height: int) -> None:
    """Points the scene's camera and sets the picture's size in pixels."""
    scene = bpy.context.scene
    if scene.camera is None:
        scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        scene.collection.objects.link(scene.camera)
    lens = scene.camera.data
    lens.sensor_fit, lens.angle = "VERTICAL", np.radians(camera.fov_deg)
    lens.clip_start, lens.clip_end = 0.01, 50.0
    scene.camera.matrix_world = aimed(np.array(camera.position), np.array(camera.target))
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100


def configure_cycles(samples: int, threads: int) -> None:
    """Sets Cycles up for one still after another of the same scene: denoised, transparent, deterministic."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.use_adaptive_sampling = "CPU", samples, False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 6, 3, 3
    cycles.transmission_bounces, cycles.transparent_max_bounces, cycles.volume_bounces = 4, 8, 0
    cycles.sample_clamp_indirect, cycles.sample_clamp_direct = 3.0, 0.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.seed, cycles.use_animated_seed = 0, False
    # Two-level: the hair keeps its tree while it only moves as a whole.
    cycles.debug_bvh_type = "DYNAMIC_BVH"
    scene.render.film_transparent = True
    scene.render.use_persistent_data = True
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode, scene.render.image_settings.compression = "RGBA", 15
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - Medium High Contrast"
    scene.view_settings.exposure, scene.view_settings.gamma = 0.0, 1.0
    scene.cycles_curves.shape = "RIBBONS"
    scene.cycles_curves.subdivisions = 2
