"""Which avatar to path-trace, and how well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RenderConfig:
    """Attributes:
    person: name of a file of `training/people/`.
    avatar_dir: folder with `head.npz` and `avatar.toml`; by default the person's below `avatars/`.
    scalp_file: written by `training.head`; by default the person's below `.data/head/`.
    samples: paths per pixel before denoising.
    threads: CPU threads.
    """

    person: str = "default"
    avatar_dir: Path | None = None
    scalp_file: Path | None = None
    samples: int = 12
    threads: int = 2

    @property
    def avatar(self) -> Path:
        return self.avatar_dir or Path("avatars") / self.person

    @property
    def scalp(self) -> Path:
        return self.scalp_file or Path(".data/head") / self.person / "scalp.npz"
