"""Where a command finds its server: the one it was told, or one of its own for as long as it runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from avatar_client.errors import ServerUnavailable

DEFAULT_METRICS_PORT = 8002


class ServerPackageMissing(ServerUnavailable):
    """The package that runs a server is not installed beside this client."""

    def __init__(self, reason: Exception):
        super().__init__(
            f"no server was named and none can be started here ({reason}); name one with --server HOST:PORT, or "
            "install the server from the source tree with `pip install -e .` (Linux x86-64, Python 3.10 to 3.12)"
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Attributes:
    address: `host:port` of gRPC.
    metrics_url: the Prometheus page.
    """

    address: str
    metrics_url: str


@contextmanager
def server(address: str | None, metrics_url: str | None = None, *, quiet: bool = False) -> Iterator[Endpoint]:
    """The server at `address`, or without one a server that is started on free ports and stopped again.

    Raises:
        ServerPackageMissing: a server is to be started and its package is missing.
        avatar_server.LaunchError: it did not start.
    """
    if address is not None:
        host = address.rpartition(":")[0]
        yield Endpoint(address, metrics_url or f"http://{host}:{DEFAULT_METRICS_PORT}/metrics")
        return
    try:
        from avatar_server import ServerConfig, start_server
    except ImportError as error:
        raise ServerPackageMissing(error) from error
    config = ServerConfig(grpc_port=0, http_port=0, metrics_port=0, stop_timeout_s=3.0)
    with _LoadingBar(quiet) as bar, start_server(config, progress=bar.show) as running:
        bar.close()
        yield Endpoint(running.grpc_address, metrics_url or f"http://{running.metrics_address}/metrics")


class _LoadingBar:
    """Models loaded so far."""

    def __init__(self, quiet: bool):
        self._bar = tqdm(total=None, desc="starting server", unit="model", file=sys.stderr, disable=quiet, leave=False)

    def show(self, progress) -> None:
        self._bar.total = progress.total
        self._bar.n = len(progress.loaded)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()

    def __enter__(self) -> "_LoadingBar":
        return self

    def __exit__(self, *_) -> None:
        self.close()
