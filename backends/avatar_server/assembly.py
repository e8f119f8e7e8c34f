"""The backend folder that Triton is pointed at: the wheel's Python backend and ours side by side.

`--backend-directory` replaces the default, a symbolic link to the backend library is refused for Python-based
backends, and the wheel keeps its stubs elsewhere; so a folder is put together. It is named by its content and never
changed, because a running server has its files mapped.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from avatar_server.interpreter import Interpreter

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def assemble(interpreter: Interpreter, backends_dir: Path, packages: tuple[Path, ...], cache_dir: Path) -> Path:
    """Makes the folder, or finds it where an earlier run made it.

    Args:
        interpreter: its wheel gives the backend library and the stub.
        backends_dir: each folder in it that has a `model.py` is a Python-based backend.
        packages: folders of packages that the models import and that need not be installed in the environment.
        cache_dir: the folder is made in here.
    """
    wheel = [
        interpreter.triton_dir / "backends" / "python" / "libtriton_python.so",
        interpreter.triton_dir / "backends" / "python" / "triton_python_backend_utils.py",
        interpreter.stub,
    ]
    backends = sorted(path.parent for path in backends_dir.glob("*/model.py"))
    target = cache_dir / f"backends-{_digest(wheel, backends, packages)}"
    if target.is_dir():
        return target
    cache_dir.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="backends-draft-", dir=cache_dir))
    python = draft / "python"
    python.mkdir()
    for file in wheel:
        _link_or_copy(file, python / file.name)
    # The server runs in this folder, so the models import the very packages that the launcher runs with.
    for package in packages:
        (python / package.name).symlink_to(package)
    for backend in backends:
        shutil.copytree(backend, draft / backend.name, ignore=_IGNORED)
    draft.chmod(0o755)
    try:
        draft.rename(target)
    except OSError:
        # Another launcher was faster; its content is the same.
        shutil.rmtree(draft)
    return target


def _digest(wheel: list[Path], backends: list[Path], packages: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in wheel:
        digest.update(f"{file}:{file.stat().st_size}:{file.stat().st_mtime_ns}\n".encode())
    for package in packages:
        digest.update(f"{package}\n".encode())
    for backend in backends:
        for file in sorted(backend.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{backend.name}/{file.relative_to(backend)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
