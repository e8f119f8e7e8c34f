"""The models and the avatar that ship, on the real server."""

from pathlib import Path

import numpy as np
import pytest
from avatar_server import ServerConfig, canary, start_server
from avatar_server.checks import check_models

from tests.serving.stream import Stream

PROJECT = Path(__file__).resolve().parent.parent.parent
SECONDS = 2
RATE_HZ = 16_000


def memory_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("Pss:")[1].split()[0]) / 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    config = ServerConfig(
        http_port=0, grpc_port=0, metrics_port=0, stop_timeout_s=3, cache_dir=tmp_path_factory.mktemp("cache")
    )
    with start_server(config) as server:
        yield server


@pytest.mark.slow
def test_everything_that_ships_is_there():
    assert [finding for finding in check_models(ServerConfig()) if not finding.ok] == []


@pytest.mark.slow
def test_a_session(server):
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    # A voice-like buzz that comes and goes four times a second.
    buzz = np.sign(np.sin(2 * np.pi * 120 * time_s)) * np.maximum(0, np.sin(2 * np.pi * 4 * time_s))
    outputs = ("FRAME", "INDEX", "LANDMARKS", "FACE_MESH")
    with Stream(server.grpc_address) as stream:
        stream.send((8000 * buzz).astype(np.int16), start=True, end=True, outputs=outputs)
        stream.wait(1, timeout_s=120)
    assert [response.error for response in stream.responses if response.error] == []
    frames = stream.frames()
    assert [int(frame["INDEX"][0]) for frame in frames] == list(range(SECONDS * 30))
    pictures = [frame["FRAME"] for frame in frames]
    assert {picture.shape for picture in pictures} == {(512, 512, 3)}
    still = [i for i in range(1, len(pictures)) if np.array_equal(pictures[i], pictures[i - 1])]
    assert still == [], "a living face never stands still"
    assert all(np.isfinite(frame[name]).all() for frame in frames for name in ("LANDMARKS", "FACE_MESH"))
    assert canary.probe(server.grpc_address, timeout_s=30).ok


@pytest.mark.slow
def test_memory(server):
    assert sum(map(memory_mib, [server.pid, *(stub.pid for stub in server.stubs)])) < 3000
