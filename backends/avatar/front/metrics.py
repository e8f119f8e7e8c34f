"""What Prometheus sees of the sessions."""

import triton_python_backend_utils as pb_utils

from avatar.config import STAGES

STAGE_BUCKETS_MS = (1, 2, 5, 10, 15, 20, 25, 33, 50, 75, 100, 200, 500, 1000)
FIRST_FRAME_BUCKETS_S = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)


class Metrics:
    """Counts of this process; Triton adds them up over processes."""

    def __init__(self):
        # A family must live as long as its metrics.
        self._families = []
        self._stage_ms = {
            stage: self._metric(
                "avatar_stage_ms",
                "Milliseconds of one call of a stage",
                "HISTOGRAM",
                {"stage": stage},
                STAGE_BUCKETS_MS,
            )
            for stage in STAGES
        }
        self.sessions_active = self._metric("avatar_sessions_active", "Sessions that are open", "GAUGE")
        self.sessions = self._metric("avatar_sessions_total", "Sessions opened", "COUNTER")
        self.refused = self._metric(
            "avatar_sessions_refused_total", "Sessions refused because all places were taken", "COUNTER"
        )
        self.frames = self._metric("avatar_frames_total", "Frames sent", "COUNTER")
        self.failures = self._metric("avatar_failures_total", "Requests that ended with an error", "COUNTER")
        self.interrupts = self._metric("avatar_interrupts_total", "Interrupts", "COUNTER")
        self.first_frame_s = self._metric(
            "avatar_first_frame_seconds",
            "Seconds from a session's first audio to its first frame",
            "HISTOGRAM",
            {},
            FIRST_FRAME_BUCKETS_S,
        )

    def stage(self, stage: str, duration_ms: float) -> None:
        self._stage_ms[stage].observe(duration_ms)

    def _metric(self, name, description, kind, labels=None, buckets=None):
        known = dict(self._families)
        family = known.get(name)
        if family is None:
            family = pb_utils.MetricFamily(
                name=name, description=description, kind=getattr(pb_utils.MetricFamily, kind)
            )
            self._families.append((name, family))
        return (
            family.Metric(labels=labels or {}, buckets=list(buckets)) if buckets else family.Metric(labels=labels or {})
        )
