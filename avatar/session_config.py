"""What a client may choose for a session, read from request parameters."""

import re
from dataclasses import dataclass, fields

from avatar.config import FRAME_RATES, SIZES
from avatar.emotion import EMOTIONS
from avatar.errors import InvalidParameterError

ENCODINGS = ("raw", "jpeg", "h264")
LOOKAHEADS_MS = (200, 80)
"""80 answers sooner: the lips prepare a sound later, and the networks run two and a half times as often."""
EVENTS = ("interrupt", "keyframe", "close")
AVATAR_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
IN_STREAM = ("emotion", "emotion_intensity", "event")
"""Parameters that any request of a session may carry, not only the first."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Attributes:
    sample_rate_hz: rate of the PCM the client sends and gets back (parameter `sample_rate`), 8000 to 48000.
    avatar: name of a folder under `avatars/`.
    fps: frames a second.
    encoding: `raw` pictures in FRAME, or `jpeg` / `h264` bytes in PACKET.
    size: width and height in pixels.
    alpha: RGBA frames without a background.
    lookahead_ms: audio that must follow a frame's own time before the frame is made.
    emotion, emotion_intensity: one of `avatar.emotion.EMOTIONS`, and 0 to 1.
    seed: of blinks, gaze and sway; the same seed and audio give the same frames.
    traceparent: W3C trace context; the server makes spans of the session in this trace, if it traces at all.
    live: keep real time; frames leave at the pace at which they are shown, those that the server cannot make in time
        without their picture.
    """

    sample_rate_hz: int = 16_000
    avatar: str = "default"
    fps: int = 30
    encoding: str = "raw"
    size: int = 512
    alpha: bool = False
    lookahead_ms: int = 200
    emotion: str = "neutral"
    emotion_intensity: float = 1.0
    seed: int = 0
    live: bool = False
    traceparent: str = ""

    def __post_init__(self):
        _require(8000 <= self.sample_rate_hz <= 48000, "sample_rate", "8000 to 48000 Hz", self.sample_rate_hz)
        is_name = bool(AVATAR_NAME.fullmatch(self.avatar))
        _require(is_name, "avatar", "a name of a-z, 0-9, _ and -, at most 64 characters", self.avatar)
        _one_of("fps", self.fps, FRAME_RATES)
        _one_of("encoding", self.encoding, ENCODINGS)
        _one_of("size", self.size, SIZES)
        _one_of("lookahead_ms", self.lookahead_ms, LOOKAHEADS_MS)
        _one_of("emotion", self.emotion, EMOTIONS)
        _require(0 <= self.emotion_intensity <= 1, "emotion_intensity", "0 to 1", self.emotion_intensity)
        _require(0 <= self.seed < 2**63, "seed", "0 to 2^63 - 1", self.seed)
        is_trace = not self.traceparent or bool(TRACEPARENT.fullmatch(self.traceparent))
        _require(is_trace, "traceparent", "00-<32 hex digits>-<16 hex digits>-<2 hex digits>", self.traceparent)
        _require(not (self.alpha and self.encoding != "raw"), "alpha", "false unless encoding is raw", self.alpha)

    @classmethod
    def from_parameters(cls, parameters: dict[str, str | int | float | bool]) -> "SessionConfig":
        """Builds the configuration from the first request's parameters.

        Raises:
            InvalidParameterError: a name is unknown, a type is wrong or a value is out of range.
        """
        types = {field.name: field.type for field in fields(cls)}
        values = {}
        for name, value in parameters.items():
            if name == "event":
                continue
            key = "sample_rate_hz" if name == "sample_rate" else name
            if key not in types or name == "sample_rate_hz":
                known = sorted("sample_rate" if field == "sample_rate_hz" else field for field in types)
                raise InvalidParameterError(f"parameter {name!r} is unknown; known are {', '.join([*known, 'event'])}")
            values[key] = _cast(name, value, types[key])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class InStream:
    """What any request of a session may say: None where it says nothing."""

    emotion: str | None = None
    emotion_intensity: float | None = None
    event: str | None = None

    @classmethod
    def from_parameters(cls, parameters: dict[str, str | int | float | bool]) -> "InStream":
        """Reads the in-stream parameters of a request that is not the session's first.

        Raises:
            InvalidParameterError: a parameter belongs on the first request, is unknown, or is out of range.
        """
        for name in parameters:
            if name not in IN_STREAM:
                raise InvalidParameterError(
                    f"parameter {name!r} may only stand on the first request of a session; "
                    f"later ones take {', '.join(IN_STREAM)}"
                )
        return cls.of(parameters)

    @classmethod
    def of(cls, parameters: dict[str, str | int | float | bool]) -> "InStream":
        """As `from_parameters`, ignoring what belongs on the first request."""
        emotion, intensity, event = (parameters.get(name) for name in IN_STREAM)
        if emotion is not None:
            _one_of("emotion", emotion, EMOTIONS)
        if intensity is not None:
            intensity = _cast("emotion_intensity", intensity, float)
            _require(0 <= intensity <= 1, "emotion_intensity", "0 to 1", intensity)
        if event is not None:
            _one_of("event", event, EVENTS)
        return cls(emotion, intensity, event)


def _cast(name, value, kind):
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind in (int, float) and isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            pass
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidParameterError(f"parameter {name!r} must be {kind.__name__}, got {value!r}")
    return value


def _require(holds: bool, name: str, rule: str, value) -> None:
    if not holds:
        raise InvalidParameterError(f"parameter {name!r} must be {rule}, got {value!r}")


def _one_of(name: str, value, choices) -> None:
    _require(value in choices, name, f"one of {', '.join(map(str, choices))}", value)
