"""What to serve, where, and within which limits."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from avatar.engine import PRECISIONS
from avatar_server.tls import Tls

PROJECT = Path(__file__).resolve().parent.parent.parent
"""Root of the source tree: holds `model_repository/`, `backends/` and `avatars/`."""

DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatar"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Attributes:
    model_repository: folder of model folders.
    backends_dir: folder of Python-based backends, one folder each with a `model.py`.
    avatars_dir: folder of the avatars that may be asked for.
    address: where gRPC listens; the loopback unless the network is meant.
    plain_address: where HTTP (health, metadata) and metrics listen, which have no TLS.
    http_port, grpc_port, metrics_port: 0 takes a free port.
    models: names of the models to serve, all of the repository if empty.
    max_sessions, session_idle_s: admission limit and idle limit of the `avatar` model; None keeps its configuration's.
    precision: what networks compute in, `f32`, `bf16` or `int8`; None keeps each model's configuration, which takes
        the fastest that the CPU has.
    shm_bytes: shared memory of each model's process. Too small is safe but slow: it grows under load and never shrinks.
    start_timeout_s: time for all models to load.
    stop_timeout_s: time that running requests are given when the server stops.
    python: interpreter of the environment that holds nvidia-pytriton and the models' packages.
    cache_dir: where the backend folder is assembled and engines keep their compiled models.
    grpc_address: where Triton itself listens for gRPC, `address` if None; the loopback behind a gateway.
    admin_key: opens the administration of models, shared memory, statistics, traces and logs to who sends it as
        `triton-grpc-protocol-admin-key` (HTTP: `admin-key`); None closes them to everyone.
    restrict_inference: also inference needs the key: behind a gateway.
    max_chunk_s, max_session_s: limits of the `avatar` model on one request and one session.
    tls: certificates of Triton's gRPC; None for plain text.
    arguments: further arguments for `tritonserver`.
    """

    model_repository: Path = PROJECT / "model_repository"
    backends_dir: Path = PROJECT / "backends"
    avatars_dir: Path = PROJECT / "avatars"
    address: str = "127.0.0.1"
    plain_address: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    models: tuple[str, ...] = ()
    max_sessions: int | None = None
    session_idle_s: float | None = None
    precision: str | None = None
    shm_bytes: int = 64 << 20
    start_timeout_s: float = 180.0
    stop_timeout_s: float = 10.0
    python: Path = field(default_factory=lambda: Path(sys.executable))
    cache_dir: Path = DEFAULT_CACHE
    grpc_address: str | None = None
    admin_key: str | None = None
    restrict_inference: bool = False
    max_chunk_s: float | None = None
    max_session_s: float | None = None
    tls: Tls | None = None
    arguments: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("http_port", "grpc_port", "metrics_port"):
            if not 0 <= getattr(self, name) < 65536:
                raise ValueError(f"{name} must be 0 (any free port) to 65535, got {getattr(self, name)}")
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}; leave it out for the "
                "CPU's own"
            )
        for name in ("shm_bytes", "start_timeout_s", "stop_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
