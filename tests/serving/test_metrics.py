"""docs/metrics.md and the server's page tell the same."""

import re
import urllib.request

from tests.conftest import PROJECT
from tests.serving.stream import Stream
from tests.serving.test_contract import speech

ROW = re.compile(r"^\| `(avatar_\w+)` \| (\w+) \| [\w ]+ \| (?:`(\w+)`)? ?\|", re.MULTILINE)


def page(server) -> str:
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=10) as response:
        return response.read().decode()


def test_the_document_lists_what_the_server_exports(toy_server):
    with Stream(toy_server.grpc_address) as stream:
        stream.send(speech(0.5), start=True, end=True, outputs=("FRAME",))
        stream.wait(1)
    text = page(toy_server)
    documented = {
        name: (kind, label or None) for name, kind, label in ROW.findall((PROJECT / "docs/metrics.md").read_text())
    }
    kinds = dict(re.findall(r"^# TYPE (avatar_\w+) (\w+)$", text, re.MULTILINE))
    exported = {}
    for name, kind in kinds.items():
        sample = re.search(rf"^{name}(?:_count)?(?:\{{(\w+)=.*)?[ }}]", text, re.MULTILINE)
        exported[name] = (kind, sample[1])
    assert exported == documented


def test_a_session_leaves_its_traces(toy_server, metrics):
    names = (
        "avatar_sessions_total", "avatar_frames_total", "avatar_interrupts_total", "avatar_audio_seconds_total",
        "avatar_first_frame_seconds_count", "avatar_frame_latency_seconds_count", "avatar_frame_interval_seconds_count",
        "avatar_interrupt_to_rest_seconds_count", 'avatar_sessions_closed_total{reason="ended"}',
    )  # fmt: skip
    before = {name: metrics(name) for name in names}
    with Stream(toy_server.grpc_address) as stream:
        stream.send(speech(1.0), "speech", start=True)
        stream.wait(1)
        stream.send(name="interrupt", parameters={"event": "interrupt"}, end=True)
        stream.wait(2)
    # A second of speech is 22 frames until its look-ahead is missing, or a few more; five more come to rest.
    frames = len(stream.frames())
    assert {name: round(metrics(name) - before[name], 3) for name in names} == {
        "avatar_sessions_total": 1,
        "avatar_frames_total": frames,
        "avatar_interrupts_total": 1,
        "avatar_audio_seconds_total": 1.0,
        "avatar_first_frame_seconds_count": 1,
        "avatar_frame_latency_seconds_count": frames,
        "avatar_frame_interval_seconds_count": frames - 1,
        "avatar_interrupt_to_rest_seconds_count": 1,
        'avatar_sessions_closed_total{reason="ended"}': 1,
    }
