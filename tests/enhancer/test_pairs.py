"""The manifest of path-traced frames, and where errors count."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.head import Part
from training.enhancer.attention import EDGE, EMPTY, FACE, FOCUS, attention_map
from training.enhancer.pairs import load_pairs, name_of, read_manifest, read_picture
from training.enhancer.synthetic import synthetic_pairs

LINE = {"file": "a.png", "blendshapes": [0.0] * 52, "pose": [0.0] * 6, "split": "train"}


def write_manifest(folder, *lines):
    (folder / "manifest.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")


def test_manifest_gives_pictures_that_exist_once(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((512, 512, 4), np.uint8))
    write_manifest(tmp_path, LINE, {**LINE, "file": "missing.png"}, {**LINE, "split": "val"})
    entries = read_manifest(tmp_path)
    assert [(entry.picture.name, entry.split) for entry in entries] == [("a.png", "val")]
    assert entries[0].blendshapes.shape == (52,)


@pytest.mark.parametrize(
    "line, rule",
    [
        ({"file": "a.png", "pose": [0.0] * 6}, "lacks ['blendshapes', 'split']"),
        ({**LINE, "pose": [0.0] * 5}, "6 pose values"),
        ({**LINE, "blendshapes": [0.0] * 51}, "52 blendshapes"),
    ],
)
def test_bad_line_is_named(tmp_path, line, rule):
    write_manifest(tmp_path, LINE, line)
    with pytest.raises(ValueError, match="manifest.jsonl:2") as caught:
        read_manifest(tmp_path)
    assert rule in str(caught.value)


def test_missing_manifest_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="render the path-traced frames first"):
        read_manifest(tmp_path)


def test_picture_is_rgba_in_that_order(tmp_path):
    picture = np.zeros((512, 512, 4), np.uint8)
    picture[...] = (10, 20, 30, 255)
    picture[1] = (10, 20, 30, 51)
    cv2.imwrite(str(tmp_path / "bgra.png"), picture)
    assert read_picture(tmp_path / "bgra.png")[:2, 0].tolist() == [[30, 20, 10, 255], [6, 4, 2, 51]], "premultiplied"


def test_picture_without_alpha_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "rgb.png"), np.zeros((512, 512, 3), np.uint8))
    with pytest.raises(ValueError, match="RGBA PNG"):
        read_picture(tmp_path / "rgb.png")


def test_attention_is_highest_at_eyes_and_mouth_and_lowest_away_from_the_figure():
    pairs = synthetic_pairs(1, size_px=256)
    mask, landmarks = pairs.mask[0], pairs.landmarks[0]
    weights = attention_map(mask, landmarks)
    eye, mouth = landmarks[36:42].mean(axis=0), landmarks[48:60].mean(axis=0)
    for x, y in (eye, mouth):
        assert weights[round(y), round(x)] == FOCUS
    assert weights[2, 2] == EMPTY
    chin = landmarks[48:60].max(axis=0)[1] + 30
    assert weights[round(chin), round(mouth[0])] == FACE


def test_the_edge_of_the_hair_counts_more_than_its_inside():
    mask = np.zeros((256, 256), np.uint8)
    mask[20:120, 60:200] = Part.HAIR
    weights = attention_map(mask, np.full((68, 2), 220.0, np.float32))
    assert weights[70, 130] == FACE
    assert weights[20, 130] == weights[119, 130] > 0.9 * EDGE


def test_closed_mouth_still_counts():
    landmarks = synthetic_pairs(1, size_px=256).landmarks[0]
    x, y = landmarks[48:60].mean(axis=0)
    mask = np.ones((256, 256), np.uint8)
    assert attention_map(mask, landmarks)[round(y), round(x)] == FOCUS


def test_pairs_of_two_avatars_join_under_names_of_their_own(tmp_path):
    avatar, other = Path("avatars/default"), tmp_path / "other"
    other.symlink_to(avatar.resolve())
    (tmp_path / "rest").mkdir()
    cv2.imwrite(str(tmp_path / "rest" / "00000.png"), np.full((512, 512, 4), (90, 90, 90, 255), np.uint8))
    write_manifest(tmp_path, {**LINE, "file": "rest/00000.png"})
    entries = read_manifest(tmp_path)
    both = load_pairs(entries, avatar).joined(load_pairs(entries, other))
    assert both.names == ("default/rest/00000", "other/rest/00000")
    assert both.names[1] == name_of(entries[0], other)
    assert (both.truth[..., :3] == 90).all() and both.mask[0].any()
