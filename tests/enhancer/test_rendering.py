"""The benchmark's measures against their definitions."""

from itertools import pairwise

import numpy as np
import pytest

from avatar.head import Part
from benchmarks.identity import cosine
from benchmarks.landmarks import distance_px
from benchmarks.rendering import (
    Comparison,
    change,
    compare,
    lpips_lines,
    mesh_lines,
    over,
    sheet,
    table,
    texture_lines,
)
from benchmarks.similarity import ms_ssim, psnr_db, ssim
from training.enhancer.synthetic import synthetic_pairs


def noise(seed: int, shape=(24, 31, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def ssim_by_hand(first, second):
    """Wang et al. (2004): weighted moments window by window."""
    offset = np.arange(-5, 6)
    kernel = np.exp(-(offset**2) / (2 * 1.5**2))
    window = np.outer(kernel, kernel) / np.outer(kernel, kernel).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(first.shape[2]):
        for y in range(5, first.shape[0] - 5):
            for x in range(5, first.shape[1] - 5):
                a = first[y - 5 : y + 6, x - 5 : x + 6, channel].astype(float)
                b = second[y - 5 : y + 6, x - 5 : x + 6, channel].astype(float)
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
                cov = (window * (a - mean_a) * (b - mean_b)).sum()
                values.append(
                    (2 * mean_a * mean_b + c1) * (2 * cov + c2)
                    / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
                )  # fmt: skip
    return float(np.mean(values))


def test_psnr_of_a_known_error():
    flat = np.full((16, 16, 3), 100, np.uint8)
    assert psnr_db(flat, flat + 5) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr_db(flat, flat) == float("inf")


def test_ssim_is_its_formula_in_each_window():
    first = noise(0)
    second = np.clip(first.astype(int) + noise(1) // 4 - 20, 0, 255).astype(np.uint8)
    assert ssim(first, second) == pytest.approx(ssim_by_hand(first, second), abs=1e-9)
    assert ssim(first, first) == pytest.approx(1.0)


def test_multi_scale_ssim_is_its_formula():
    """Wang et al. (2003), eq. 7, with luminance in the coarsest of the two octaves that 24 pixels allow."""
    first = noise(0, (24, 24, 1))
    second = np.clip(first.astype(int) + noise(1, (24, 24, 1)) // 4 - 20, 0, 255).astype(np.uint8)

    def halved(picture):
        return picture.astype(float).reshape(12, 2, 12, 2, 1).mean((1, 3))

    def structure(a, b):
        offset = np.arange(-5, 6)
        kernel = np.exp(-(offset**2) / (2 * 1.5**2))
        window = np.outer(kernel, kernel) / np.outer(kernel, kernel).sum()
        values = []
        for y in range(5, a.shape[0] - 5):
            for x in range(5, a.shape[1] - 5):
                p, q = (v[y - 5 : y + 6, x - 5 : x + 6, 0].astype(float) for v in (a, b))
                mean_p, mean_q = (window * p).sum(), (window * q).sum()
                var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
                covariance = (window * (p - mean_p) * (q - mean_q)).sum()
                values.append((2 * covariance + (0.03 * 255) ** 2) / (var_p + var_q + (0.03 * 255) ** 2))
        return np.mean(values)

    share = 0.0448 / (0.0448 + 0.2856)
    expected = structure(first, second) ** share * ssim_by_hand(halved(first), halved(second)) ** (1 - share)
    assert ms_ssim(first, second) == pytest.approx(expected, abs=1e-9)
    assert ms_ssim(first, first) == pytest.approx(1.0)


def test_change_is_the_mean_step_between_neighbours():
    flat = np.full((12, 12, 3), 100, np.uint8)
    assert change([flat, flat + 2, flat + 6]) == pytest.approx(3.0)


def test_landmarks_are_compared_where_a_face_is_found():
    face, empty = np.ones((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)

    def detect(picture):
        return np.full((4, 2), float(picture[0, 0, 0])) if picture.any() else None

    assert distance_px(detect, face, 2 * face) == pytest.approx(np.sqrt(2))
    assert distance_px(detect, face, empty) is None


def test_face_mesh_points_are_compared_by_region_where_a_face_is_found():
    face, empty = np.ones((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    own = np.random.default_rng(0).uniform(0, 8, (478, 3))
    away = np.where(np.arange(478)[:, None] >= 468, (0.0, 5.0), (3.0, 0.0))

    def detect(picture):
        return own[:, :2] + away if picture.any() else None

    seen = Comparison("seen", face, face, face, np.zeros((68, 2)), face[..., 0])
    unseen = Comparison("unseen", empty, empty, empty, np.zeros((68, 2)), empty[..., 0])
    enhanced, traced = mesh_lines([seen, unseen], [own, own], detect).splitlines()
    assert "lie 3.04 px from the detector's on the enhanced frames" in enhanced and "path-traced" in traced
    assert "lips 3.00, eyes 3.00, irises 5.00, oval 3.00" in traced and traced.endswith("1 of 2 frames")
    assert "no face" in mesh_lines([unseen], [own], detect)


def test_measures_refuse_unequal_or_tiny_pictures():
    with pytest.raises(ValueError, match="one shape"):
        psnr_db(noise(0), noise(0)[:-1])
    with pytest.raises(ValueError, match="at least 11"):
        ssim(noise(0)[:10], noise(0)[:10])


def test_over_mixes_by_alpha():
    picture = np.array([[[40, 20, 0, 51]]], np.uint8)
    assert over(picture, np.full((1, 1, 3), 100, np.uint8))[0, 0].tolist() == [120, 100, 80]


@pytest.fixture(scope="module")
def comparisons():
    pairs = synthetic_pairs(2, size_px=256)
    background = np.full((256, 256, 3), 90, np.uint8)

    def enhance(raster, mask):
        index = next(i for i in range(len(pairs)) if np.array_equal(pairs.raster[i], raster))
        return (raster // 2 + pairs.truth[index] // 2).astype(np.uint8)

    return compare(pairs, enhance, background)


def test_better_picture_scores_better_everywhere(comparisons):
    for comparison in comparisons:
        for region in ("frame", "face", "mouth"):
            raster, enhanced = comparison.scores(region)
            assert enhanced.psnr_db > raster.psnr_db + 3
            assert enhanced.ssim > raster.ssim


def test_mouth_lies_in_the_face_and_the_face_in_the_frame(comparisons):
    for comparison in comparisons:
        windows = [comparison.region(name) for name in ("frame", "face", "mouth")]
        for outer, inner in pairwise(windows):
            for a, b in zip(outer, inner, strict=True):
                assert a.start <= b.start < b.stop <= a.stop


def test_region_of_a_face_at_the_border_stays_in_the_frame():
    picture = np.zeros((64, 64, 3), np.uint8)
    landmarks = np.full((68, 2), 60.0, np.float32) + np.random.default_rng(0).uniform(-20, 20, (68, 2))
    rows, columns = Comparison("edge", picture, picture, picture, landmarks, picture[..., 0]).region("face")
    assert 0 <= rows.start < rows.stop <= 64 and 0 <= columns.start < columns.stop <= 64


def test_table_has_a_row_for_each_region(comparisons):
    lines = table(comparisons).splitlines()
    assert len(lines) == 5
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["frame", "face", "mouth"]


def test_texture_is_a_share_of_the_truths_energy():
    rng = np.random.default_rng(0)
    truth = np.clip(128 + 20 * rng.standard_normal((96, 96, 1)).repeat(3, axis=2), 0, 255).round().astype(np.uint8)
    halved = np.round(128 + (truth.astype(float) - 128) / 2).astype(np.uint8)
    mask = np.full((96, 96), Part.HAIR, np.uint8)
    landmarks = np.zeros((68, 2), np.float32)
    hair, skin = texture_lines([Comparison("a", halved, truth, truth, landmarks, mask)]).splitlines()
    assert "2 to 4 px raster 0.25, enhanced 1.00; 4 to 8 px raster 0.25, enhanced 1.00, 1 of 1 frames" in hair
    assert skin == "texture, skin: no window of it"


def test_lpips_is_told_for_each_region(comparisons):
    lines = lpips_lines(comparisons, lambda first, second: float(np.abs(first.astype(float) - second).mean()))
    assert [line.split(":")[0] for line in lines.splitlines()] == ["LPIPS, frame", "LPIPS, face", "LPIPS, mouth"]
    for line in lines.splitlines():
        raster, enhanced = (float(word.strip(",")) for word in line.split() if word[0].isdigit())
        assert 0 < enhanced < raster


def test_sheet_shows_four_pictures_a_row(comparisons):
    assert sheet(comparisons).shape == (2 * (256 + 4), 4 * 256, 3)
    assert sheet(comparisons, "mouth", magnify=3).shape[1] % 3 == 0


def test_identity_is_the_cosine_of_embeddings():
    face, empty = np.ones((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)

    def embed(picture):
        return np.array([3.0, 4.0]) * picture[0, 0, 0] + (0.0, picture[0, 0, 1] - 1.0) if picture.any() else None

    other = face.copy()
    other[..., 1] = 5
    assert cosine(embed, face, 2 * face) == pytest.approx((3 * 6 + 4 * 9) / (5 * np.hypot(6, 9)))
    assert cosine(embed, face, other) == pytest.approx((3 * 3 + 4 * 8) / (5 * np.hypot(3, 8)))
    assert cosine(embed, face, empty) is None
