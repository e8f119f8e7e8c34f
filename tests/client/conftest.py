"""The real Triton with a model that has the `avatar` contract, and sound files to send it."""

from pathlib import Path

import numpy as np
import pytest
from avatar_client import AvatarClient

TOY_REPOSITORY = Path(__file__).parent / "toy_repository"
ADMIN_KEY = "the key of the tests"


def start_toy():
    """A new server with the toy model on free ports."""
    pytest.importorskip("pytriton", reason="the embedded Triton needs Python 3.10 to 3.12 on Linux")
    server = pytest.importorskip("avatar_server")
    return server.start_server(
        server.ServerConfig(
            model_repository=TOY_REPOSITORY, grpc_port=0, http_port=0, metrics_port=0,
            shm_bytes=16 << 20, stop_timeout_s=1.0, admin_key=ADMIN_KEY,
        )
    )  # fmt: skip


@pytest.fixture(scope="session")
def toy():
    with start_toy() as running:
        yield running


@pytest.fixture
def client(toy):
    with AvatarClient(toy.grpc_address) as connected:
        yield connected


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Three seconds at 16 kHz whose samples are all different from silence."""
    return np.random.default_rng(7).integers(-9000, 9000, 3 * 16_000).astype(np.int16)
