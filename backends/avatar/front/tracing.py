"""A trace of a session on its client's request: one span of the session, one of each stage in it.

Needs the extra `tracing` and OTEL_EXPORTER_OTLP_ENDPOINT in the server's environment; without them nothing is traced.
"""

import os
import time

TRACEPARENT = "traceparent"


class Tracing:
    """Makes traces of sessions that ask for one."""

    def __init__(self):
        self._tracer = None
        if not (os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
            return
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            return
        provider = TracerProvider(resource=Resource.create({"service.name": "avatar"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=1000))
        self._tracer = provider.get_tracer("avatar")

    def begin(self, traceparent: str):
        """The trace of a session whose client sent this W3C `traceparent`, None if there is to be none."""
        is_sampled = traceparent and int(traceparent[-2:], 16) & 1
        return SessionTrace(self._tracer, traceparent) if self._tracer is not None and is_sampled else None


class SessionTrace:
    """Collects what a session's calls of the stages took; `end` makes spans of it."""

    def __init__(self, tracer, traceparent: str):
        self._tracer = tracer
        self._traceparent = traceparent
        self._started_ns = time.time_ns()
        self._stages: dict[str, list[int]] = {}

    def around(self, stages):
        """The stages, observed."""
        return _Observed(stages, self)

    def called(self, stage: str, started_ns: int) -> None:
        now_ns = time.time_ns()
        first_ns, _, calls, total_ns = self._stages.get(stage, (started_ns, 0, 0, 0))
        self._stages[stage] = (first_ns, now_ns, calls + 1, total_ns + now_ns - started_ns)

    def end(self, **attributes: str | int | float) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({TRACEPARENT: self._traceparent})
        span = self._tracer.start_span(
            "avatar.session", parent, start_time=self._started_ns,
            attributes={f"avatar.{name}": value for name, value in attributes.items()},
        )  # fmt: skip
        inside = trace.set_span_in_context(span)
        for stage, (first_ns, last_ns, calls, total_ns) in self._stages.items():
            work = {"avatar.calls": calls, "avatar.total_ms": total_ns / 1e6, "avatar.mean_ms": total_ns / 1e6 / calls}
            self._tracer.start_span(f"avatar.{stage}", inside, start_time=first_ns, attributes=work).end(last_ns)
        span.end(time.time_ns())


class _Observed:
    """Stages whose calls are told to a trace."""

    def __init__(self, stages, trace: SessionTrace):
        self._inner = stages
        self._trace = trace

    def __getattr__(self, stage: str):
        call = getattr(self._inner, stage)

        async def observed(*arguments, **keywords):
            started_ns = time.time_ns()
            try:
                return await call(*arguments, **keywords)
            finally:
                self._trace.called(stage, started_ns)

        return observed
