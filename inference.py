"""A speech file to a talking-head video in one line: `python inference.py --audio in.wav --output out.mp4`.

The same as `avatar render in.wav -o out.mp4`, whose further options it also takes, from an uninstalled source tree.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
NEEDED = ("numpy", "av", "tqdm", "tritonclient", "grpc", "pytriton")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Further options: see `avatar render --help`."
    )
    parser.add_argument("--audio", required=True, metavar="IN", help="WAV, FLAC, MP3, OGG, ...; any rate and channels")
    parser.add_argument("--output", default="out.mp4", metavar="OUT", help="video to write (default out.mp4)")
    arguments, further = parser.parse_known_args()
    _use_an_interpreter_that_has_the_packages()
    sys.path[:0] = [str(PROJECT / "client"), str(PROJECT / "backends"), str(PROJECT)]
    from avatar_client.cli import main as avatar

    return avatar(["render", *further, "--output", arguments.output, "--", arguments.audio])


def _use_an_interpreter_that_has_the_packages() -> None:
    """Starts this script again with the project's own environment where this interpreter lacks a package."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        return
    environment = PROJECT / ".venv"
    python = environment / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != environment.resolve():
        os.execv(python, [str(python), *sys.argv])
    sys.exit(
        f"inference.py: {sys.executable} lacks {', '.join(missing)}; run `make demo` once, which sets up {environment}"
    )


if __name__ == "__main__":
    sys.exit(main())
