"""Configuration: frozen dataclasses whose defaults run on a laptop without a GPU."""

from dataclasses import dataclass

STAGES = ("audio_encoder", "motion", "rasterizer", "enhancer", "stabilizer")
"""The five stages in the order a frame passes them: folders, models, metrics, CLI and Helm use these names."""

SAMPLE_RATE_HZ = 16_000
"""Rate of the audio inside the pipeline."""

FEATURE_RATE_HZ = 50
"""Rate of Wav2Vec2 features and of the motion track."""

FEATURE_HOP_SAMPLES = SAMPLE_RATE_HZ // FEATURE_RATE_HZ
FEATURE_MS = 1000 // FEATURE_RATE_HZ

FRAME_RATES = (25, 30, 50, 60)
SIZES = (512, 256)
BLENDSHAPE_COUNT = 52
VISEME_COUNT = 20
LANDMARK_COUNT = 68
FACE_MESH_COUNT = 478
"""Points of MediaPipe's face mesh with irises."""

FRAME_SIZE = 512
"""Width and height in pixels of the pictures that stages exchange."""


ENCODED_MS = 800
"""Of a window, what `audio_encoder` sees again where the window before it was analyzed."""

DENSE_WINDOW_MS, DENSE_ENCODED_MS = 800, 500
"""Length of windows that come more often than by default, for the motion network a multiple of 100, and what is encoded
of it again."""

DENSE_SLACK_MS = 10
"""Of those, whose look-ahead is too short to give more of it away."""


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """Where the analysis windows lie on the session's audio clock.

    Attributes:
        window_ms: length of one window.
        hop_ms: distance of two windows; smaller costs more and looks further ahead on average.
        lookahead_ms: audio after a frame's own time that must be there before the frame is due.
        slack_ms: how long before any of its frames is due a window is complete, at least: the time of the networks and
            of the frame's own stages. What is not slack, the networks see.
        encoded_ms: of the end of a window, what `audio_encoder` sees where it saw the window before, too; the features
            of what lies before that stand.
    """

    window_ms: int = 1500
    hop_ms: int = 100
    lookahead_ms: int = 200
    slack_ms: int = 30
    encoded_ms: int = ENCODED_MS

    def __post_init__(self):
        for name in ("window_ms", "hop_ms", "lookahead_ms", "encoded_ms"):
            value = getattr(self, name)
            if value <= 0 or value % FEATURE_MS:
                raise ValueError(f"{name} must be a positive multiple of {FEATURE_MS}, got {value}")
        if self.slack_ms < 0 or (self.slack_ms + FEATURE_MS // 2) % FEATURE_MS:
            raise ValueError(f"slack_ms must be an odd multiple of {FEATURE_MS // 2}, got {self.slack_ms}")
        if not self.hop_ms < self.encoded_ms <= self.window_ms:
            raise ValueError(
                f"encoded_ms must be above hop_ms and at most window_ms, {self.hop_ms} and {self.window_ms}, "
                f"got {self.encoded_ms}"
            )
        shortest_ms = self.hop_ms + self.slack_ms + FEATURE_MS * 3 // 2
        if self.lookahead_ms < shortest_ms:
            raise ValueError(
                f"lookahead_ms must be at least hop_ms + slack_ms + {FEATURE_MS * 3 // 2} = {shortest_ms}, "
                f"got {self.lookahead_ms}"
            )

    @classmethod
    def for_lookahead(cls, lookahead_ms: int) -> "WindowConfig":
        """Windows dense enough that two neighbors overlap in the rows that are taken from them; shorter ones where they
        come more often, since every one costs its length."""
        hop_ms = min(cls().hop_ms, lookahead_ms // 2)
        if hop_ms == cls().hop_ms:
            return cls(lookahead_ms=lookahead_ms)
        return cls(DENSE_WINDOW_MS, hop_ms, lookahead_ms, DENSE_SLACK_MS, DENSE_ENCODED_MS)

    @property
    def window_samples(self) -> int:
        return self.window_ms * SAMPLE_RATE_HZ // 1000

    @property
    def encoded_samples(self) -> int:
        return self.encoded_ms * SAMPLE_RATE_HZ // 1000

    @property
    def hop_samples(self) -> int:
        return self.hop_ms * SAMPLE_RATE_HZ // 1000

    @property
    def window_rows(self) -> int:
        """Feature and motion rows of one window."""
        return self.window_samples // FEATURE_HOP_SAMPLES

    @property
    def hop_rows(self) -> int:
        return self.hop_samples // FEATURE_HOP_SAMPLES

    @property
    def lead_rows(self) -> int:
        """A window settles the `hop_rows` rows that begin so many before its end.

        A frame just after the center of the row before them needs this window, which ends `lead_rows` and a half rows
        later, and is due `lookahead_ms` later: the difference is `slack_ms`.
        """
        return (self.lookahead_ms - self.slack_ms - FEATURE_MS // 2) // FEATURE_MS

    @property
    def first_rows(self) -> int:
        """Where the first window ends: it settles row 0 and none after it."""
        return self.lead_rows - self.hop_rows + 1

    def end_samples(self, index: int) -> int:
        """Where window `index` ends."""
        return (self.first_rows + index * self.hop_rows) * FEATURE_HOP_SAMPLES

    def complete(self, samples: int) -> int:
        """How many windows have ended after so many samples."""
        return max(0, (samples - self.end_samples(0)) // self.hop_samples + 1)
