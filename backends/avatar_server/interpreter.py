"""What the models' processes will find: facts about the Python environment they run in.

Triton starts a *stub* for each model: a C++ program that embeds Python. Since 3.11 it does so in isolated mode, so
`PYTHONPATH` means nothing to it; it takes the environment of the first `python3` on PATH. An isolated run of the same
interpreter therefore sees what the stub will see.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from avatar_server.errors import EnvironmentFault

_PROBE = """
import importlib.metadata, importlib.util, json, os, sys, sysconfig
def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
def folder(module):
    spec = importlib.util.find_spec(module)
    return os.path.dirname(spec.origin) if spec and spec.origin else None
packages = ("nvidia-pytriton", "numpy", "openvino", "onnxruntime", "numba", "soxr", "av")
print(json.dumps({
    "version": list(sys.version_info[:2]),
    "library": sysconfig.get_config_var("INSTSONAME") or "",
    "library_dirs": [d for d in (sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib")) if d],
    "pytriton_dir": folder("pytriton"),
    "packages": {name: version(name) for name in packages},
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Attributes:
    python: the executable; its folder goes first on the server's PATH.
    version: (major, minor).
    library: file name of the shared libpython, `libpython3.11.so.1.0`.
    library_dir: folder that holds it, None if there is none.
    pytriton_dir: folder of the `pytriton` package, None if it is not installed.
    packages: version of each package that serving uses, None where it is missing.
    """

    python: Path
    version: tuple[int, int]
    library: str
    library_dir: Path | None
    pytriton_dir: Path | None
    packages: dict[str, str | None]

    @property
    def triton_dir(self) -> Path:
        return self.pytriton_dir / "tritonserver"

    @property
    def bundled_libraries(self) -> Path:
        """Libraries that the wheel brings for server and stub."""
        return self.pytriton_dir.parent / "nvidia_pytriton.libs"

    @property
    def stub(self) -> Path:
        return self.triton_dir / "python_backend_stubs" / self.version_text / "triton_python_backend_stub"

    @property
    def version_text(self) -> str:
        return "{}.{}".format(*self.version)


def probe(python: Path) -> Interpreter:
    """Asks the interpreter at `python`.

    Raises:
        EnvironmentFault: it does not run.
    """
    try:
        run = subprocess.run([python, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=60, check=True)
        facts = json.loads(run.stdout)
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        detail = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        raise EnvironmentFault(f"the server's interpreter must run, got from {python}: {' '.join(detail)}") from error
    version = tuple(facts["version"])
    # A static build reports an archive, libpython3.11.a; a shared library may still lie beside it.
    library = facts["library"] if ".so" in facts["library"] else "libpython{}.{}.so.1.0".format(*version)
    return Interpreter(
        python=python,
        version=version,
        library=library,
        library_dir=_find(library, map(Path, facts["library_dirs"])),
        pytriton_dir=Path(facts["pytriton_dir"]) if facts["pytriton_dir"] else None,
        packages=facts["packages"],
    )


def _find(library: str, own_dirs) -> Path | None:
    """The interpreter's own folder first: another build of the same version would not find this one's packages."""
    system_dirs = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"), Path("/usr/local/lib"), Path("/usr/lib"))
    return next((folder for folder in (*own_dirs, *system_dirs) if (folder / library).exists()), None)
