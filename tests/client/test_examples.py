"""The examples run as they are printed in the documentation."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.client import sounds

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "sound_count", "words"),
    [
        ("show_frames", 1, "frame 89 at 2.967 s: 512x512"),
        ("barge_in", 1, "interrupted after 1.03 of 3.00 s"),
        ("blendshapes", 1, "time_s,blendshape_0"),
        ("two_at_once", 2, "second: 90 frames with 3.00 s of sound"),
    ],
)
def test_example(toy, tmp_path, speech, name, sound_count, words):
    sound = sounds.write_wav(tmp_path / "a.wav", speech, 16_000)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, EXAMPLES / f"{name}.py", *[sound] * sound_count, toy.grpc_address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    if name == "blendshapes":
        assert np.loadtxt(done.stdout.splitlines()[1:], delimiter=",").shape == (180, 59)
