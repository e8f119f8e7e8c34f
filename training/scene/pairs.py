"""Renders the training frames of the enhancer: `python -m training.scene.pairs --person default`.

Frames are written one by one and listed in `manifest.jsonl` as soon as they are there; a run that was stopped goes on
where it was. A manifest of another geometry is refused, so that old and new frames never mix.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import cv2
import numpy as np

from training.person import Person
from training.render_config import RenderConfig
from training.scene.expressions import sample
from training.scene.render import LookRenderer

SEEN = ("template", "expression_basis", "pose_basis", "skinning_weights", "joint_regressor", "faces", "part")
"""Arrays of `head.npz` on which the picture depends."""


def fingerprint(config: RenderConfig) -> str:
    """Twelve digits that change with what the picture shows: surface, strands, the person's look and camera.

    How the files are packed, how the texture is laid out and what is written about the avatar do not matter.
    """
    person = Person.load(config.person)
    digest = hashlib.sha256()
    for path, names in ((config.avatar / "head.npz", SEEN), (config.scalp, None)):
        with np.load(path) as arrays:
            for name in sorted(names or arrays.files):
                digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    digest.update(repr((sorted(person.look.items()), person.portrait)).encode())
    return digest.hexdigest()[:12]


def finished(manifest: Path, geometry: str) -> set[int]:
    """Indices that the manifest lists.

    Raises:
        ValueError: it lists frames of another geometry.
    """
    if not manifest.exists():
        return set()
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    foreign = {line["geometry"] for line in lines} - {geometry}
    if foreign:
        raise ValueError(
            f"{manifest} must hold frames of geometry {geometry}, got {sorted(foreign)}; choose another --out"
        )
    return {line["index"] for line in lines}


def render_pairs(renderer: LookRenderer, out: Path, count: int, first: int, step: int, stop_at: float | None) -> None:
    """Renders faces `first`, `first + step`, … below `count` that are not there yet.

    Args:
        renderer: of the avatar.
        out: folder; gets `manifest.jsonl` and `<clip>/<index>.png`.
        count: one past the last index.
        first: index to begin with.
        step: distance of indices, for several processes side by side.
        stop_at: Unix time after which no frame is begun, or None.
    """
    manifest, geometry = out / "manifest.jsonl", fingerprint(renderer.config)
    todo = [index for index in range(first, count, step) if index not in finished(manifest, geometry)]
    spent_s = []
    for number, index in enumerate(todo):
        if stop_at is not None and time.time() > stop_at:
            print("time is up", flush=True)
            return
        face = sample(index)
        started_s = time.perf_counter()
        picture = renderer.render_view(face.blendshapes, face.pose)
        spent_s.append(time.perf_counter() - started_s)
        file = Path(face.clip) / f"{index:05d}.png"
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(out / file), cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA))
        line = {
            "index": index, "clip": face.clip, "split": face.split, "file": str(file),
            "blendshapes": [round(float(value), 6) for value in face.blendshapes],
            "pose": [round(float(value), 7) for value in face.pose],
            "seconds": round(spent_s[-1], 2), "samples": renderer.config.samples, "geometry": geometry,
        }  # fmt: skip
        with manifest.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        mean_s = sum(spent_s[-20:]) / len(spent_s[-20:])
        left_min = mean_s * (len(todo) - number - 1) / 60
        print(
            f"{number + 1}/{len(todo)} {file} {spent_s[-1]:.1f} s, mean {mean_s:.1f} s, {left_min:.0f} min left",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--person", default="default", help="a file of training/people/")
    parser.add_argument("--out", type=Path, help="frames and manifest.jsonl; by default .data/pairs/<person>")
    parser.add_argument("--count", type=int, default=600, help="one past the last index")
    parser.add_argument("--first", type=int, default=0, help="first index")
    parser.add_argument("--step", type=int, default=1, help="distance of indices: for several processes")
    parser.add_argument("--samples", type=int, default=RenderConfig.samples, help="paths a pixel")
    parser.add_argument("--threads", type=int, default=RenderConfig.threads, help="CPU threads")
    parser.add_argument("--minutes", type=float, help="begin no frame after this long")
    options = parser.parse_args()
    out = options.out or Path(".data/pairs") / options.person
    out.mkdir(parents=True, exist_ok=True)
    stop_at = None if options.minutes is None else time.time() + 60 * options.minutes
    renderer = LookRenderer(RenderConfig(options.person, samples=options.samples, threads=options.threads))
    render_pairs(renderer, out, options.count, options.first, options.step, stop_at)


if __name__ == "__main__":
    main()
