"""Folders of pairs on the command line, and the avatar of each."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pairs", type=Path, nargs="+", default=[Path("runs/pairs")], help="folders with manifest.jsonl"
    )
    parser.add_argument(
        "--avatar", type=Path, nargs="+", default=[Path("avatars/default")], help="the avatar of each folder"
    )


def sources_of(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Folder of pairs and folder of its avatar.

    Raises:
        SystemExit: there are more of one than of the other.
    """
    if len(options.pairs) != len(options.avatar):
        raise SystemExit(
            f"there must be one --avatar for each --pairs, got {len(options.avatar)} for {len(options.pairs)}"
        )
    return list(zip(options.pairs, options.avatar, strict=True))
