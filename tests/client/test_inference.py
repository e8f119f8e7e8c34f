"""`python inference.py --audio ... --output ...`, from anywhere and with whatever Python comes first."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import av
import pytest

from tests.client import sounds

SCRIPT = Path(__file__).resolve().parents[2] / "inference.py"


def run(python, *arguments, cwd):
    return subprocess.run([python, SCRIPT, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


def test_it_renders_from_another_folder(toy, tmp_path):
    sounds.write_wav(tmp_path / "in.wav", sounds.tone(1.0, 16_000), 16_000)
    done = run(sys.executable, "--audio", "in.wav", "--server", toy.grpc_address, "--timings", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "out.mp4: 30 frames" in done.stdout
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].frames == 30


def test_bad_input_has_an_exit_code_and_a_line(tmp_path):
    done = run(sys.executable, "--audio", "missing.wav", "--output", "a.mp4", "--server", "127.0.0.1:9", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "avatar: there is no file missing.wav; check the path\n")
    assert run(sys.executable, cwd=tmp_path).returncode == 2


def test_a_python_without_the_packages_hands_over_to_the_environment(tmp_path):
    python = Path(sys.base_prefix) / "bin" / "python3"
    if sys.prefix == sys.base_prefix or not python.exists():
        pytest.skip("the tests do not run in a virtual environment")
    found = subprocess.run([python, "-c", "import tritonclient"], capture_output=True, cwd=tmp_path).returncode == 0
    if found or importlib.util.find_spec("tritonclient") is None:
        pytest.skip("the base interpreter has the packages")
    done = run(python, "--audio", "missing.wav", "--server", "127.0.0.1:9", cwd=tmp_path)
    has_environment = (SCRIPT.parent / ".venv" / "bin" / "python").exists()
    expected = "there is no file missing.wav" if has_environment else "run `make demo` once"
    assert expected in done.stderr and "Traceback" not in done.stderr
