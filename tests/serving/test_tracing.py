"""A session that asks for a trace gets one: a span of its own in its client's trace, one of each stage in it."""

import http.server
import threading

import pytest
from avatar_server import start_server

from avatar.config import STAGES
from tests.serving.stream import Stream
from tests.serving.test_contract import speech
from tests.serving.test_lifecycle import wait_for

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install -e '.[tracing]'")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector():
    """The spans that arrive at a collector, and its address."""
    spans = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            spans.extend(s for r in body.resource_spans for scope in r.scope_spans for s in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield spans, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_spans_of_a_session(toy_config, collector, monkeypatch):
    spans, endpoint = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    with start_server(toy_config) as server:
        for traceparent in (f"00-{TRACE}-{PARENT}-01", f"00-{'1' * 32}-{PARENT}-00", ""):
            with Stream(server.grpc_address) as stream:
                parameters = {"traceparent": traceparent} if traceparent else {}
                stream.send(speech(1.0), start=True, end=True, parameters=parameters, outputs=("FRAME",))
                stream.wait(1)
                assert len(stream.frames()) == 30
        wait_for(lambda: len(spans) >= 6)
        with Stream(server.grpc_address) as stream:
            stream.send(speech(0.1), start=True, end=True, parameters={"traceparent": "me"})
            assert "'traceparent' must be 00-<32 hex" in stream.wait(1)[0].error
    assert {span.trace_id.hex() for span in spans} == {TRACE}, "only the sampled session"
    session = next(span for span in spans if span.name == "avatar.session")
    assert session.parent_span_id.hex() == PARENT
    stages = {span.name: span for span in spans if span is not session}
    assert set(stages) == {f"avatar.{stage}" for stage in STAGES}
    for span in stages.values():
        assert span.parent_span_id == session.span_id
        assert session.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano < span.end_time_unix_nano <= session.end_time_unix_nano
    calls = {name: {a.key: a.value for a in span.attributes}["avatar.calls"].int_value for name, span in stages.items()}
    assert calls["avatar.enhancer"] == calls["avatar.rasterizer"] == 30
