"""A server that dies or hangs is started again; one that stops lets running sessions end."""

import contextlib
import os
import signal
import threading
import time

import grpc
import numpy as np
import pytest
from avatar_server import canary, processes
from avatar_server.config import ServerConfig
from avatar_server.gateway import GatewayConfig
from avatar_server.logs import Log
from avatar_server.supervisor import Policy, supervise

from tests.serving.stream import Stream
from tests.serving.test_lifecycle import SECOND, wait_for

KEY = "the key between gateway and server"


class Running:
    """A supervised toy server in a thread of this process."""

    def __init__(self, config: ServerConfig, policy: Policy):
        import dataclasses
        import socket

        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        config = dataclasses.replace(config, admin_key=KEY, restrict_inference=True)
        gateway = GatewayConfig(address=self.address, upstream="", upstream_key=KEY)
        self.log = Log()
        self.stop, self.stop_now = threading.Event(), threading.Event()
        self.error: Exception | None = None

        def run():
            try:
                supervise(config, gateway, policy, self.log, self.stop, self.stop_now)
            except Exception as error:  # noqa: BLE001 - looked at by the test
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def said(self, words: str) -> int:
        return sum(words in record.message for record in self.log.records)

    def triton(self) -> int:
        own = [pid for pid in processes.children(os.getpid()) if processes.command(pid)[0].endswith("/tritonserver")]
        return max(own)


@contextlib.contextmanager
def supervised(config, **policy):
    running = Running(config, Policy(**{"restarts": 2, "drain_s": 20.0, "canary_s": 2.0} | policy))
    try:
        wait_for(lambda: running.said("serving gRPC") == 1 or not running.thread.is_alive(), timeout_s=90)
        yield running
    finally:
        running.stop.set()
        running.stop_now.set()
        running.thread.join(timeout=60)
    assert running.error is None


def regions_of(running) -> set[str]:
    return processes.shm_regions(running.triton())


@pytest.mark.slow
def test_running_sessions_end_in_peace_and_new_ones_are_refused(toy_config):
    with supervised(toy_config) as running:
        regions = regions_of(running)
        with Stream(running.address) as stream:
            stream.send(SECOND, "0", start=True)
            stream.wait(1)
            running.stop.set()
            wait_for(lambda: running.said("1 streams may end within 20 s") == 1)
            with Stream(running.address) as late:
                late.wait_until(lambda: late.code is not None)
            assert late.code is grpc.StatusCode.UNAVAILABLE
            stream.send(SECOND, "1")
            stream.wait(2)
            stream.send(SECOND, "2", end=True)
            stream.wait(3)
            assert len(stream.frames()) == 90
        stopped_s = time.monotonic()
        running.thread.join(timeout=30)
        assert not running.thread.is_alive() and time.monotonic() - stopped_s < 10
        assert running.said("cut off") == 0
        assert regions and not [name for name in regions if (processes.SHM / name).exists()]


@pytest.mark.slow
def test_a_session_that_does_not_end_is_cut_off(toy_config):
    with supervised(toy_config, drain_s=1.0) as running:
        regions = regions_of(running)
        with Stream(running.address) as stream:
            stream.send(SECOND, "0", start=True)
            stream.wait(1)
            running.stop.set()
            running.thread.join(timeout=30)
            assert not running.thread.is_alive()
            stream.wait_until(lambda: stream.code is not None)
        assert running.said("1 streams are cut off") == 1
        assert not [name for name in regions if (processes.SHM / name).exists()]


@pytest.mark.slow
def test_a_stage_that_hangs_is_noticed_and_the_server_started_again(toy_config):
    """Triton's own health checks stay green, and so does the list of processes."""
    with supervised(toy_config, canary_s=4.0) as running:
        first = running.triton()
        stage = next(stub for stub in processes.stubs(first) if stub.instance.startswith("enhancer"))
        struck_s = time.monotonic()
        os.kill(stage.pid, signal.SIGSTOP)
        wait_for(lambda: running.said("starting it again (1 of 2)") == 1, timeout_s=20)
        assert time.monotonic() - struck_s < 10
        wait_for(lambda: running.said("serving gRPC") == 2, timeout_s=90)
        assert running.triton() != first
        assert not processes.is_alive(stage.pid)
        assert canary.probe(running.address, timeout_s=20).ok
        with Stream(running.address) as stream:
            stream.send(np.tile(SECOND, 2), start=True, end=True)
            stream.wait(1)
            assert len(stream.frames()) == 60
