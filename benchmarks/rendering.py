"""How close the rasterized and the enhanced frame come to the path-traced one, on frames held out from training.

`python -m benchmarks.rendering --pairs runs/pairs --avatar avatars/default` prints a table and writes contact sheets.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from avatar.enhancer import IMAGE, enhance
from avatar.head import Part
from avatar.rasterizer import Renderer
from avatar.rasterizer.points import project
from avatar.rasterizer.scene import Scene
from benchmarks.flicker import KINDS, Moment, mean_flicker, moments, runs_of
from benchmarks.identity import Embed, cosine, embedder
from benchmarks.landmarks import Detector, distance_px, face_mesh
from benchmarks.lpips import Measure, lpips
from benchmarks.similarity import ms_ssim, psnr_db, ssim
from benchmarks.spectrum import BANDS_PX, band_energy
from training.enhancer.pairs import TRAIN, Entry, Pairs, load_pairs, name_of, read_manifest
from training.head.face_mesh import REGIONS as MESH_REGIONS

REGIONS = ("frame", "face", "mouth")
FACE_LANDMARKS, MOUTH_LANDMARKS = slice(0, 68), slice(48, 68)
DIFFERENCE_GAIN = 4

Enhance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""([H, W, 4] raster, [H, W] mask) -> [H, W, 4] picture, all uint8."""


@dataclass(frozen=True, slots=True)
class Score:
    """Similarity of one kind of frame to the path-traced one, in one region."""

    psnr_db: float
    ssim: float
    ms_ssim: float

    @classmethod
    def of(cls, picture: np.ndarray, truth: np.ndarray) -> "Score":
        return cls(psnr_db(picture, truth), ssim(picture, truth), ms_ssim(picture, truth))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One held-out frame over the avatar's background: [H, W, 3] uint8 each.

    Attributes:
        name: of the path-traced picture.
        landmarks: [68, 2] float32, pixels.
        mask: [H, W] uint8, part ids of the raster.
    """

    name: str
    raster: np.ndarray
    enhanced: np.ndarray
    truth: np.ndarray
    landmarks: np.ndarray
    mask: np.ndarray

    def region(self, name: str) -> tuple[slice, slice]:
        """Rows and columns of "frame", "face" or "mouth"."""
        size_px = self.truth.shape[0]
        if name == "frame":
            return slice(0, size_px), slice(0, size_px)
        points, margins = (FACE_LANDMARKS, (0.35, 0.1, 0.1)) if name == "face" else (MOUTH_LANDMARKS, (0.3, 0.3, 0.2))
        left, top = self.landmarks[points].min(axis=0)
        right, bottom = self.landmarks[points].max(axis=0)
        above, below, beside = margins
        extent_px = max(right - left, bottom - top)
        rows = slice(_inside(top - above * extent_px, size_px), _inside(bottom + below * extent_px, size_px))
        return rows, slice(_inside(left - beside * extent_px, size_px), _inside(right + beside * extent_px, size_px))

    def scores(self, region: str) -> tuple[Score, Score]:
        """Of the raster and of the enhanced frame."""
        window = self.region(region)
        truth = self.truth[window]
        raster, enhanced = self.raster[window], self.enhanced[window]
        return Score.of(raster, truth), Score.of(enhanced, truth)


def compare(pairs: Pairs, enhance: Enhance, background: np.ndarray) -> list[Comparison]:
    """Enhances each pair's raster and puts all three pictures over the background, [H, W, 3] uint8."""
    return [
        Comparison(
            pairs.names[i],
            over(pairs.raster[i], background),
            over(enhance(pairs.raster[i], pairs.mask[i]), background),
            over(pairs.truth[i], background),
            pairs.landmarks[i],
            pairs.mask[i],
        )
        for i in range(len(pairs))
    ]


def over(picture: np.ndarray, background: np.ndarray) -> np.ndarray:
    """[H, W, 4] uint8 RGBA, premultiplied, over [H, W, 3] uint8 -> [H, W, 3] uint8."""
    rest = 1.0 - picture[..., 3:].astype(np.float32) / 255.0
    return np.round(picture[..., :3] + background * rest).clip(0, 255).astype(np.uint8)


def table(comparisons: list[Comparison]) -> str:
    """Markdown: mean PSNR, SSIM and multi-scale SSIM of the raster and the enhanced frame in each region."""
    lines = [
        f"| {len(comparisons)} frames | PSNR raster | enhanced "
        "| SSIM raster | enhanced | lowest | MS-SSIM raster | enhanced |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for region in REGIONS:
        raster, enhanced = zip(*(comparison.scores(region) for comparison in comparisons), strict=True)
        psnr, structure, scales = (
            [np.mean([getattr(score, name) for score in scores]) for scores in (raster, enhanced)]
            for name in ("psnr_db", "ssim", "ms_ssim")
        )
        lines.append(
            f"| {region} | {psnr[0]:.2f} dB | {psnr[1]:.2f} dB | {structure[0]:.4f} | {structure[1]:.4f} "
            f"| {min(score.ssim for score in enhanced):.4f} | {scales[0]:.4f} | {scales[1]:.4f} |"
        )
    return "\n".join(lines)


def texture_lines(comparisons: list[Comparison]) -> str:
    """Energy of fine texture in hair and skin as a share of the path-traced frames', whose noise counts as texture."""
    lines = []
    for part in (Part.HAIR, Part.SKIN):
        rows = [
            [band_energy(getattr(c, name), c.mask == part) for name in ("raster", "enhanced", "truth")]
            for c in comparisons
        ]
        seen = np.array([row for row in rows if row[0] is not None])
        if not len(seen):
            lines.append(f"texture, {part.name.lower()}: no window of it")
            continue
        raster, enhanced, truth = seen.sum(axis=0)
        shares = (
            f"{short_px:.0f} to {long_px:.0f} px raster {r / t:.2f}, enhanced {e / t:.2f}"
            for (short_px, long_px), r, e, t in zip(BANDS_PX, raster, enhanced, truth, strict=True)
        )
        lines.append(
            f"texture, {part.name.lower()}, energy of the path-traced frames': {'; '.join(shares)}, "
            f"{len(seen)} of {len(rows)} frames"
        )
    return "\n".join(lines)


def lpips_lines(comparisons: list[Comparison], measure: Measure) -> str:
    """Mean LPIPS against the path-traced frame in each region."""
    lines = []
    for region in REGIONS:
        windows = [(c, c.region(region)) for c in comparisons]
        raster, enhanced = (
            np.mean([measure(getattr(c, name)[window], c.truth[window]) for c, window in windows])
            for name in ("raster", "enhanced")
        )
        lines.append(f"LPIPS, {region}: raster {raster:.3f}, enhanced {enhanced:.3f}")
    return "\n".join(lines)


def landmark_lines(comparisons: list[Comparison], detect: Detector, kinds: tuple[str, str] = KINDS[:2]) -> str:
    """Mean and largest distance of detected landmarks from those in the path-traced frame; `kinds` names the pictures
    that the comparisons have as `raster` and `enhanced`."""
    return _detected(
        "landmarks",
        comparisons,
        kinds,
        lambda frame, truth: distance_px(detect, frame, truth),
        lambda px: f"{np.mean(px):.2f} px from the path-traced frame's on average, {max(px):.2f} at most",
    )


def mesh_points(entries: list[Entry], avatar: Path) -> list[np.ndarray]:
    """[478, 3] float32 pixels of the head's face mesh for each entry's controls: see `RasterResult.face_mesh`."""
    scene = Scene.load(avatar)
    posed = (scene.head.pose(entry.blendshapes, entry.pose) for entry in entries)
    return [project(scene.head.face_mesh(vertices), scene.matrix, scene.size_px) for vertices in posed]


def mesh_lines(comparisons: list[Comparison], points: list[np.ndarray], detect: Detector) -> str:
    """Mean distance of the head's face-mesh points [478, 3] from those detected, over all and by region.

    Args:
        comparisons: held-out frames.
        points: of each of them.
        detect: gives [478, 2] pixels.
    """
    lines = []
    for name in ("enhanced", "truth"):
        found = [detect(getattr(comparison, name)) for comparison in comparisons]
        apart = [
            np.linalg.norm(detected - own[:, :2], axis=1)
            for detected, own in zip(found, points, strict=True)
            if detected is not None
        ]
        if not apart:
            return "face mesh: the detector finds no face"
        px = np.mean(apart, axis=0)
        regions = ", ".join(f"{region} {px[list(members)].mean():.2f}" for region, members in MESH_REGIONS.items())
        kind = "path-traced" if name == "truth" else name
        lines.append(
            f"face mesh: the head's points lie {px.mean():.2f} px from the detector's on the {kind} frames on average "
            f"({regions}), {len(apart)} of {len(found)} frames"
        )
    return "\n".join(lines)


def identity_lines(comparisons: list[Comparison], embed: Embed, kinds: tuple[str, str] = KINDS[:2]) -> str:
    """Mean and smallest cosine of face embeddings against the path-traced frame's; `kinds` as `landmark_lines` takes
    them."""
    return _detected(
        "identity",
        comparisons,
        kinds,
        lambda frame, truth: cosine(embed, frame, truth),
        lambda near: f"cosine {np.mean(near):.3f} to the path-traced frame on average, {min(near):.3f} at least",
    )


def _detected(
    what: str,
    comparisons: list[Comparison],
    kinds: tuple[str, str],
    measure: Callable[[np.ndarray, np.ndarray], float | None],
    describe: Callable[[list[float]], str],
) -> str:
    """A line each for the two kinds of frames, over those in which `measure` finds a face."""
    lines = []
    for name, kind in zip(("raster", "enhanced"), kinds, strict=True):
        found = [measure(getattr(c, name), c.truth) for c in comparisons]
        seen = [value for value in found if value is not None]
        if not seen:
            return f"{what}: the detector finds no face"
        lines.append(f"{what}, {kind}: {describe(seen)}, {len(seen)} of {len(found)} frames")
    return "\n".join(lines)


def change(pictures: list[np.ndarray]) -> float:
    """Mean absolute difference, of 255, of each picture from the one before."""
    return float(np.mean([np.abs(a.astype(float) - b).mean() for a, b in pairwise(pictures)]))


def change_lines(comparisons: list[Comparison], clips: dict[str, str]) -> str:
    """Change from frame to frame within the clips that have several held-out frames."""
    members: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        members.setdefault(clips[comparison.name], []).append(comparison)
    runs = [run for run in members.values() if len(run) > 1]
    if not runs:
        return "change from frame to frame: no clip with two held-out frames"
    means = {name: np.mean([change([getattr(c, name) for c in run]) for run in runs])
             for name in ("raster", "enhanced", "truth")}  # fmt: skip
    return "change from frame to frame, of 255: " + ", ".join(f"{name} {value:.2f}" for name, value in means.items())


def stabilizer_lines(runs: list[list[Moment]], background: np.ndarray) -> str:
    """Flicker of every kind of frame, and the similarity to the truth before and after the stabilizer."""
    if not runs:
        return "stabilizer: no clip with two held-out frames"
    flickers = ", ".join(f"{kind} {mean_flicker(runs, kind):.2f}" for kind in KINDS)
    lines = [
        f"flicker, warped difference of 255: {flickers}",
        f"| {sum(map(len, runs))} frames, {len(runs)} runs | PSNR enhanced | stabilized | SSIM enhanced | stabilized |",
        "| --- | --- | --- | --- | --- |",
    ]
    before, after = (stabilized_comparisons(runs, background, kind) for kind in ("enhanced", "stabilized"))
    for region in REGIONS:
        scores = [[comparison.scores(region)[1] for comparison in kind] for kind in (before, after)]
        psnr = [np.mean([score.psnr_db for score in kind]) for kind in scores]
        structure = [np.mean([score.ssim for score in kind]) for kind in scores]
        lines.append(f"| {region} | {psnr[0]:.2f} dB | {psnr[1]:.2f} dB | {structure[0]:.4f} | {structure[1]:.4f} |")
    return "\n".join(lines)


def stabilized_comparisons(runs: list[list[Moment]], background: np.ndarray, kind: str) -> list[Comparison]:
    """Comparisons whose `raster` is the enhanced frame and whose `enhanced` is the frame of a kind."""
    return [
        Comparison(
            "",
            over(moment.enhanced, background),
            over(getattr(moment, kind), background),
            over(moment.truth, background),
            moment.landmarks,
            np.zeros(moment.truth.shape[:2], np.uint8),
        )
        for run in runs
        for moment in run
    ]


def sheet(comparisons: list[Comparison], region: str = "frame", magnify: int = 1) -> np.ndarray:
    """Rows of raster, enhanced, truth and amplified difference of the latter two, [rows, columns, 3] uint8."""
    rows = []
    for comparison in comparisons:
        window = comparison.region(region)
        enhanced, truth = comparison.enhanced[window], comparison.truth[window]
        difference = cv2.absdiff(enhanced, truth)
        amplified = np.clip(difference.astype(np.int32) * DIFFERENCE_GAIN, 0, 255).astype(np.uint8)
        row = np.hstack([comparison.raster[window], enhanced, truth, amplified])
        rows.append(cv2.resize(row, None, fx=magnify, fy=magnify, interpolation=cv2.INTER_NEAREST))
    width = max(row.shape[1] for row in rows)
    return np.vstack([cv2.copyMakeBorder(row, 0, 4, 0, width - row.shape[1], cv2.BORDER_CONSTANT) for row in rows])


def onnx_enhance(path: Path) -> Enhance:
    """The exported network, run by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return partial(enhance, lambda tensors: {IMAGE: session.run([IMAGE], tensors)[0]})


def _inside(position_px: float, size_px: int) -> int:
    return int(np.clip(round(position_px), 0, size_px))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rendering", description=__doc__)
    parser.add_argument("--pairs", type=Path, default=Path("runs/pairs"), help="folder with manifest.jsonl")
    parser.add_argument("--avatar", type=Path, default=Path("avatars/default"), help="folder of the avatar")
    parser.add_argument("--model", type=Path, default=Path("model_repository/enhancer/1/model.onnx"))
    parser.add_argument("--split", help="held-out split to take; by default all but the training split")
    parser.add_argument("--sheets", type=Path, default=Path("runs/rendering"), help="folder of the contact sheets")
    parser.add_argument("--rows", type=int, default=4, help="frames on a sheet")
    parser.add_argument("--vgg16", type=Path, help="torchvision's state dict of VGG-16, for LPIPS")
    parser.add_argument("--lpips", type=Path, help="the calibration of LPIPS for it: see benchmarks/lpips.py")
    options = parser.parse_args()
    if (options.vgg16 is None) != (options.lpips is None):
        raise SystemExit(f"--vgg16 and --lpips go together, got {options.vgg16} and {options.lpips}")

    entries = read_manifest(options.pairs)
    held_out = [e for e in entries if e.split == options.split or (options.split is None and e.split != TRAIN)]
    pairs = load_pairs(held_out, options.avatar)
    background = cv2.cvtColor(cv2.imread(str(options.avatar / "background.png")), cv2.COLOR_BGR2RGB)
    comparisons = compare(pairs, onnx_enhance(options.model), background)
    print(table(comparisons))
    print(change_lines(comparisons, {name_of(entry, options.avatar): entry.picture.parent.name for entry in held_out}))
    renderer, enhance = Renderer.load(options.avatar, workers=1), onnx_enhance(options.model)
    runs = [moments(run, renderer, enhance) for run in runs_of(held_out)]
    print(stabilizer_lines(runs, background))
    print(texture_lines(comparisons))
    if options.vgg16 is None:
        print("LPIPS: needs --vgg16 and --lpips, see benchmarks/lpips.py")
    else:
        print(lpips_lines(comparisons, lpips(options.vgg16, options.lpips)))
    detect = face_mesh()
    print(landmark_lines(comparisons, detect) if detect else "landmarks: needs mediapipe, see benchmarks/landmarks.py")
    detect_mesh = face_mesh(refined=True)
    if detect_mesh:
        print(mesh_lines(comparisons, mesh_points(held_out, options.avatar), detect_mesh))
    embed = embedder()
    print(identity_lines(comparisons, embed) if embed else "identity: needs dlib, see benchmarks/identity.py")
    steady = stabilized_comparisons(runs, background, "stabilized")
    if steady and detect and embed:
        print(f"of the {len(steady)} frames in runs:")
        print(landmark_lines(steady, detect, KINDS[1:3]))
        print(identity_lines(steady, embed, KINDS[1:3]))
    options.sheets.mkdir(parents=True, exist_ok=True)
    chosen = [
        comparisons[i] for i in np.linspace(0, len(comparisons) - 1, min(options.rows, len(comparisons))).astype(int)
    ]
    for region, magnify in (("frame", 1), ("face", 2), ("mouth", 4)):
        path = options.sheets / f"{region}.png"
        cv2.imwrite(str(path), cv2.cvtColor(sheet(chosen, region, magnify), cv2.COLOR_RGB2BGR))
        print(f"wrote {path}: raster, enhanced, path-traced, {DIFFERENCE_GAIN} x difference")
    if steady:
        path = options.sheets / "stabilized.png"
        cv2.imwrite(str(path), cv2.cvtColor(sheet(steady[: options.rows]), cv2.COLOR_RGB2BGR))
        print(f"wrote {path}: enhanced, stabilized, path-traced, {DIFFERENCE_GAIN} x difference")


if __name__ == "__main__":
    main()
