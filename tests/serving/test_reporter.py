"""Metrics are told to Triton beside the frames: whoever counts does not wait."""

import importlib.util
import sys
import time
import types

from tests.conftest import PROJECT

CALL_S = 0.02


class SlowMetric:
    """Stands for Triton's, whose every call waits for the server's process."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, kind):
        def call(value):
            time.sleep(CALL_S)
            self.calls.append((kind, value))

        return call


def reporter(monkeypatch):
    # Only the stub of a running model has this module.
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", types.ModuleType("triton_python_backend_utils"))
    place = PROJECT / "backends" / "avatar" / "front" / "metrics.py"
    spec = importlib.util.spec_from_file_location("metrics_of_the_front", place)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_nobody_waits_and_nothing_is_lost(monkeypatch):
    module = reporter(monkeypatch)
    told, slow = module.Reporter(), SlowMetric()
    metric = module.Reported(slow, told)
    started_s = time.perf_counter()
    for value in range(50):
        metric.increment(value)
    metric.observe(0.5)
    metric.observe(0.25)
    metric.set(7)
    assert time.perf_counter() - started_s < CALL_S, "53 calls of a slow metric"
    told.close()
    counted = [call for call in slow.calls if call[0] == "increment"]
    assert sum(value for _, value in counted) == sum(range(50))
    assert len(counted) <= 2, "what came together is one call"
    assert [call for call in slow.calls if call[0] != "increment"] == [("observe", 0.5), ("observe", 0.25), ("set", 7)]


def test_changes_are_told_before_the_end(monkeypatch):
    module = reporter(monkeypatch)
    told, slow = module.Reporter(), SlowMetric()
    for value in (1, 2):
        module.Reported(slow, told).set(value)
        deadline_s = time.monotonic() + 10
        while ("set", value) not in slow.calls:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    told.close()
