"""What Prometheus sees of the sessions; docs/metrics.md explains it."""

from dataclasses import dataclass

import triton_python_backend_utils as pb_utils

from avatar.config import STAGES

STAGE_BUCKETS_MS = (1, 2, 5, 10, 15, 20, 25, 33, 50, 75, 100, 200, 500, 1000)
FIRST_FRAME_BUCKETS_S = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
LATENCY_BUCKETS_S = (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.5, 1.0, 5.0)
INTERVAL_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.5, 1.0)
REST_BUCKETS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
CLOSE_REASONS = ("ended", "failed", "cancelled", "idle", "replaced")


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


class Metrics:
    """Values of this process; Triton adds them up over processes."""

    def __init__(self, limit: int):
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

    def _metric(self, name: str, **labels: str):
        family = self._families[name]
        buckets = FAMILIES[name].buckets
        return family.Metric(labels=labels, buckets=list(buckets)) if buckets else family.Metric(labels=labels)
