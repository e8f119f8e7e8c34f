"""What Prometheus sees of the sessions; docs/metrics.md explains it."""

import threading
import time
from collections import deque
from dataclasses import dataclass

import triton_python_backend_utils as pb_utils

from avatar.config import STAGES

STAGE_BUCKETS_MS = (1, 2, 5, 10, 15, 20, 25, 33, 50, 75, 100, 200, 500, 1000)
FIRST_FRAME_BUCKETS_S = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
LATENCY_BUCKETS_S = (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.5, 1.0, 5.0)
INTERVAL_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.5, 1.0)
REST_BUCKETS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
CLOSE_REASONS = ("ended", "failed", "cancelled", "idle", "replaced")

REPORT_S = 0.1
"""How long a change may wait before the page shows it."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its Prometheus name, kind and help text, and for a histogram the upper bounds of its buckets."""

    name: str
    kind: str
    description: str
    buckets: tuple[float, ...] = ()


FAMILIES = {
    family.name: family
    for family in (
        Family("avatar_sessions_active", "GAUGE", "Sessions that are open"),
        Family("avatar_sessions_limit", "GAUGE", "Sessions admitted at once"),
        Family("avatar_sessions_total", "COUNTER", "Sessions opened"),
        Family("avatar_sessions_refused_total", "COUNTER", "Sessions refused because all places were taken"),
        Family("avatar_sessions_closed_total", "COUNTER", "Sessions closed, by reason"),
        Family("avatar_failures_total", "COUNTER", "Requests that ended with an error"),
        Family("avatar_interrupts_total", "COUNTER", "Interrupts"),
        Family("avatar_frames_total", "COUNTER", "Frames sent, dropped ones included"),
        Family("avatar_frames_dropped_total", "COUNTER", "Frames sent without their picture to keep real time"),
        Family("avatar_frames_late_total", "COUNTER", "Frames sent more than 0.1 s after they were due"),
        Family("avatar_audio_seconds_total", "COUNTER", "Seconds of audio received"),
        Family("avatar_audio_lag_seconds", "GAUGE", "Audio beyond the look-ahead without frames yet, longest session"),
        Family("avatar_stage_ms", "HISTOGRAM", "Milliseconds of one call of a stage", STAGE_BUCKETS_MS),
        Family(
            "avatar_first_frame_seconds",
            "HISTOGRAM",
            "Seconds from a session's first audio to its first frame",
            FIRST_FRAME_BUCKETS_S,
        ),
        Family(
            "avatar_frame_latency_seconds",
            "HISTOGRAM",
            "Seconds from when a frame was due to when it was sent",
            LATENCY_BUCKETS_S,
        ),
        Family(
            "avatar_frame_interval_seconds", "HISTOGRAM", "Seconds between the frames of a session", INTERVAL_BUCKETS_S
        ),
        Family(
            "avatar_interrupt_to_rest_seconds",
            "HISTOGRAM",
            "Seconds from an interrupt to the frame at rest",
            REST_BUCKETS_S,
        ),
    )
}


class Reporter:
    """Tells Triton of changes, on a thread of its own.

    Every call into Triton waits for the server: 0.05 ms where it is idle, up to 9 ms where all cores are busy.
    No frame may wait for that, and a session makes a dozen such calls a frame.
    """

    def __init__(self):
        self._changes: deque[tuple] = deque()
        self._is_news, self._is_over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def tell(self, metric, kind: str, value: float) -> None:
        """Does `metric.<kind>(value)` soon."""
        self._changes.append((metric, kind, value))
        self._is_news.set()

    def close(self) -> None:
        """Reports what is left, then ends."""
        self._is_over = True
        self._is_news.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over:
            self._is_news.wait()
            if not self._is_over:
                time.sleep(REPORT_S)
            self._is_news.clear()
            self._report()
        self._report()

    def _report(self) -> None:
        sums: dict = {}
        for _ in range(len(self._changes)):
            metric, kind, value = self._changes.popleft()
            if kind == "increment":
                sums[metric] = sums.get(metric, 0) + value
            else:
                getattr(metric, kind)(value)
        for metric, value in sums.items():
            metric.increment(value)


@dataclass(frozen=True, slots=True)
class Reported:
    """A metric of Triton's whose changes go through the reporter."""

    metric: object
    reporter: Reporter

    def increment(self, value: float) -> None:
        self.reporter.tell(self.metric, "increment", value)

    def set(self, value: float) -> None:
        self.reporter.tell(self.metric, "set", value)

    def observe(self, value: float) -> None:
        self.reporter.tell(self.metric, "observe", value)


class Metrics:
    """Values of this process; Triton adds them up over processes."""

    def __init__(self, limit: int):
        self._reporter = Reporter()
        # A family must live as long as its metrics.
        self._families = {
            family.name: pb_utils.MetricFamily(
                name=family.name, description=family.description, kind=getattr(pb_utils.MetricFamily, family.kind)
            )
            for family in FAMILIES.values()
        }
        self._stage_ms = {stage: self._metric("avatar_stage_ms", stage=stage) for stage in STAGES}
        self._closed = {reason: self._metric("avatar_sessions_closed_total", reason=reason) for reason in CLOSE_REASONS}
        self.sessions_active = self._metric("avatar_sessions_active")
        self.sessions = self._metric("avatar_sessions_total")
        self.refused = self._metric("avatar_sessions_refused_total")
        self.failures = self._metric("avatar_failures_total")
        self.interrupts = self._metric("avatar_interrupts_total")
        self.frames = self._metric("avatar_frames_total")
        self.dropped = self._metric("avatar_frames_dropped_total")
        self.late = self._metric("avatar_frames_late_total")
        self.audio_s = self._metric("avatar_audio_seconds_total")
        self.audio_lag_s = self._metric("avatar_audio_lag_seconds")
        self.first_frame_s = self._metric("avatar_first_frame_seconds")
        self.frame_latency_s = self._metric("avatar_frame_latency_seconds")
        self.frame_interval_s = self._metric("avatar_frame_interval_seconds")
        self.rest_s = self._metric("avatar_interrupt_to_rest_seconds")
        self._metric("avatar_sessions_limit").set(limit)

    def stage(self, stage: str, duration_ms: float) -> None:
        self._stage_ms[stage].observe(duration_ms)

    def closed(self, reason: str) -> None:
        """reason: one of CLOSE_REASONS."""
        self._closed[reason].increment(1)

    def close(self) -> None:
        """Nothing is counted any more."""
        self._reporter.close()

    def _metric(self, name: str, **labels: str) -> Reported:
        family = self._families[name]
        buckets = {"buckets": list(FAMILIES[name].buckets)} if FAMILIES[name].buckets else {}
        return Reported(family.Metric(labels=labels, **buckets), self._reporter)
