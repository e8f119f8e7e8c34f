"""`python -m training.head --out avatars/default`: builds `head.npz`."""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from training.head.build import head_arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("avatars/default"), help="avatar folder")
    parser.add_argument("--scalp", type=Path, default=Path(".data/head/scalp.npz"), help="where strands may grow")
    arguments = parser.parse_args()
    folder = arguments.out
    arrays, scalp = head_arrays()
    for path in (folder / "head.npz", arguments.scalp):
        path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "head.npz", **arrays)
    np.savez_compressed(arguments.scalp, **asdict(scalp))
    size_mb = (folder / "head.npz").stat().st_size / 1e6
    print(
        f"{folder / 'head.npz'}: {len(arrays['template'])} vertices, {len(arrays['faces'])} triangles, {size_mb:.1f} MB"
    )


if __name__ == "__main__":
    main()
