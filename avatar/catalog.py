"""The avatars that are installed: one folder each, see docs/architecture.md for the files."""

from pathlib import Path

import cv2
import numpy as np

from avatar.config import FRAME_SIZE
from avatar.errors import UnknownAvatarError
from avatar.session_config import AVATAR_NAME

AVATARS_DIR = Path(__file__).resolve().parent.parent / "avatars"


def names(avatars_dir: Path = AVATARS_DIR) -> list[str]:
    return sorted(path.parent.name for path in avatars_dir.glob("*/avatar.toml"))


def folder(name: str, avatars_dir: Path = AVATARS_DIR) -> Path:
    """The folder of avatar `name`.

    Raises:
        UnknownAvatarError: the name is malformed (so it cannot leave `avatars_dir`) or no such avatar is installed.
    """
    path = avatars_dir / name
    if not AVATAR_NAME.fullmatch(name) or not (path / "avatar.toml").is_file():
        raise UnknownAvatarError(
            f"avatar {name!r} is not installed; installed are {', '.join(names(avatars_dir)) or 'none'}"
        )
    return path


def background(path: Path) -> np.ndarray:
    """The plate behind the head of the avatar in `path`: [512, 512, 3] uint8 RGB, mid grey where there is none."""
    file = path / "background.png"
    if not file.is_file():
        return np.full((FRAME_SIZE, FRAME_SIZE, 3), 118, np.uint8)
    plate = cv2.cvtColor(cv2.imread(str(file), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    if plate.shape != (FRAME_SIZE, FRAME_SIZE, 3):
        raise ValueError(f"{file} must be {FRAME_SIZE}x{FRAME_SIZE} RGB, got shape {list(plate.shape)}")
    return plate
