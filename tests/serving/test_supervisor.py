"""A server that dies or hangs is started again; one that stops lets running sessions end."""

import contextlib
import dataclasses
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from avatar_server import canary, processes, speed
from avatar_server.capacity import Capacity
from avatar_server.config import ServerConfig
from avatar_server.gateway import GatewayConfig
from avatar_server.logs import Log
from avatar_server.supervisor import Policy, supervise

from tests.serving.stream import Stream
from tests.serving.test_lifecycle import SECOND, wait_for

KEY = "the key between gateway and server"


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


class Running:
    """A supervised toy server in a thread of this process."""

    def __init__(self, config: ServerConfig, address: str, policy: Policy, live_fps: float | None):
        self.address = address
        config = dataclasses.replace(config, admin_key=KEY, restrict_inference=True)
        gateway = GatewayConfig(address=self.address, upstream="", upstream_key=KEY, live_fps=live_fps)
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
        return max(own, key=started)


def started(pid: int) -> int:
    """Ticks after the machine's start (proc(5), field 22). Numbers of processes wrap around and tell no age."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@contextlib.contextmanager
def supervised(config, live_fps=0.0, at=None, **policy):
    policy = Policy(**{"restarts": 2, "drain_s": 20.0, "canary_s": 2.0} | policy)
    running = Running(config, at or free_address(), policy, live_fps)
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
def test_what_the_machine_carries_is_measured_once_before_sessions_come(toy_config):
    with supervised(toy_config, live_fps=None) as running:
        words = [record.message for record in running.log.records]
        (measured,) = [k for k, text in enumerate(words) if "this machine makes" in text]
        (serving,) = [k for k, text in enumerate(words) if text.startswith("serving gRPC")]
        assert measured < serving
        made_fps = int(re.search(r"makes (\d+) frames a second: \d+ live session", words[measured])[1])
        streams = []
        while len(streams) == sum(stream.code is None for stream in streams) and len(streams) < 3:
            streams.append(Stream(running.address))
            streams[-1].send(start=True, parameters={"live": True, "fps": 60})
            streams[-1].wait(1)
        admitted = sum(stream.code is None for stream in streams)
        # The log has whole frames.
        assert admitted in {min(3, Capacity.measured(made_fps + part).sessions(60)) for part in (-0.5, 0.5)}
        assert all("live sessions may have at most" in stream.details for stream in streams if stream.code is not None)
        for stream in streams:
            stream.cancel()
        os.kill(running.triton(), signal.SIGKILL)
        wait_for(lambda: running.said("serving gRPC") == 2, timeout_s=90)
        assert running.said("this machine makes") == 1, "started again it is not measured again"


@pytest.mark.slow
def test_a_capacity_set_by_hand_is_not_measured(toy_config):
    with supervised(toy_config, live_fps=25.0) as running:
        assert running.said("live sessions may have 25 frames a second: 1 live session at 30 FPS at once") == 1
        assert running.said("this machine makes") == 0


@pytest.mark.slow
def test_nobody_is_let_in_or_refused_a_live_place_while_it_is_measured(toy_config, monkeypatch):
    answers = []

    def measure(address, admin_key, is_cancelled):
        with Stream(front) as stream:
            stream.send(start=True, parameters={"live": True})
            stream.wait_until(lambda: stream.code is not None)
            answers.append((stream.code, stream.details))
        return real(address, admin_key, is_cancelled)

    front, real = free_address(), speed.measure
    monkeypatch.setattr(speed, "measure", measure)
    with supervised(toy_config, live_fps=None, at=front) as running:
        assert answers == [(grpc.StatusCode.UNAVAILABLE, "this server is starting; retry in a moment")]
        assert running.said("this machine makes") == 1


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
