"""Pairs of frames: what the rasterizer draws and what the path tracer draws for the same face."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from avatar import alpha
from avatar.config import BLENDSHAPE_COUNT, FRAME_SIZE, LANDMARK_COUNT
from training.enhancer.attention import attention_map

TRAIN = "train"


@dataclass(frozen=True, slots=True)
class Pairs:
    """N pairs in memory; H = W = 512 unless a test says otherwise.

    Attributes:
        names: [N] avatar, clip and picture.
        raster: [N, H, W, 4] uint8, RGBA, premultiplied.
        mask: [N, H, W] uint8, part ids.
        truth: [N, H, W, 4] uint8, RGBA, premultiplied.
        attention: [N, H, W] uint8, weight of each pixel's error; 16 is 1.0.
        landmarks: [N, 68, 2] float32, pixels.
    """

    names: tuple[str, ...]
    raster: np.ndarray
    mask: np.ndarray
    truth: np.ndarray
    attention: np.ndarray
    landmarks: np.ndarray

    def __post_init__(self):
        count, height, width = self.mask.shape
        expected = {
            "raster": (count, height, width, 4),
            "truth": (count, height, width, 4),
            "attention": (count, height, width),
            "landmarks": (count, LANDMARK_COUNT, 2),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape} to fit the mask, got {getattr(self, name).shape}")
        if len(self.names) != count:
            raise ValueError(f"there must be one name a pair, got {len(self.names)} for {count}")

    def __len__(self) -> int:
        return len(self.names)

    def joined(self, other: "Pairs") -> "Pairs":
        """These pairs, then the others."""
        arrays = (field.name for field in fields(self) if field.name != "names")
        joined = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in arrays}
        return Pairs(self.names + other.names, **joined)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the manifest that the path tracer's job writes.

    Attributes:
        picture: path-traced PNG, RGBA.
        blendshapes: [52] float32 in [0, 1].
        pose: [6] float32, see docs/architecture.md.
        split: "train", or a held-out one.
    """

    picture: Path
    blendshapes: np.ndarray
    pose: np.ndarray
    split: str


def read_manifest(folder: Path) -> list[Entry]:
    """Entries of `folder/manifest.jsonl` whose picture is there, in order.

    Raises:
        FileNotFoundError: there is no manifest.
        ValueError: a line lacks a field or has the wrong number of controls.
    """
    path = folder / "manifest.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"{path} must exist: render the path-traced frames first (training.scene)")
    entries = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        entry = _entry(folder, json.loads(line), f"{path}:{number}")
        if entry.picture.exists():
            entries[entry.picture] = entry
    return list(entries.values())


def _entry(folder: Path, line: dict, where: str) -> Entry:
    missing = {"file", "blendshapes", "pose", "split"} - line.keys()
    if missing:
        raise ValueError(f"{where} must have file, blendshapes, pose and split, lacks {sorted(missing)}")
    blendshapes = np.asarray(line["blendshapes"], np.float32)
    pose = np.asarray(line["pose"], np.float32)
    if blendshapes.shape != (BLENDSHAPE_COUNT,) or pose.shape != (6,):
        raise ValueError(
            f"{where} must have {BLENDSHAPE_COUNT} blendshapes and 6 pose values, "
            f"got {blendshapes.shape} and {pose.shape}"
        )
    return Entry(folder / line["file"], blendshapes, pose, line["split"])


def name_of(entry: Entry, avatar: Path) -> str:
    """Avatar, clip and picture: unique among the pairs of all avatars."""
    return f"{avatar.name}/{entry.picture.parent.name}/{entry.picture.stem}"


def load_pairs(entries: Iterable[Entry], avatar: Path) -> Pairs:
    """Reads the path-traced pictures and draws the raster of each with the avatar's files as they are now."""
    from avatar.rasterizer import Renderer

    renderer = Renderer.load(avatar, workers=1)
    rows = []
    for entry in entries:
        frame = renderer.render(entry.blendshapes, entry.pose, entry.blendshapes, entry.pose)
        rows.append(
            (
                name_of(entry, avatar),
                frame.raster,
                frame.mask,
                read_picture(entry.picture),
                attention_map(frame.mask, frame.landmarks),
                frame.landmarks,
            )
        )
    if not rows:
        raise ValueError("there must be at least one pair, got none: is the manifest of this split empty?")
    names, *arrays = zip(*rows, strict=True)
    return Pairs(names, *(np.stack(array) for array in arrays))


def read_picture(path: Path) -> np.ndarray:
    """PNG with straight alpha as [512, 512, 4] uint8, RGBA, premultiplied.

    Raises:
        ValueError: the picture has another size, depth or no alpha.
    """
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.shape != (FRAME_SIZE, FRAME_SIZE, 4) or picture.dtype != np.uint8:
        got = "no picture" if picture is None else f"{picture.shape} {picture.dtype}"
        raise ValueError(f"{path} must be a {FRAME_SIZE} x {FRAME_SIZE} RGBA PNG of 8 bits, got {got}")
    straight = cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA).view(np.uint32).reshape(-1)
    premultiplied = np.empty_like(straight)
    alpha.premultiply(straight, premultiplied)
    return premultiplied.view(np.uint8).reshape(picture.shape)
