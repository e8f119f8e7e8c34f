"""Where compiled kernels are kept."""

import os
import subprocess
import sys
from pathlib import Path

import numba

from avatar import jit

ROOT = Path(__file__).resolve().parents[2]


def test_cache_goes_to_a_temporary_folder_when_nothing_else_can_be_written(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    jit._choose_cache_folder()
    assert "avatar-kernels" in numba.config.CACHE_DIR


def test_a_given_cache_folder_is_kept(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "/given")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    jit._choose_cache_folder()
    assert numba.config.CACHE_DIR == "/given"


def test_kernels_are_stored_in_the_given_folder_and_found_there_again(tmp_path):
    program = (
        "import numpy as np; from avatar.rasterizer import coverage\n"
        "coverage.orient(np.zeros((3, 2), np.int32), np.zeros((1, 3), np.int32), 8, 8, np.zeros(1, np.int8),"
        "np.zeros((1, 2), np.int16))\n"
        "print(sum(coverage.orient.stats.cache_hits.values()))"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    hits = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert list(tmp_path.rglob("*.nbi"))
    assert [int(count) for count in hits] == [0, 1]
