"""The pictures that the texture is baked from: each part as the path tracer shows it, in a light that does not move."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.blendshapes import ARKIT, INDEX
from avatar.head import Part
from avatar.rasterizer.camera import Camera
from training.render_config import RenderConfig

DISTANCE_M = 1.2
HEAD = (0.0, 0.015, 0.02)
SOLID = (Part.SKIN, Part.TEETH, Part.TONGUE, Part.MOUTH)
STRANDS = ("hair", "baby_hair", "lashes")
"""What the renderer leaves out where a solid part is pictured."""

HAIRLINE = "hairline"
"""View of the hair and of the skin between its strands."""

BODY = ("skin", "eyes", "teeth", "tongue", "mouth", "brows", "clothes")


@dataclass(frozen=True)
class View:
    """One picture.

    Attributes:
        name: of its file.
        parts: what it is baked into.
        camera: where from.
        size: width and height, px.
        expression: ARKit coefficients that are not 0.
        weight: against other views; views of another expression fill only what no resting view shows.
        hidden, holdout: as `training.scene.render.LookRenderer.render_view` takes them.
        covered_by: a view from the same camera whose opaque pixels are left out, or "".
    """

    name: str
    parts: tuple[Part, ...]
    camera: Camera
    size: tuple[int, int] = (1024, 1024)
    expression: dict[str, float] = field(default_factory=dict)
    weight: float = 1.0
    hidden: tuple[str, ...] = STRANDS
    holdout: tuple[str, ...] = ()
    covered_by: str = ""

    def blendshapes(self) -> NDArray[np.float32]:
        """[52]; a name without its side stands for both."""
        result = np.zeros(len(ARKIT), np.float32)
        for name, value in self.expression.items():
            result[[INDEX[n] for n in ((name,) if name in INDEX else (name + "Left", name + "Right"))]] = value
        return result


def orbit(yaw_deg: float, pitch_deg: float, fov_deg: float, target=HEAD) -> Camera:
    """A camera on a sphere around the target; positive yaw sees the subject's left, positive pitch from above."""
    yaw, pitch = np.deg2rad([yaw_deg, pitch_deg])
    direction = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    return Camera(fov_deg, tuple(np.asarray(target) + DISTANCE_M * direction), tuple(target))


def portrait_views(portrait: Camera, eyes: NDArray, lips: NDArray) -> Iterator[View]:
    """All views of an avatar.

    Args:
        portrait: the avatar's own camera.
        eyes: [3], between the eyes, m.
        lips: [3], middle of the lips, m.
    """
    head_fov_deg = 14.5
    front = Camera(head_fov_deg, portrait.position, (HEAD[0], HEAD[1], portrait.target[2]))
    eye_camera = Camera(2.9, portrait.position, tuple(eyes))
    yield View("front", SOLID, front, weight=3.0)
    yield View("front_shaded", (Part.SKIN,), front, weight=15.0, hidden=("lashes",), covered_by="hair+0+0")
    for yaw_deg in (-28, 28, -62, 62):
        yield View(f"yaw{yaw_deg:+d}", SOLID, orbit(yaw_deg, 0, head_fov_deg), weight=1.0 if abs(yaw_deg) < 45 else 0.4)
    yield View("below", SOLID, orbit(0, -32, head_fov_deg), weight=0.5)
    yield View("clothes", (Part.CLOTHES,), portrait, (1280, 1280), hidden=("lashes",))
    eye_size = (896, 448)
    yield View("blink", (Part.SKIN,), Camera(2.9, portrait.position, tuple(eyes)), eye_size, {"eyeBlink": 1.0}, 1.5)
    yield View("eyes", (Part.EYES,), eye_camera, eye_size, {}, 1.0)
    for name, expression in {
        "up": {"eyeLookUp": 0.8, "eyeWide": 0.6},
        "down": {"eyeLookDown": 0.8, "eyeWide": 0.6},
        "left": {"eyeLookOutLeft": 0.9, "eyeLookInRight": 0.9, "eyeWide": 0.6},
        "right": {"eyeLookInLeft": 0.9, "eyeLookOutRight": 0.9, "eyeWide": 0.6},
    }.items():
        yield View(f"eyes_{name}", (Part.EYES,), eye_camera, eye_size, expression, 0.7)
    inside = (Part.TEETH, Part.TONGUE, Part.MOUTH, Part.SKIN)
    low = (lips[0], lips[1] - 0.008, lips[2])
    mouth_size = (768, 576)
    for name, expression in {
        "smile": {"mouthUpperUp": 0.8, "mouthLowerDown": 0.8, "jawOpen": 0.06},
        "ah": {"jawOpen": 0.6, "mouthUpperUp": 0.4, "mouthLowerDown": 0.4},
        "ee": {"jawOpen": 0.22, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5, "mouthStretch": 0.5},
    }.items():
        yield View(f"mouth_{name}", inside, Camera(3.1, portrait.position, low), mouth_size, expression, 1e-3)
    yield View(
        "tongue", (Part.TONGUE,), orbit(0, 25, 3.6, low), mouth_size, {"jawOpen": 0.9, "mouthLowerDown": 0.5}, 1e-4
    )
    for yaw_deg, pitch_deg in ((0, 0), (-38, 5), (38, 5), (-80, 5), (80, 5), (0, 50)):
        camera = front if yaw_deg == pitch_deg == 0 else orbit(yaw_deg, pitch_deg, head_fov_deg)
        yield View(f"hair{yaw_deg:+d}{pitch_deg:+d}", (Part.HAIR,), camera, weight=8.0 if camera is front else 1e-5,
                   hidden=("lashes",), holdout=BODY)  # fmt: skip
    yield View("hair_fin", (Part.HAIR_FIN,), portrait, (1280, 1280), hidden=("lashes",), holdout=BODY)
    yield View(HAIRLINE, (Part.HAIR,), front, hidden=("lashes",))
    for name, expression in {"lashes": {}, "lashes_closed": {"eyeBlink": 1.0}}.items():
        yield View(name, (Part.LASHES,), eye_camera, eye_size, expression, 1.0 if not expression else 0.05,
                   hidden=("hair", "baby_hair", "scalp"), holdout=BODY)  # fmt: skip


def render_views(views: list[View], folder: Path, config: RenderConfig, scale: float) -> None:
    """Path-trace the views that `folder` does not hold yet, in one process."""
    from training.scene.render import LookRenderer
    from training.scene.studio import Camera as StudioCamera

    missing = [view for view in views if not (folder / f"{view.name}.png").exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    renderer = LookRenderer(config)
    for view in missing:
        camera = StudioCamera(view.camera.fov_deg, tuple(view.camera.position), tuple(view.camera.target))
        width, height = (round(scale * length) for length in view.size)
        picture = renderer.render_view(
            view.blendshapes(), np.zeros(6), width, height, camera=camera, hidden=view.hidden, holdout=view.holdout
        )
        cv2.imwrite(str(folder / f"{view.name}.png"), cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA))
        print(f"rendered {view.name}", flush=True)
