"""Sessions side by side, interrupted, cancelled, forgotten: nothing blocks, nothing is left."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from avatar_server import processes

from tests.serving.stream import Stream

PROJECT = Path(__file__).resolve().parent.parent.parent
SECOND = np.zeros(16_000, np.int16)
VANISHING_CLIENT = """
import os, sys, time
import numpy as np
from tests.serving.stream import Stream
stream = Stream(sys.argv[1])
stream.send(np.zeros(16_000 * int(sys.argv[2]), np.int16), start=True, outputs=("FRAME", "INDEX"))
stream.wait_until(lambda: len(stream.responses) >= int(sys.argv[3]) or stream.finals())
os._exit(9)
"""


def wait_for(condition, timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def vanish(server, seconds: int, responses: int) -> None:
    """A client that sends `seconds` of audio in one request and is killed after so many responses, or the final one."""
    arguments = [sys.executable, "-c", VANISHING_CLIENT, server.grpc_address, str(seconds), str(responses)]
    run = subprocess.run(arguments, cwd=PROJECT, timeout=60)
    assert run.returncode == 9


def test_end_frees_the_session(toy_server, metrics):
    opened = metrics("avatar_sessions_total")
    for _ in range(5):
        with Stream(toy_server.grpc_address) as stream:
            stream.send(SECOND, start=True, end=True)
            stream.wait(1)
    assert metrics("avatar_sessions_total") - opened == 5
    assert metrics("avatar_sessions_active") == 0


def test_client_killed_in_the_middle_of_a_request(toy_server, metrics):
    frames = metrics("avatar_frames_total")
    vanish(toy_server, seconds=60, responses=3)
    wait_for(lambda: metrics("avatar_sessions_active") == 0)
    assert metrics("avatar_frames_total") - frames < 1_800, "the work must stop when nobody waits for it"


def test_client_killed_between_requests(toy_server, metrics):
    vanish(toy_server, seconds=1, responses=1000)
    assert metrics("avatar_sessions_active") == 1
    wait_for(lambda: metrics("avatar_sessions_active") == 0)


def test_request_after_the_session_idled_out(toy_server, metrics):
    with Stream(toy_server.grpc_address) as stream:
        stream.send(SECOND, "0", start=True)
        stream.wait(1)
        wait_for(lambda: metrics("avatar_sessions_active") == 0)
        stream.send(SECOND, "1", end=True)
        assert "is not open: it has ended, failed, or was idle for 2 s" in stream.wait(2)[-1].error


def test_cancelled_stream(toy_server, metrics):
    stream = Stream(toy_server.grpc_address)
    stream.send(np.tile(SECOND, 60), start=True, outputs=("FRAME",))
    stream.wait_until(lambda: len(stream.responses) > 2)
    stream.cancel()
    wait_for(lambda: metrics("avatar_sessions_active") == 0)


def test_restart_with_the_same_id(toy_server, metrics):
    with Stream(toy_server.grpc_address, session="again") as stream:
        stream.send(np.tile(SECOND, 60), "0", start=True, outputs=("INDEX", "FRAME"))
        stream.wait_until(lambda: len(stream.responses) > 2)
        stream.send(SECOND, "1", start=True, end=True)
        errors = [response.error for response in stream.wait(2) if response.error]
        indices = [int(frame["INDEX"][0]) for frame in stream.frames("1")]
    assert errors == ["session 'again' ended: another one was started with its id"]
    assert indices == list(range(30))
    assert metrics("avatar_sessions_active") == 0


def test_a_long_request_does_not_hold_up_another_session(toy_server):
    with Stream(toy_server.grpc_address) as long, Stream(toy_server.grpc_address) as short:
        long.send(np.tile(SECOND, 60), start=True, end=True, outputs=("FRAME",))
        long.wait_until(lambda: len(long.responses) > 2)
        short.send(SECOND, start=True, end=True, outputs=("FRAME",))
        short.wait(1)
        assert len(short.frames()) == 30
        assert not long.finals(), "the short session must be over before the long one"
        long.cancel()


def test_interrupt_overtakes_what_was_sent_before(toy_server):
    with Stream(toy_server.grpc_address) as stream:
        stream.send(np.full(16_000 * 60, 9000, np.int16), "speech", start=True, outputs=("INDEX", "STATE", "FRAME"))
        stream.send(np.full(16_000, 9000, np.int16), "queued", outputs=("INDEX", "STATE", "FRAME"))
        stream.wait_until(lambda: len(stream.responses) > 9)
        stream.send(name="interrupt", parameters={"event": "interrupt"}, outputs=("INDEX", "STATE", "FRAME"))
        sent = len(stream.responses)
        stream.wait(3)
        responses = list(stream.responses)
        stream.send(name="end", end=True)
        stream.wait(4)
    states = [int(frame["STATE"][0]) for frame in stream.frames()]
    assert sorted(stream.finals()) == ["end", "interrupt", "queued", "speech"]
    assert stream.frames("queued") == [], "audio that waited for its turn is dropped"
    assert [int(frame["INDEX"][0]) for frame in stream.frames()] == list(range(len(states)))
    assert 2 not in states[: len(stream.frames("speech"))]
    assert set(states[len(stream.frames("speech")) :]) == {2}, "only frames that come to rest follow an interrupt"
    stale = [r for r in responses[sent:] if r.request == "speech" and r.tensors]
    assert len(stale) <= 6, "frames made before the interrupt was seen"


def test_interrupt_of_an_idle_session(toy_server):
    with Stream(toy_server.grpc_address) as stream:
        stream.send(SECOND, "speech", start=True)
        stream.wait(1)
        stream.send(SECOND, "interrupt", parameters={"event": "interrupt"}, end=True)
        stream.wait(2)
    indices = [int(frame["INDEX"][0]) for frame in stream.frames()]
    assert indices == list(range(len(indices)))


@pytest.mark.slow
def test_many_sessions_at_once_stay_in_order_and_grow_nothing(toy_server, metrics):
    regions = {name: (processes.SHM / name).stat().st_size for name in processes.shm_regions(toy_server.pid)}
    problems: list[str] = []

    def client(number: int) -> None:
        random = np.random.default_rng(number)
        for _ in range(3):
            sizes = random.integers(0, 6400, 20)
            with Stream(toy_server.grpc_address) as stream:
                for i, size in enumerate(sizes):
                    stream.send(np.zeros(size, np.int16), str(i), start=i == 0, end=i == 19, outputs=("INDEX", "FRAME"))
                stream.wait(20, timeout_s=90)
            indices = [int(frame["INDEX"][0]) for i in range(20) for frame in stream.frames(str(i))]
            expected = -(-int(sizes.sum()) * 30 // 16_000)
            if indices != list(range(len(indices))) or abs(len(indices) - expected) > 1:
                problems.append(f"frames {indices}, expected {expected}")
            if sorted(stream.finals(), key=int) != [str(i) for i in range(20)]:
                problems.append(f"finals {stream.finals()}")
            problems.extend(response.error for response in stream.responses if response.error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for seconds in (30, 40):
        vanish(toy_server, seconds, responses=5)
    for thread in threads:
        thread.join()
    assert problems == []
    wait_for(lambda: metrics("avatar_sessions_active") == 0)
    assert regions == {name: (processes.SHM / name).stat().st_size for name in processes.shm_regions(toy_server.pid)}
