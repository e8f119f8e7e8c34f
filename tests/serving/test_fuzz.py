"""A short run of the fuzzer over each parser; `benchmarks/fuzz.py` runs for as long as one likes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs the extra `fuzz`")
PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("target", ["gateway", "parameters", "response"])
def test_no_input_breaks_a_parser(target, tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.fuzz",
        target,
        "-runs=20000",
        "-seed=1",
        f"-artifact_prefix={tmp_path}/",
    ]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Done 20000 runs" in run.stderr
