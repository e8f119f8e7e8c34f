"""`python -m training.head --out avatars/default`: builds `head.npz`."""

import argparse
from pathlib import Path

import numpy as np

from training.head.build import head_arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("avatars/default"), help="avatar folder")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    arrays = head_arrays()
    np.savez_compressed(folder / "head.npz", **arrays)
    size_mb = (folder / "head.npz").stat().st_size / 1e6
    print(f"{folder / 'head.npz'}: {len(arrays['template'])} vertices, {len(arrays['faces'])} triangles, {size_mb:.1f} MB")


if __name__ == "__main__":
    main()
