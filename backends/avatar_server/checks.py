"""What is known to keep the server from running, checked beforehand. A finding says what is wrong and what helps."""

import platform
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from avatar_server import repository
from avatar_server.config import ServerConfig
from avatar_server.errors import EnvironmentFault
from avatar_server.interpreter import Interpreter, probe

PYTHON_VERSIONS = ((3, 10), (3, 11), (3, 12))
"""Versions with both a stub in the wheel and a numpy below 2."""

MINIMUM_GLIBC = (2, 35)
"""The wheel is built for it (manylinux_2_35)."""

SHM = Path("/dev/shm")
_LFS_HEADER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Finding:
    """Attributes:
    name: what was checked.
    ok: whether it is as it must be.
    detail: what was found; if not ok, the rule, what was got and what to do.
    """

    name: str
    ok: bool
    detail: str


def check_all(config: ServerConfig) -> list[Finding]:
    """Every check, in the order in which the faults would strike."""
    findings = [check_platform(platform.system(), platform.machine()), check_glibc(platform.libc_ver())]
    try:
        interpreter = probe(config.python)
    except EnvironmentFault as error:
        findings.append(Finding("python", False, str(error)))
    else:
        findings += [
            check_python(interpreter),
            check_pytriton(interpreter),
            check_libpython(interpreter),
            check_numpy(interpreter.packages["numpy"]),
            check_engine(interpreter),
        ]
        if interpreter.pytriton_dir and interpreter.library_dir:
            findings.append(check_stub_links(interpreter))
    findings += check_models(config)
    findings += [check_port(name, *where) for name, where in _ports(config).items()]
    return findings


def require(findings: list[Finding]) -> None:
    """Raises:
    EnvironmentFault: with the message of every finding that is not ok.
    """
    faults = [finding.detail for finding in findings if not finding.ok]
    if faults:
        raise EnvironmentFault("\n".join(faults))


def check_platform(system: str, machine: str) -> Finding:
    ok = (system, machine) == ("Linux", "x86_64")
    detail = f"{system} {machine}"
    return Finding(
        "platform",
        ok,
        detail if ok else f"the wheel's server runs on Linux x86_64, got {detail}; use the container image",
    )


def check_glibc(libc: tuple[str, str]) -> Finding:
    name, version = libc
    needed = "{}.{}".format(*MINIMUM_GLIBC)
    ok = name == "glibc" and tuple(map(int, version.split(".")[:2])) >= MINIMUM_GLIBC
    got = f"{name or 'another C library'} {version}".strip()
    return Finding(
        "glibc",
        ok,
        got if ok else f"the server needs glibc {needed} or newer, got {got}; use Debian 12, Ubuntu 22.04 or newer",
    )


def check_python(interpreter: Interpreter) -> Finding:
    ok = interpreter.version in PYTHON_VERSIONS
    known = ", ".join("{}.{}".format(*version) for version in PYTHON_VERSIONS)
    detail = f"{interpreter.version_text} at {interpreter.python}"
    return Finding(
        "python",
        ok,
        detail
        if ok
        else f"the server's environment must be Python {known}, got {detail}; run `make demo` with PYTHON=python3.11",
    )


def check_pytriton(interpreter: Interpreter) -> Finding:
    version = interpreter.packages["nvidia-pytriton"]
    if interpreter.pytriton_dir is None or not (interpreter.triton_dir / "bin" / "tritonserver").is_file():
        return Finding(
            "nvidia-pytriton",
            False,
            f"the server's environment must hold nvidia-pytriton, which carries tritonserver, got none at "
            f"{interpreter.python}; "
            "run `pip install nvidia-pytriton==0.7.0`",
        )
    if interpreter.version in PYTHON_VERSIONS and not interpreter.stub.is_file():
        return Finding(
            "nvidia-pytriton",
            False,
            f"nvidia-pytriton must bring a stub for Python {interpreter.version_text}, got none in {version}",
        )
    return Finding("nvidia-pytriton", True, version or "unknown version")


def check_libpython(interpreter: Interpreter) -> Finding:
    if interpreter.library_dir is not None:
        return Finding("libpython", True, str(interpreter.library_dir / interpreter.library))
    return Finding(
        "libpython",
        False,
        f"the models' processes need the shared library {interpreter.library}, got a Python without it; on Debian run "
        f"`apt-get install libpython{interpreter.version_text}`, with pyenv build with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared",
    )


def check_numpy(version: str | None) -> Finding:
    if version and int(version.split(".")[0]) < 2:
        return Finding("numpy", True, version)
    return Finding(
        "numpy",
        False,
        f"the server's environment must hold numpy below 2, got {version or 'none'}: with numpy 2 every model "
        "answers with empty "
        "tensors; run `pip install 'numpy<2'`",
    )


def check_engine(interpreter: Interpreter) -> Finding:
    engines = [
        f"{name} {interpreter.packages[name]}" for name in ("openvino", "onnxruntime") if interpreter.packages[name]
    ]
    if engines:
        return Finding("engines", True, ", ".join(engines))
    return Finding(
        "engines",
        False,
        "the server's environment must hold openvino or onnxruntime, got neither; run `pip install openvino`",
    )


def check_stub_links(interpreter: Interpreter) -> Finding:
    """A stub that lacks a library makes the server wait without a word."""
    folders = f"{interpreter.library_dir}:{interpreter.bundled_libraries}"
    ldd = shutil.which("ldd")
    if ldd is None:
        return Finding("stub libraries", True, "not checked: no ldd here")
    lines = subprocess.run(
        [ldd, interpreter.stub], capture_output=True, text=True, env={"LD_LIBRARY_PATH": folders}
    ).stdout.splitlines()
    missing = [line.split()[0] for line in lines if "not found" in line]
    if not missing:
        return Finding("stub libraries", True, "all found")
    return Finding(
        "stub libraries",
        False,
        f"the models' processes need {', '.join(missing)}, which no folder of {folders} holds; reinstall "
        "nvidia-pytriton",
    )


def check_models(config: ServerConfig) -> list[Finding]:
    """The repository, its weights, and the shared memory that its processes take."""
    try:
        models = repository.read(config.model_repository, config.models)
    except EnvironmentFault as error:
        return [Finding("models", False, str(error))]
    findings = [Finding("models", True, ", ".join(model.name for model in models))]
    findings += [check_weights(model.name, model.weights) for model in models if model.weights]
    processes = sum(model.processes for model in models)
    return [*findings, check_shm(processes * config.shm_bytes, shutil.disk_usage(SHM).free if SHM.is_dir() else 0)]


def check_weights(model: str, weights: Path) -> Finding:
    name = f"weights of {model}"
    if not weights.is_file():
        return Finding(
            name,
            False,
            f"{model} must find its weights at {weights}, got no such file; check out the whole repository or export "
            "them",
        )
    with weights.open("rb") as file:
        if file.read(len(_LFS_HEADER)) == _LFS_HEADER:
            return Finding(name, False, f"{weights} must be a network, got a Git LFS pointer; run `git lfs pull`")
    return Finding(name, True, f"{weights.stat().st_size / 1e6:.1f} MB")


def check_shm(needed_bytes: int, free_bytes: int) -> Finding:
    needed, free = needed_bytes / 2**20, free_bytes / 2**20
    if free_bytes >= needed_bytes:
        return Finding("/dev/shm", True, f"{free:.0f} MiB free, {needed:.0f} MiB needed")
    return Finding(
        "/dev/shm",
        False,
        f"/dev/shm must have {needed:.0f} MiB free for the models' processes, got {free:.0f} MiB; with Docker add "
        "--shm-size=1g, in "
        "Kubernetes mount an emptyDir of medium Memory there, or pass a smaller --shm-mb",
    )


def check_port(name: str, address: str, port: int) -> Finding:
    if port == 0:
        return Finding(f"{name} port", True, "any free one")
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe_socket:
        # As the server does: a port whose last connections still linger is free.
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind((address, port))
        except OSError as error:
            return Finding(
                f"{name} port",
                False,
                f"the {name} port must be free, got {address}:{port}: {error.strerror}; stop what listens there or "
                "pass another "
                f"--{name}-port (0 takes any free one)",
            )
    return Finding(f"{name} port", True, f"{address}:{port}")


def _ports(config: ServerConfig) -> dict[str, tuple[str, int]]:
    """Address and port of each protocol."""
    return {
        "http": (config.plain_address, config.http_port),
        "grpc": (config.address, config.grpc_port),
        "metrics": (config.plain_address, config.metrics_port),
    }
