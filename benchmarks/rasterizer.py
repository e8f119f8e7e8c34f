"""Milliseconds of the rasterizer and the stabilizer on this machine.

`python -m benchmarks.rasterizer --avatar avatars/default` prints, for one and for all cores, the shortest time of each
step over many frames of a turning, talking head: the shortest, because other work on the machine only ever adds.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from avatar.blendshapes import INDEX
from avatar.rasterizer import Renderer
from avatar.stabilizer import stabilize


def controls(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Blendshapes [52] and pose [6] of frame `index` at 30 frames a second."""
    blendshapes = np.zeros(len(INDEX), np.float32)
    blendshapes[INDEX["jawOpen"]] = 0.3 + 0.3 * np.sin(index * 0.6)
    blendshapes[INDEX["mouthSmileLeft"]] = blendshapes[INDEX["mouthSmileRight"]] = 0.2
    pose = np.array([0.05 * np.sin(index * 0.13), 0.2 * np.sin(index * 0.07), 0, 0, 0, 0], np.float32)
    return blendshapes, pose


def measure(renderer: Renderer, frames: int) -> dict[str, float]:
    """Shortest milliseconds of each step and of the whole."""
    shortest: dict[str, float] = {}
    previous = np.zeros((renderer.scene.size_px, renderer.scene.size_px, 4), np.uint8)
    for index in range(1, frames + 1):
        steps: dict[str, float] = {}
        begin_s = time.perf_counter()
        result = renderer.render(*controls(index), *controls(index - 1), profile=steps)
        drawn_s = time.perf_counter()
        previous = stabilize(result.raster, previous, result.motion_vectors)
        steps["rasterizer"] = (drawn_s - begin_s) * 1000
        steps["stabilizer"] = (time.perf_counter() - drawn_s) * 1000
        if index == 1:
            continue  # The first frame has no past to blend, and may compile.
        for name, step_ms in steps.items():
            shortest[name] = min(shortest.get(name, step_ms), step_ms)
    return shortest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--avatar", type=Path, default=Path("avatars/default"), help="avatar folder")
    parser.add_argument("--frames", type=int, default=300)
    arguments = parser.parse_args()
    for workers in sorted({1, len(os.sched_getaffinity(0))}):
        begin_s = time.perf_counter()
        renderer = Renderer.load(arguments.avatar, workers)
        load_s = time.perf_counter() - begin_s
        shortest = measure(renderer, arguments.frames)
        print(f"{workers} threads, {len(renderer.scene.tri)} triangles, loaded in {load_s:.1f} s")
        print("  ".join(f"{name} {step_ms:.2f} ms" for name, step_ms in shortest.items()))


if __name__ == "__main__":
    main()
