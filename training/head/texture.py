"""`python -m training.head.texture`: bakes the path-traced look into `texture.png`."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import tomllib
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from avatar.head import Head, Joint, Part
from avatar.rasterizer.atlas import TRANSLUCENT_PARTS
from avatar.rasterizer.camera import Camera
from training.head.atlas import SIZE_PX, in_place
from training.head.bake import LEAST_SHARE, Texels, averaged, filled, sample_view, without_highlights
from training.head.hair import EDGE_M
from training.head.surface import boundary_loops
from training.head.views import HAIRLINE, View, portrait_views, render_views
from training.render_config import RenderConfig

SOLID_FROM_M, SOLID_BY_M = 0.002, 0.013
"""Hair turns opaque over these heights of the scalp above the hairline: there is no skin behind it further up."""


BAND_M = (0.008, 0.020)
"""Up to the first height above the hair's lower edge the shell shows strands and the skin between them, as the
hairline's view has them; from the second on hair alone. Here the shell lies close to the skin."""

FADE_M = 0.004
"""Hair fades in over this height above its lower edge."""

RIM_THIN_M, RIM_DENSE_M = 0.012, 0.002
"""From the rim of its shell in, hair fades in over the first where it is `THIN`, over the second where it is `DENSE`:
what hardly covers the forehead must not show where the shell ends, but a lock that hangs down to the rim ends there."""

THIN, DENSE = 0.2, 0.6
"""Opacity in 0..1."""

FIN_END = 0.02
"""Share of its length over which a fin of hair fades to its ends."""

FAINT = 128
"""Opacity in 0..255 below which a picture does not tell the color of hair."""

BESIDE_PX = 80
STRAND_BLUR_PX = {Part.LASHES: (14.0, 3.0), Part.HAIR: (1.0, 1.0)}
"""Across and along: opacity is the average coverage, finer than which a frame shows none of the strands."""


def blurred(values: NDArray, inside: NDArray[np.bool_], across_px: float, along_px: float) -> NDArray[np.float32]:
    """Gaussian average of `values` [H, W] over the texels that count."""
    weight = inside.astype(np.float32)
    total = cv2.GaussianBlur(values * weight, (0, 0), across_px, sigmaY=along_px)
    return total / np.maximum(cv2.GaussianBlur(weight, (0, 0), across_px, sigmaY=along_px), 1e-6)


def beside(texels: Texels, seen: NDArray[np.bool_], size_px: int) -> NDArray[np.bool_]:
    """Texels just behind the outline of what the portrait sees: pictures from aside show them in another light."""
    front = np.zeros((size_px, size_px), np.uint8)
    front[texels.row, texels.column] = seen
    width = 2 * round(BESIDE_PX * size_px / SIZE_PX) + 1
    return (cv2.dilate(front, np.ones((width, width), np.uint8)) > 0) & (front == 0)


def avatar_views(folder: Path, head: Head) -> list[View]:
    """The views for one avatar folder."""
    settings = tomllib.loads((folder / "avatar.toml").read_text())["camera"]
    camera = Camera(settings["fov_deg"], tuple(settings["position"]), tuple(settings["target"]))
    eyes = head.joints()[[Joint.LEFT_EYE, Joint.RIGHT_EYE]].mean(0)
    lips = head.landmarks(head.template)[[62, 66]].mean(0)
    return list(portrait_views(camera, eyes, lips))


def read(pictures: Path, name: str) -> NDArray[np.uint8]:
    """A rendered view [H, W, 4] RGBA."""
    return cv2.cvtColor(cv2.imread(str(pictures / f"{name}.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


def scalp_heights(head: Head, scalp_file: Path) -> NDArray[np.float64]:
    """Heights [V, 2] of the skin under each vertex of the hair's shell above the hairline and above the lower edge of
    the hair; 0 elsewhere."""
    hair = np.unique(head.faces[head.part == Part.HAIR])
    result = np.zeros((len(head.template), 2))
    with np.load(scalp_file) as scalp:
        result[hair] = np.stack([scalp["inside_m"], scalp["drape_m"]], 1)
    return result


def rim_distances_m(head: Head, own: Texels) -> NDArray[np.float64]:
    """Distance [N] of texels of the hair's shell from its rim."""
    # Vertices are doubled along the seams of the atlas, which are no rim.
    place, welded = np.unique(np.round(head.template, 6), axis=0, return_inverse=True)
    loops = boundary_loops(welded.ravel()[head.faces[head.part == Part.HAIR]])
    # Edges are up to 6 mm long.
    steps = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    rim = [(place[loop] + steps * (np.roll(place[loop], -1, 0) - place[loop])).reshape(-1, 3) for loop in loops]
    return cKDTree(np.concatenate(rim)).query(own.interpolated(head.faces, head.template))[0]


def rim_shares(opacity: NDArray, distance_m: NDArray) -> NDArray:
    """What is left in [0, 1] of an `opacity` in 0..1 at a distance from the shell's rim."""

    def risen(over_m: float) -> NDArray:
        share = np.clip(distance_m / over_m, 0, 1)
        return share * share * (3 - 2 * share)

    dense = np.clip((opacity - THIN) / (DENSE - THIN), 0, 1)
    return dense * risen(RIM_DENSE_M) + (1 - dense) * risen(RIM_THIN_M)


def hairline_shares(hanging: NDArray) -> NDArray:
    """How much [N] in [0, 1] of the shell's look comes from the hairline's view, at heights above the lower edge of the
    hair."""
    return np.clip((BAND_M[1] - hanging) / (BAND_M[1] - BAND_M[0]), 0, 1)


def bake(
    head: Head, views: list[View], pictures: Path, before: NDArray[np.uint8], parts: set[Part], height: NDArray
) -> NDArray[np.uint8]:
    """The atlas [S, S, 4], straight RGBA, that `before` is once `parts` are baked; `height` as `scalp_heights` gives
    it."""
    size_px = len(before)
    texels = Texels.of(head, size_px)
    part = head.part[texels.face]
    image = before.astype(np.float32)
    for kind in sorted(parts):
        own = texels.only(part == kind)
        chosen = [view for view in views if Part(kind) in view.parts and view.name != HAIRLINE]
        samples = []
        for view in chosen:
            cover = read(pictures, view.covered_by)[..., 3] if view.covered_by else None
            samples.append(sample_view(head, own, view, read(pictures, view.name), cover))
        color, weight = without_highlights(samples) if kind == Part.EYES else averaged(samples)
        known = weight > (LEAST_SHARE * np.percentile(weight, 99) if kind == Part.EYES else 0)
        if kind == Part.LASHES:
            color[:, :3] = np.average(color[:, :3], axis=0, weights=color[:, 3] * weight)
        if kind == Part.HAIR:
            rooted, hanging = own.interpolated(head.faces, height).T
            inside = np.clip((rooted - SOLID_FROM_M) / (SOLID_BY_M - SOLID_FROM_M), 0, 1)
            known &= (color[:, 3] > FAINT) | (inside == 0)
            color[:, 3] = np.maximum(color[:, 3], 255 * inside)
            hairline = next(view for view in views if view.name == HAIRLINE)
            whole = sample_view(head, own, hairline, read(pictures, HAIRLINE))
            share = hairline_shares(hanging) * (whole.weight > 0)
            color += share[:, None] * (whole.color - color)
            known |= share > 0
            color[:, 3] *= np.clip((hanging + EDGE_M) / FADE_M, 0, 1)
        if kind == Part.HAIR_FIN:
            along = in_place(own.interpolated(head.faces, head.uv), "hair_fin")[:, 0]
            color[:, 3] *= np.clip(np.minimum(along, 1 - along) / FIN_END, 0, 1)
        seen = np.zeros((size_px, size_px), bool)
        seen[own.row, own.column] = known
        if kind == Part.HAIR:
            seen &= ~beside(own, samples[0].weight > 0, size_px)
        layer = np.zeros_like(image)
        layer[own.row, own.column] = color
        if kind not in TRANSLUCENT_PARTS:
            layer[..., 3] = 255
        covered = np.zeros_like(seen)
        covered[own.row, own.column] = True
        if Part(kind) in STRAND_BLUR_PX:
            layer[..., 3] = blurred(
                layer[..., 3], covered, *(blur * size_px / SIZE_PX for blur in STRAND_BLUR_PX[Part(kind)])
            )
        layer = filled(layer, seen)
        if kind == Part.HAIR:
            # After the filling, which would carry the opacity of what is inside to the rim.
            share = np.ones((size_px, size_px, 1), np.float32)
            opacity = layer[own.row, own.column, 3] / 255
            share[own.row, own.column, 0] = rim_shares(opacity, rim_distances_m(head, own))
            layer[..., 3] *= filled(share, covered)[..., 0]
        image = np.where(cv2.dilate(covered.astype(np.uint8), np.ones((9, 9), np.uint8))[..., None] > 0, layer, image)
        print(f"{Part(kind).name}: {len(own.row)} texels, {known.mean():.1%} seen", flush=True)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--person", default="default", help="a file of training/people/")
    parser.add_argument("--avatar", type=Path, help="avatar folder; by default avatars/<person>")
    parser.add_argument("--scalp", type=Path, help="written by training.head; by default .data/head/<person>/scalp.npz")
    parser.add_argument("--pictures", type=Path, help="rendered views; by default .data/head/<person>/views")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of the pictures against the full one, for drafts"
    )
    parser.add_argument("--samples", type=int, default=12, help="paths per pixel")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=SIZE_PX, help="width and height of the texture, px")
    parser.add_argument(
        "--parts", nargs="+", choices=[part.name for part in Part if part], help="bake these into the texture there is"
    )
    arguments = parser.parse_args()
    config = RenderConfig(
        arguments.person, arguments.avatar, arguments.scalp, samples=arguments.samples, threads=arguments.threads
    )
    pictures = arguments.pictures or Path(".data/head") / arguments.person / "views"
    head = Head.load(config.avatar / "head.npz")
    target, partial = config.avatar / "texture.png", config.avatar / "texture.partial.png"
    parts = {Part(kind) for kind in np.unique(head.part)}
    before = np.zeros((arguments.size, arguments.size, 4), np.uint8)
    if arguments.parts:
        parts = {Part[name] for name in arguments.parts}
        before = read(config.avatar, "texture")
    views = [view for view in avatar_views(config.avatar, head) if parts & set(view.parts)]
    render_views(views, pictures, config, arguments.scale)
    texture = bake(head, views, pictures, before, parts, scalp_heights(head, config.scalp))
    cv2.imwrite(str(partial), cv2.cvtColor(texture, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    partial.replace(target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
