"""Servers that tests share."""

import os
import re
import shutil
import time
import urllib.request
from pathlib import Path
from unittest.mock import patch

import pytest

PROJECT = Path(__file__).resolve().parent.parent
TOY = Path(__file__).resolve().parent / "serving" / "toy"


@pytest.fixture(scope="session")
def toy_files(tmp_path_factory):
    """Folders of a server with toy networks: `models`, `backends`, `avatars`."""
    from tests.serving.toy import networks

    root = tmp_path_factory.mktemp("toy")
    for config in (PROJECT / "model_repository").glob("*/config.pbtxt"):
        target = root / "models" / config.parent.name
        (target / "1").mkdir(parents=True)
        shutil.copy(config, target)
    networks.write_all(root / "models")
    for backend in ("onnxruntime", "avatar"):
        shutil.copytree(
            PROJECT / "backends" / backend, root / "backends" / backend, ignore=shutil.ignore_patterns("__pycache__")
        )
    for backend in ("rasterizer", "stabilizer"):
        shutil.copytree(
            TOY / "backends" / backend, root / "backends" / backend, ignore=shutil.ignore_patterns("__pycache__")
        )
    (root / "avatars" / "default").mkdir(parents=True)
    (root / "avatars" / "default" / "avatar.toml").write_text('name = "default"\n')
    return root


@pytest.fixture(scope="session")
def toy_config(toy_files):
    """A server of toy networks on free ports: three sessions at most, closed after 2 s of silence."""
    from avatar_server import ServerConfig

    return ServerConfig(
        model_repository=toy_files / "models",
        backends_dir=toy_files / "backends",
        avatars_dir=toy_files / "avatars",
        cache_dir=toy_files / "cache",
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        max_sessions=3,
        session_idle_s=2.0,
        admin_key="the key of the tests",
        stop_timeout_s=3.0,
    )


@pytest.fixture(scope="session")
def toy_server(toy_config):
    from avatar_server import processes, start_server

    # Pictures in mappings of their own, which go back when they are freed: what is left is what was lost, not what the
    # allocator keeps of the peak that clients who are gone have caused.
    with patch.dict(os.environ, MALLOC_MMAP_THRESHOLD_=str(512 << 10), MALLOC_TRIM_THRESHOLD_=str(1 << 20)):
        server = start_server(toy_config)
    with server:
        regions = processes.shm_regions(server.pid)
        yield server
        assert server.failure is None, "the server must outlive the tests"
    left = [name for name in regions if (processes.SHM / name).exists()]
    assert not left, "a stopped server must leave no shared memory"


@pytest.fixture
def metrics(toy_server):
    """A function that reads a metric of the toy server: by its name, summed over its labels, or by name and labels."""

    def read(name: str) -> float:
        # The server reports what happened within 0.1 s, and a busy machine takes its time.
        time.sleep(0.4)
        with urllib.request.urlopen(f"http://{toy_server.metrics_address}/metrics", timeout=10) as response:
            text = response.read().decode()
        labels = "" if name.endswith("}") else r"(?:\{.*\})?"
        return sum(map(float, re.findall(rf"^{re.escape(name)}{labels} (\S+)$", text, re.MULTILINE)))

    return read
