"""`python -m training.head --person default`: builds an avatar's `head.npz` and writes its `avatar.toml`."""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from training.head.build import head_arrays
from training.head.manifest import avatar_toml
from training.person import Person


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--person", default="default", help="a file of training/people/")
    parser.add_argument("--out", type=Path, help="avatar folder; by default avatars/<person>")
    parser.add_argument("--scalp", type=Path, help="where strands may grow; by default .data/head/<person>/scalp.npz")
    arguments = parser.parse_args()
    person = Person.load(arguments.person)
    folder = arguments.out or Path("avatars") / person.name
    scalp_file = arguments.scalp or Path(".data/head") / person.name / "scalp.npz"
    arrays, scalp = head_arrays(person)
    for path in (folder / "head.npz", scalp_file):
        path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "avatar.toml").write_text(avatar_toml(person))
    np.savez_compressed(folder / "head.npz", **arrays)
    np.savez_compressed(scalp_file, **asdict(scalp))
    size_mb = (folder / "head.npz").stat().st_size / 1e6
    print(
        f"{folder / 'head.npz'}: {len(arrays['template'])} vertices, {len(arrays['faces'])} triangles, {size_mb:.1f} MB"
    )


if __name__ == "__main__":
    main()
