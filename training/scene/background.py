"""The plate behind the head, a quiet room out of focus: `python -m training.scene.background --person default`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import numpy as np

from training.person import Person
from training.scene.graph import Graph
from training.scene.studio import Camera, configure_cycles, place_camera

Color = tuple[float, float, float]
Vector3 = tuple[float, float, float]

CAMERA = Camera(fov_deg=24.0, position=(0.0, 0.05, 1.27), target=(0.0, 0.0, 0.07))


@dataclass(frozen=True)
class Box:
    """A box of the room in the head's space: center and size in metres, linear color, radiance if it glows."""

    center: Vector3
    size: Vector3
    color: Color
    glow: float = 0.0


WALLS = ((0.46, 0.465, 0.46), (0.30, 0.36, 0.34), (0.47, 0.42, 0.36), (0.24, 0.29, 0.36))
"""Grey, sage, sand and slate; the seed chooses."""


def room(seed: int) -> list[Box]:
    """Wall, window with daylight, shelf with books, desk, lamp and a plant's leaves; odd seeds have the window on the
    left of the picture, even ones on the right."""
    boxes = _room(seed)
    if seed % 2:
        return boxes
    return [replace(box, center=(-box.center[0], *box.center[1:])) for box in boxes]


def _room(seed: int) -> list[Box]:
    random = np.random.default_rng(seed)
    boxes = [
        Box((0.0, 0.0, -3.3), (8.0, 5.0, 0.1), WALLS[(seed - 1) // 2 % len(WALLS)]),
        Box((-2.9, 0.0, -1.0), (0.1, 5.0, 6.0), (0.45, 0.45, 0.44)),
        Box((0.0, -1.25, -1.5), (8.0, 0.1, 5.0), (0.16, 0.115, 0.085)),
        Box((-0.78, 0.40, -3.22), (0.62, 1.15, 0.04), (0.80, 0.90, 1.0), 0.62),
        Box((-0.78, 0.42, -3.17), (0.04, 1.2, 0.06), (0.30, 0.29, 0.28)),
        Box((-0.78, 0.30, -3.17), (0.70, 0.03, 0.06), (0.30, 0.29, 0.28)),
        Box((-0.78, -0.18, -3.12), (0.80, 0.05, 0.20), (0.40, 0.39, 0.37)),
        Box((0.80, -0.62, -3.0), (1.5, 0.5, 0.5), (0.20, 0.135, 0.09)),
        Box((0.66, -0.30, -2.9), (0.04, 0.30, 0.04), (0.10, 0.08, 0.06)),
        Box((0.66, -0.07, -2.9), (0.22, 0.18, 0.22), (1.0, 0.70, 0.42), 0.85),
    ]
    for level in (0.16, 0.50):
        boxes.append(Box((0.72, level, -3.15), (0.95, 0.03, 0.26), (0.24, 0.165, 0.11)))
        x = 0.28
        while x < 0.98:
            width, height = random.uniform(0.025, 0.06), random.uniform(0.16, 0.27)
            colors = (
                (0.25, 0.10, 0.07),
                (0.09, 0.14, 0.17),
                (0.42, 0.38, 0.30),
                (0.12, 0.16, 0.12),
                (0.30, 0.22, 0.13),
            )
            boxes.append(
                Box(
                    (x + width / 2, level + 0.015 + height / 2, -3.12),
                    (width, height, 0.17),
                    colors[random.integers(5)],
                )
            )
            x += width + (0.09 if random.uniform() < 0.16 else 0.004)
    for _ in range(70):
        place = random.normal((-0.36, -0.14, -2.7), (0.10, 0.13, 0.08))
        boxes.append(
            Box(tuple(place), tuple(random.uniform(0.015, 0.07, 3)), (0.05, 0.10 + 0.07 * random.uniform(), 0.045))
        )
    boxes.append(Box((-0.36, -0.42, -2.7), (0.16, 0.22, 0.16), (0.42, 0.36, 0.31)))
    return boxes


def add_box(box: Box, number: int) -> None:
    """Adds a box with its own plain material to the scene."""
    graph = Graph(f"box{number}")
    material = graph.surface(
        graph.principled(
            Base_Color=(*box.color, 1), Roughness=0.6, Emission_Color=(*box.color, 1), Emission_Strength=box.glow
        )
    )
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(box.center[0], -box.center[2], box.center[1]))
    thing = bpy.context.object
    thing.scale = (box.size[0], box.size[2], box.size[1])
    thing.data.materials.append(material)


def render_background(out: Path, size_px: int, samples: int, threads: int, seed: int) -> None:
    """Writes the plate, RGB, as a PNG of `size_px` squared."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    for number, box in enumerate(room(seed)):
        add_box(box, number)
    for position, size_m, watts, color in (
        ((-2.2, -0.6, 2.2), 2.0, 150.0, (0.9, 0.95, 1.0)),
        ((1.8, 0.5, 2.0), 1.6, 110.0, (1.0, 0.93, 0.85)),
    ):
        light = bpy.data.lights.new("ceiling", "AREA")
        light.size, light.energy, light.color = size_m, watts, color
        lamp = bpy.data.objects.new("ceiling", light)
        lamp.location = position
        bpy.context.scene.collection.objects.link(lamp)
    configure_cycles(samples, threads)
    place_camera(CAMERA, size_px, size_px)
    scene = bpy.context.scene
    lens = scene.camera.data
    lens.dof.use_dof, lens.dof.focus_distance, lens.dof.aperture_fstop = True, 1.2, 0.75
    scene.cycles.max_bounces, scene.cycles.diffuse_bounces = 6, 4
    scene.render.film_transparent = False
    scene.render.image_settings.color_mode = "RGB"
    scene.render.filepath = str(out.resolve())
    bpy.ops.render.render(write_still=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--person", default="default", help="a file of training/people/, which says the seed")
    parser.add_argument("--out", type=Path, help="the plate; by default avatars/<person>/background.png")
    parser.add_argument("--size", type=int, default=512, help="pixels")
    parser.add_argument("--samples", type=int, default=64, help="paths a pixel")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args()
    person = Person.load(options.person)
    out = options.out or Path("avatars") / person.name / "background.png"
    render_background(out, options.size, options.samples, options.threads, person.background_seed)


if __name__ == "__main__":
    main()
