"""The launcher: each known fault has a plain message, and nothing is left when a server stops or dies."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path

import onnx
import pytest
from avatar_server import EnvironmentFault, ServerDied, StartFailed, checks, doctor, logs, processes, start_server
from avatar_server.interpreter import probe

from tests.serving.toy import networks

PROJECT = Path(__file__).resolve().parent.parent.parent
SITE_PACKAGES = Path(onnx.__file__).parent.parent
SCALE_CONFIG = """
backend: "onnxruntime"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_AUTO count: 1 } ]
"""


def write_model(repository: Path, model, config: str = SCALE_CONFIG) -> None:
    (repository / "scale" / "1").mkdir(parents=True)
    (repository / "scale" / "config.pbtxt").write_text(config)
    onnx.save(model, repository / "scale" / "1" / "model.onnx")


@pytest.fixture
def small_config(toy_config, tmp_path):
    """A server of one model that starts fast."""
    write_model(tmp_path / "models", networks.scale(2))
    return dataclasses.replace(toy_config, model_repository=tmp_path / "models", start_timeout_s=60)


def serve_command(config, *arguments) -> list[str]:
    return [
        sys.executable, "-m", "avatar_server", "serve", "--model-repository", str(config.model_repository),
        "--grpc-port", "0", "--http-port", "0", "--metrics-port", "0", *arguments,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'backends'}"}


def triton_of(launcher_pid: int) -> int:
    (pid,) = [pid for pid in processes.children(launcher_pid) if processes.command(pid)[0].endswith("/tritonserver")]
    return pid


# ---------------------------------------------------------------------- faults that are found beforehand


@pytest.mark.parametrize("name", ["http", "grpc", "metrics"])
def test_port_taken(small_config, name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            EnvironmentFault,
            match=rf"the {name} port must be free, got 127.0.0.1:{port}: .* pass another --{name}-port",
        ):
            start_server(dataclasses.replace(small_config, **{f"{name}_port": port}))


def test_only_grpc_goes_on_the_network(small_config):
    """HTTP and metrics have no TLS."""
    with start_server(dataclasses.replace(small_config, address="0.0.0.0", grpc_port=0)) as server:
        with urllib.request.urlopen(f"http://{server.http_address}/v2/health/ready", timeout=10) as response:
            assert response.status == 200
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        reached = {server.grpc_address: True, server.http_address: False, server.metrics_address: False}
        for address, is_open in reached.items():
            port = int(address.rpartition(":")[2])
            # The state 0A is LISTEN; an address of zeros is any.
            assert bool(re.search(rf"\b0{{8,32}}:{port:04X} \S+ 0A", listening)) is is_open, address


def test_missing_weights(small_config):
    (small_config.model_repository / "scale" / "1" / "model.onnx").unlink()
    with pytest.raises(EnvironmentFault, match="scale must find its weights at .*model.onnx, got no such file"):
        start_server(small_config)


def test_weights_left_in_git_lfs(small_config):
    (small_config.model_repository / "scale" / "1" / "model.onnx").write_text(
        "version https://git-lfs.github.com/spec/v1\n"
    )
    with pytest.raises(EnvironmentFault, match="got a Git LFS pointer; run `git lfs pull`"):
        start_server(small_config)


def test_missing_repository(small_config, tmp_path):
    with pytest.raises(EnvironmentFault, match="must be a folder, got .*nowhere"):
        start_server(dataclasses.replace(small_config, model_repository=tmp_path / "nowhere"))


def test_missing_model(small_config):
    with pytest.raises(EnvironmentFault, match="must hold the model 'oracle', got scale"):
        start_server(dataclasses.replace(small_config, models=("oracle",)))


def test_shm_too_small(small_config):
    with pytest.raises(EnvironmentFault, match="/dev/shm must have 1048576 MiB free .* --shm-size=1g"):
        start_server(dataclasses.replace(small_config, shm_bytes=1 << 40))


def test_numpy_2(small_config, tmp_path):
    """A real environment whose numpy is (or says it is) 2: the wheel's packages are there, numpy 2 shadows theirs."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    own = tmp_path / "venv" / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
    (own / "serving.pth").write_text(f"{SITE_PACKAGES}\n")
    (own / "numpy-2.4.0.dist-info").mkdir()
    (own / "numpy-2.4.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 2.4.0\n")
    with pytest.raises(
        EnvironmentFault, match="must hold numpy below 2, got 2.4.0: .* empty tensors; run `pip install 'numpy<2'`"
    ):
        start_server(dataclasses.replace(small_config, python=python))


def test_missing_pytriton(small_config, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    with pytest.raises(EnvironmentFault, match="must hold nvidia-pytriton.*run `pip install nvidia-pytriton") as caught:
        start_server(dataclasses.replace(small_config, python=tmp_path / "bare" / "bin" / "python"))
    assert "openvino or onnxruntime" in str(caught.value), "all faults are told at once"


def test_python_that_does_not_run(small_config, tmp_path):
    with pytest.raises(EnvironmentFault, match="interpreter must run, got from .*nowhere"):
        start_server(dataclasses.replace(small_config, python=tmp_path / "nowhere"))


def test_no_shared_libpython():
    interpreter = dataclasses.replace(probe(Path(sys.executable)), library_dir=None)
    finding = checks.check_libpython(interpreter)
    assert not finding.ok
    assert f"apt-get install libpython{interpreter.version_text}" in finding.detail


@pytest.mark.parametrize(
    ("libc", "ok"),
    [(("glibc", "2.35"), True), (("glibc", "2.41"), True), (("glibc", "2.31"), False), (("", ""), False)],
)
def test_glibc(libc, ok):
    finding = checks.check_glibc(libc)
    assert finding.ok == ok
    assert ok or "needs glibc 2.35 or newer, got" in finding.detail


def test_platform():
    assert checks.check_platform("Linux", "x86_64").ok
    assert "got Darwin arm64; use the container image" in checks.check_platform("Darwin", "arm64").detail


# ---------------------------------------------------------------------- faults that show when models load


def test_network_that_is_not_as_configured(toy_config, tmp_path):
    write_model(tmp_path / "models", networks.scale(2, name="INPUT"))
    with pytest.raises(StartFailed, match="model scale did not load: .*input X is configured, the network has INPUT"):
        start_server(dataclasses.replace(toy_config, model_repository=tmp_path / "models"))


def test_broken_configuration(small_config):
    (small_config.model_repository / "scale" / "config.pbtxt").write_text('backend: "onnxruntime"\ncolour: "red"\n')
    with pytest.raises(EnvironmentFault, match=r"config.pbtxt must be a Triton model configuration: line 2:1"):
        start_server(small_config)


# ---------------------------------------------------------------------- a server that runs


def test_dead_model_process_is_noticed(small_config):
    with start_server(small_config) as server:
        regions = processes.shm_regions(server.pid)
        assert [stub.instance for stub in server.stubs] == ["scale_0_0"]
        server.check()
        os.kill(server.stubs[0].pid, signal.SIGKILL)
        assert server.wait(timeout_s=5)
        with pytest.raises(ServerDied, match="the process of model scale_0_0 ended by itself"):
            server.check()
    assert regions
    assert not [name for name in regions if (processes.SHM / name).exists()]


def test_dead_server_is_noticed(small_config):
    with start_server(small_config) as server:
        regions, stubs = processes.shm_regions(server.pid), server.stubs
        os.kill(server.pid, signal.SIGKILL)
        assert server.wait(timeout_s=5)
        deadline_s = time.monotonic() + 5
        while server.failure is None and time.monotonic() < deadline_s:
            time.sleep(0.05)
        with pytest.raises(ServerDied, match="tritonserver ended by itself with exit code -9"):
            server.check()
    assert not [name for name in regions if (processes.SHM / name).exists()]
    assert not [stub for stub in stubs if processes.is_alive(stub.pid)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_clean(small_config, number):
    command = serve_command(small_config, "--log-format", "json")
    with subprocess.Popen(command, env=environment(), cwd="/", stderr=subprocess.PIPE, text=True) as run:
        records = []
        for line in run.stderr:
            records.append(json.loads(line))
            if records[-1]["message"].startswith("serving gRPC 127.0.0.1:"):
                break
        server_pid = triton_of(run.pid)
        regions, stubs = processes.shm_regions(server_pid), processes.stubs(server_pid)
        assert regions
        assert stubs
        run.send_signal(number)
        records += [json.loads(line) for line in run.stderr]
        assert run.wait(timeout=20) == 0
    assert {record["level"] for record in records} <= {"info", "warning"}, [r for r in records if r["level"] == "error"]
    assert not processes.is_alive(server_pid)
    assert not [stub for stub in stubs if processes.is_alive(stub.pid)]
    assert not [name for name in regions if (processes.SHM / name).exists()]


def test_serve_ends_when_a_model_process_dies(small_config):
    with subprocess.Popen(
        serve_command(small_config, "--restarts", "0"), env=environment(), cwd="/", stderr=subprocess.PIPE, text=True
    ) as run:
        for line in run.stderr:
            if "serving gRPC" in line:
                break
        server_pid = triton_of(run.pid)
        os.kill(processes.stubs(server_pid)[0].pid, signal.SIGKILL)
        rest = run.stderr.read()
        assert run.wait(timeout=20) == 5
    assert "avatar serve: the process of model scale_0_0 ended by itself" in rest


def test_serve_starts_a_dead_server_again(small_config):
    with subprocess.Popen(
        serve_command(small_config, "--restarts", "1"), env=environment(), cwd="/", stderr=subprocess.PIPE, text=True
    ) as run:
        for _ in range(2):
            for line in run.stderr:
                if "serving gRPC" in line:
                    break
            os.kill(processes.stubs(triton_of(run.pid))[0].pid, signal.SIGKILL)
        rest = run.stderr.read()
        assert run.wait(timeout=20) == 5
    assert "avatar serve: the process of model scale_0_0 ended by itself" in rest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tls-cert", "cert.pem"], "must have both --tls-cert and --tls-key"),
        (["--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem"], "/nowhere/c.pem must be a file that can be"),
        (["--admin-key-file", "/dev/null"], "must have at least 16 letters"),
    ],
)
def test_serve_refuses_bad_security_options(small_config, arguments, words):
    command = serve_command(small_config, *arguments)
    run = subprocess.run(command, env=environment(), cwd="/", capture_output=True, text=True, timeout=30)
    assert run.returncode == 3
    assert words in run.stderr and "Traceback" not in run.stderr


def test_serve_says_why_it_cannot(small_config):
    (small_config.model_repository / "scale" / "1" / "model.onnx").unlink()
    run = subprocess.run(
        serve_command(small_config), env=environment(), cwd="/", capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 3
    assert run.stderr.startswith("avatar serve: scale must find its weights")
    assert "Traceback" not in run.stderr


# ---------------------------------------------------------------------- doctor, logs


def test_doctor(small_config, capsys):
    assert doctor.report(doctor.examine(small_config), as_json=False) == 0
    assert "FAIL" not in capsys.readouterr().out
    shutil.rmtree(small_config.model_repository)
    assert doctor.report(doctor.examine(small_config), as_json=True) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["models"]


def test_stale_memory_of_killed_servers():
    name = "triton_python_backend_shm_region_00000000-0000-0000-0000-000000000000"
    try:
        (processes.SHM / name).write_bytes(bytes(4096))
        assert processes.stale_regions()[name] == 4096
        assert processes.remove_regions({name}) == 1
        assert name not in processes.stale_regions()
    finally:
        with contextlib.suppress(FileNotFoundError):
            (processes.SHM / name).unlink()


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        (
            "I1124 08:06:41.877099 8298 model_lifecycle.cc:839] \"successfully loaded 'work'\"",
            "info",
            "successfully loaded 'work'",
        ),
        (
            'W1124 08:06:41.957034 8298 pinned_memory_manager.cc:170] "failed: no pinned memory pool, falling back"',
            "debug",
            None,
        ),
        (
            'E1124 08:06:41.957034 8298 backend_model.cc:692] "ERROR: no\\n\\nAt:\\n  x"',
            "error",
            "ERROR: no\n\nAt:\n  x",
        ),
        ("Traceback of a model", "info", "Traceback of a model"),
        ("| table |", None, None),
        ("", None, None),
    ],
)
def test_log_lines(line, level, message):
    record = logs.parse(line)
    if level is None:
        assert record is None
        return
    assert record.level == level
    assert message is None or record.message == message
    assert record.session is None
    assert json.loads(record.as_json())["level"] == level


def test_a_line_about_a_session_names_it():
    line = 'I1124 08:06:41.877099 8298 model.py:1] "session=7.a-b ended: 1.00 s of audio, 30 frames"'
    assert json.loads(logs.parse(line).as_json())["session"] == "7.a-b"
