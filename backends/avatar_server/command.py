"""How tritonserver is called: its arguments, its environment, its ports."""

import contextlib
import os
import secrets
import socket
from dataclasses import replace
from pathlib import Path

from avatar_server.config import ServerConfig
from avatar_server.interpreter import Interpreter

ADMINISTRATION = ("shared-memory", "model-config", "model-repository", "statistics", "trace", "logging")
"""Triton's names of the protocols that are closed."""

ADMIN_KEY_NAME = "admin-key"
"""Of the header: `triton-grpc-protocol-admin-key` on gRPC, `admin-key` on HTTP."""

SHM_GROWTH_BYTES = 16 << 20
"""Step by which a model's shared memory grows once it is too small."""

THREADS_PER_MODEL = 16
"""Of the server, for what a model's process asks of it. The default of 32 for each of eight processes are 256 threads,
which take turns, and every one keeps its own stack and its own free memory."""


def arguments(config: ServerConfig, interpreter: Interpreter, backends: Path) -> list[str]:
    selection = (
        ["--model-control-mode=explicit", *(f"--load-model={name}" for name in config.models)] if config.models else []
    )
    return [
        str(interpreter.triton_dir / "bin" / "tritonserver"),
        f"--model-repository={config.model_repository.resolve()}",
        f"--backend-directory={backends}",
        "--disable-auto-complete-config",
        *selection,
        f"--http-address={config.plain_address}",
        f"--http-port={config.http_port}",
        f"--grpc-address={config.grpc_address or config.address}",
        f"--grpc-port={config.grpc_port}",
        # What is kept for reuse keeps the pictures of its last stream: tens of megabytes after clients that did
        # not read.
        "--grpc-infer-allocation-pool-size=0",
        f"--metrics-address={config.plain_address}",
        f"--metrics-port={config.metrics_port}",
        f"--exit-timeout-secs={max(1, round(config.stop_timeout_s))}",
        f"--backend-config=python,shm-default-byte-size={config.shm_bytes}",
        f"--backend-config=python,shm-growth-byte-size={SHM_GROWTH_BYTES}",
        f"--backend-config=python,thread-pool-size={THREADS_PER_MODEL}",
        f"--backend-config=python,stub-timeout-seconds={max(30, round(config.start_timeout_s))}",
        *_restrictions(config),
        *(config.tls.triton_arguments() if config.tls else ()),
        *config.arguments,
    ]


def _restrictions(config: ServerConfig) -> list[str]:
    """Closes what only an administrator may do. Without a key given, nobody knows the one that is needed."""
    key = config.admin_key or secrets.token_urlsafe(24)
    closed = ",".join((*ADMINISTRATION, *(("inference",) if config.restrict_inference else ())))
    return [
        f"--grpc-restricted-protocol={closed}:{ADMIN_KEY_NAME}={key}",
        f"--http-restricted-api={closed}:{ADMIN_KEY_NAME}={key}",
    ]


def environment(config: ServerConfig, interpreter: Interpreter) -> dict[str, str]:
    variables = dict(os.environ)
    for name in ("PYTHONPATH", "PYTHONHOME"):
        variables.pop(name, None)
    # The rasterizer's small matrix products gain nothing from BLAS threads, which spin on cores that other stages need:
    # 36 ms of CPU a frame instead of 17.
    variables.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Many threads hand pictures to each other: with an arena for each of them glibc keeps twice the memory.
    variables.setdefault("MALLOC_ARENA_MAX", "2")
    # Pictures of a megabyte come and go with every frame: pages that are given back have to be cleared again. What a
    # burst needed is given back.
    variables.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
    variables.setdefault("MALLOC_TRIM_THRESHOLD_", str(16 << 20))
    # The stub takes the environment of the first python3 on PATH.
    variables["PATH"] = os.pathsep.join((str(interpreter.python.parent), os.environ.get("PATH", "/usr/bin:/bin")))
    libraries = (
        str(interpreter.library_dir),
        str(interpreter.bundled_libraries),
        os.environ.get("LD_LIBRARY_PATH", ""),
    )
    variables["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    variables["PYTHONNOUSERSITE"] = "1"
    variables["AVATAR_AVATARS_DIR"] = str(config.avatars_dir.resolve())
    variables["AVATAR_CACHE_DIR"] = str(config.cache_dir.resolve())
    for name in ("max_sessions", "session_idle_s", "max_chunk_s", "max_session_s", "precision"):
        if (value := getattr(config, name)) is not None:
            variables[f"AVATAR_{name.upper()}"] = str(value)
    return variables


def with_free_ports(config: ServerConfig) -> ServerConfig:
    """`config` with a free port wherever it asks for any."""
    names = [name for name in ("http_port", "grpc_port", "metrics_port") if getattr(config, name) == 0]
    # All are held open together, so that they differ.
    with contextlib.ExitStack() as stack:
        taken = {}
        for name in names:
            address = config.address if name == "grpc_port" else config.plain_address
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            held = stack.enter_context(socket.socket(family))
            held.bind((address, 0))
            taken[name] = held.getsockname()[1]
    return replace(config, **taken)
