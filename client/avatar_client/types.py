"""What goes into a session and what comes out of it, as plain frozen data."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from avatar_client.errors import InvalidRequest

Encoding = Literal["raw", "jpeg", "h264"]
Output = Literal["image", "audio", "blendshapes", "pose", "landmarks", "face_mesh", "viseme", "state"]

ENCODINGS: tuple[str, ...] = get_args(Encoding)
OUTPUTS: tuple[str, ...] = get_args(Output)
DEFAULT_OUTPUTS: tuple[Output, ...] = ("image", "audio", "state")

MINIMUM_SAMPLE_RATE_HZ = 8_000
MAXIMUM_SAMPLE_RATE_HZ = 48_000


class State(IntEnum):
    """What the avatar does in a frame."""

    IDLE = 0
    SPEAKING = 1
    INTERRUPTED = 2


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a session. What was not asked for is None. Arrays are read-only views of the received message.

    Attributes:
        image: [height, width, 3 or 4] uint8, RGB or straight-alpha RGBA, row-major, origin top left; `encoding="raw"`.
        packet: one JPEG image, or the H.264 access units of this frame; the other encodings.
        index: frame number on the server, from 0. It skips only what `interrupt()` dropped.
        pts_s: presentation time on the session's audio clock, seconds.
        audio: [samples] int16 mono, the slice of the sent audio that belongs to this frame, at the sent rate.
        blendshapes: [52] float32 in [0, 1], ARKit coefficients in Apple's order.
        pose: [6] float32, head rotation (rad, axis-angle x y z), then translation (m).
        landmarks: [68, 2] float32, iBUG-68, pixels in the frame (x, y).
        face_mesh: [478, 3] float32, MediaPipe's face mesh with irises: pixels in the frame (x, y), and how far behind
            the mean of the points each lies at the same scale (smaller is nearer).
        viseme: [20] float32, probabilities.
        state: whether the avatar idles, speaks or was interrupted.
        received_s: when it and all frames before it had arrived, on the clock of `time.monotonic()`.
    """

    image: NDArray[np.uint8] | None
    packet: bytes | None
    index: int
    pts_s: float
    audio: NDArray[np.int16] | None
    blendshapes: NDArray[np.float32] | None
    pose: NDArray[np.float32] | None
    landmarks: NDArray[np.float32] | None
    face_mesh: NDArray[np.float32] | None
    viseme: NDArray[np.float32] | None
    state: State | None
    received_s: float


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session asks the server for. None leaves the choice to the server, which also judges the values.

    Attributes:
        avatar: name of an installed avatar.
        fps: frames per second: 25, 30, 50 or 60.
        sample_rate_hz: rate of the PCM that will be sent, 8000 to 48000.
        outputs: what each frame shall carry; the server computes nothing else.
        encoding: how pictures travel: `raw` RGB, `jpeg`, or `h264`.
        size: width and height of the picture in pixels: 512 or 256.
        alpha: RGBA pictures without the background.
        lookahead_ms: audio after a frame's time that the server waits for: 200, or 80 where it offers that.
        emotion: name of an emotion; may be changed during the session.
        emotion_intensity: 0 to 1; may be changed during the session.
        seed: seed of blinks and small head motion.
        traceparent: W3C trace context, for a server that traces sessions.
        live: the server keeps real time: frames come one by one, at the pace at which they are shown; pictures that it
            cannot make in time are left out (`image` is None then).
    """

    avatar: str | None = None
    fps: int = 30
    sample_rate_hz: int = 16_000
    outputs: tuple[Output, ...] = field(default=DEFAULT_OUTPUTS)
    encoding: Encoding = "raw"
    size: int | None = None
    alpha: bool | None = None
    lookahead_ms: int | None = None
    emotion: str | None = None
    emotion_intensity: float | None = None
    seed: int | None = None
    live: bool | None = None
    traceparent: str | None = None

    def __post_init__(self):
        for name in ("fps", "sample_rate_hz"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise InvalidRequest(f"{name} must be an int, got {value!r}")
        if self.fps <= 0:
            raise InvalidRequest(f"fps must be positive, got {self.fps}")
        if not MINIMUM_SAMPLE_RATE_HZ <= self.sample_rate_hz <= MAXIMUM_SAMPLE_RATE_HZ:
            raise InvalidRequest(
                f"sample_rate_hz must be {MINIMUM_SAMPLE_RATE_HZ} to {MAXIMUM_SAMPLE_RATE_HZ}, "
                f"got {self.sample_rate_hz}; resample the audio before sending it"
            )
        if self.encoding not in ENCODINGS:
            raise InvalidRequest(f"encoding must be one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if isinstance(self.outputs, str):
            raise InvalidRequest(f"outputs must be a sequence of names, got the string {self.outputs!r}")
        object.__setattr__(self, "outputs", tuple(self.outputs))
        unknown = [name for name in self.outputs if name not in OUTPUTS]
        if unknown:
            raise InvalidRequest(f"outputs must be among {', '.join(OUTPUTS)}, got {unknown[0]!r}")

    def request_parameters(self) -> dict[str, str | int | float | bool]:
        """The parameters of the session's first request, by their names on the wire."""
        values = {
            "sample_rate": int(self.sample_rate_hz),
            "fps": int(self.fps),
            "encoding": self.encoding,
            "avatar": self.avatar,
            "size": self.size,
            "alpha": self.alpha,
            "lookahead_ms": self.lookahead_ms,
            "emotion": self.emotion,
            "emotion_intensity": None if self.emotion_intensity is None else float(self.emotion_intensity),
            "seed": self.seed,
            "live": self.live,
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in values.items() if value is not None}
