"""The probe sees what Triton's own health checks do not."""

import os
import signal
import socket
import urllib.request

from avatar_server import canary, cli, start_server

from tests.serving.stream import Stream


def test_healthy_server(toy_server, metrics):
    sessions = metrics("avatar_sessions_total")
    assert canary.probe(toy_server.grpc_address) == canary.Health(True, "3 frames")
    assert metrics("avatar_sessions_total") == sessions + 1
    assert metrics("avatar_sessions_active") == 0


def test_full_server_is_healthy(toy_server):
    streams = [Stream(toy_server.grpc_address) for _ in range(3)]
    for stream in streams:
        stream.send(start=True)
        stream.wait(1)
    health = canary.probe(toy_server.grpc_address)
    for stream in streams:
        stream.send(end=True)
        stream.wait(2)
        stream.close()
    assert health.ok
    assert "at most 3 sessions" in health.detail


def test_no_server(capsys):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert cli.main(["probe", "--server", f"127.0.0.1:{port}", "--timeout", "2"]) == 1
    assert capsys.readouterr().err


def test_dead_stage(toy_config):
    with start_server(toy_config) as server:
        for stub in server.stubs:
            if stub.instance.startswith("enhancer"):
                os.kill(stub.pid, signal.SIGKILL)
        with urllib.request.urlopen(f"http://{server.http_address}/v2/health/ready") as response:
            assert response.status == 200, "Triton itself does not notice"
        health = canary.probe(server.grpc_address)
        assert not health.ok
        assert "stage enhancer failed" in health.detail
        assert server.wait(timeout_s=5)
        assert "enhancer" in str(server.failure)
