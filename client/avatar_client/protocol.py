"""The rules of one session, without any input or output: what may be sent when, and what a response means.

`Session` and `AsyncSession` both drive this object. It bounds memory in both directions:

* audio on the wire whose frames the caller has not taken yet stays under `max_ahead_s`, so at most that much (plus the
  look-ahead) is ever made or received ahead, and an interruption has little to drop;
* audio the caller has handed over but that is not on the wire yet stays under `max_queued_s`.

It also puts responses back in order: Triton keeps the order within one request, but responses of the next request of
the same stream may overtake the last ones of this.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from avatar_client import wire
from avatar_client.errors import AvatarClientError, InvalidRequest, SessionClosed, from_stream_message
from avatar_client.types import Frame, SessionOptions

MAXIMUM_REQUESTS_IN_FLIGHT = 32
"""Beyond it, chunks are joined: a caller that sends single samples must not cost a request for each."""


@dataclass(frozen=True, slots=True)
class Flow:
    """How much may be under way.

    Attributes:
        max_ahead_s: audio sent whose frames the caller has not taken yet. At least the look-ahead plus 0.2 s; more
            gives throughput, less makes `interrupt()` quicker.
        max_queued_s: audio accepted by `send()` that waits for its turn; `send()` blocks beyond it.
        max_chunk_s: longest audio of one request.
    """

    max_ahead_s: float = 0.6
    max_queued_s: float = 600.0
    max_chunk_s: float = 0.2

    def __post_init__(self):
        for name in ("max_ahead_s", "max_queued_s", "max_chunk_s"):
            if not getattr(self, name) > 0:
                raise InvalidRequest(f"{name} must be positive, got {getattr(self, name)}")
        if self.max_chunk_s > self.max_ahead_s:
            raise InvalidRequest(
                f"max_chunk_s must be at most max_ahead_s = {self.max_ahead_s}, got {self.max_chunk_s}"
            )


@dataclass(frozen=True, slots=True)
class _Command:
    parameters: Mapping[str, str | float]
    end: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One response, understood.

    Attributes:
        number: the request it answers.
        frame: None in an empty final response, an error, and for what an interruption dropped.
        final: whether it is the last one of its request.
        error: why the session failed.
    """

    number: int
    frame: Frame | None = None
    final: bool = False
    error: AvatarClientError | None = None


class SessionProtocol:
    """State of one session. Not thread-safe: the driver holds its own lock."""

    def __init__(self, options: SessionOptions, flow: Flow, *, model: str, session_id: str):
        self._options = options
        self._model = model
        self._session_id = session_id
        self._tensors = wire.requested_tensors(options)
        rate_hz = options.sample_rate_hz
        self._ahead_samples = max(1, round(flow.max_ahead_s * rate_hz))
        self._queue_samples = max(1, round(flow.max_queued_s * rate_hz))
        self._chunk_samples = max(1, round(flow.max_chunk_s * rate_hz))
        self._outbox: deque[NDArray[np.int16] | _Command] = deque()
        self._queued_samples = 0
        self._in_flight: dict[int, int] = {}
        self._in_flight_samples = 0
        self._next_number = 0
        self._next_in_order = 0
        self._arrived: dict[int, deque[Received]] = {}
        self._stale_below = 0
        self._end_number: int | None = None
        self._ended = False
        self._latest_s = 0.0
        self.played_s = 0.0

    @property
    def ended(self) -> bool:
        """Whether `end()` was called."""
        return self._ended

    @property
    def end_sent(self) -> bool:
        return self._end_number is not None

    @property
    def finished(self) -> bool:
        """Whether the last response of the last request has been taken."""
        return self._end_number is not None and not self._in_flight

    @property
    def waiting(self) -> bool:
        """Whether the server owes a response."""
        return bool(self._in_flight)

    def has_room(self) -> bool:
        """Whether `push` may be called: the queue is below its limit."""
        return self._queued_samples < self._queue_samples

    def start(self) -> service_pb2.ModelInferRequest:
        """The session's first request: all parameters, no audio. Its final response means that it was accepted."""
        return self._request(np.zeros(0, np.int16), start=True, parameters=self._options.request_parameters())

    def push(self, pcm: NDArray[np.int16]) -> None:
        """Queues audio. An empty chunk is allowed and sends nothing."""
        self._refuse_after_end("send audio")
        if pcm.size:
            self._outbox.append(pcm)
            self._queued_samples += pcm.size

    def update(self, parameters: Mapping[str, str | float]) -> None:
        """Queues a change that takes effect after the audio queued so far."""
        self._refuse_after_end("change parameters")
        self._outbox.append(_Command(parameters))

    def interrupt(self) -> None:
        """Drops queued audio and every frame not taken yet, and tells the server to ease to rest."""
        self._stale_below = self._next_number
        # What is said next must not wait for the answers to what was dropped.
        self._in_flight = dict.fromkeys(self._in_flight, 0)
        self._in_flight_samples = 0
        commands = [item for item in self._outbox if isinstance(item, _Command)]
        self._queued_samples = 0
        self._outbox.clear()
        if not self.end_sent:
            ends = [item for item in commands if item.end]
            self._outbox.extend(item for item in commands if not item.end)
            self._outbox.append(_Command({"event": "interrupt"}))
            self._outbox.extend(ends)

    def end(self) -> None:
        """Queues the end of the session; a second call does nothing."""
        if not self._ended:
            self._ended = True
            self._outbox.append(_Command({}, end=True))

    def requests(self) -> Iterator[service_pb2.ModelInferRequest]:
        """Yields what may be sent now. To be called after every change and every final response."""
        while self._outbox:
            head = self._outbox[0]
            if isinstance(head, _Command):
                self._outbox.popleft()
                yield self._request(np.zeros(0, np.int16), end=head.end, parameters=head.parameters)
            elif self._may_send_audio():
                yield self._request(self._next_chunk())
            else:
                return

    def receive(self, response: service_pb2.ModelStreamInferResponse, received_s: float) -> None:
        """Takes in one response in whatever order it came; `next_received` hands it out in its turn.

        Raises:
            AvatarClientError: the response makes no sense, or is an error that names no request.
        """
        infer, message = response.infer_response, response.error_message
        error = from_stream_message(message) if message else None
        if error is not None and not infer.id:
            raise error
        number = int(infer.id)
        frame = None if error else wire.parse_frame(infer, received_s)
        self._arrived.setdefault(number, deque()).append(
            Received(number, frame, error is not None or wire.is_final(infer), error)
        )

    def next_received(self) -> Received | None:
        """The next response in order, or None until more has arrived. A final one gives its request's credit back."""
        arrived = self._arrived.get(self._next_in_order)
        if not arrived:
            return None
        received = arrived.popleft()
        if received.final:
            del self._arrived[received.number]
            self._in_flight_samples -= self._in_flight.pop(received.number, 0)
            self._next_in_order += 1
        if received.number < self._stale_below:
            return replace(received, frame=None)
        frame = received.frame
        if frame is None:
            return received
        self.played_s = frame.pts_s + 1 / self._options.fps
        # A frame that overtook another is of use only from when that one is there.
        self._latest_s = max(self._latest_s, frame.received_s)
        return replace(received, frame=replace(frame, received_s=self._latest_s))

    def _may_send_audio(self) -> bool:
        if self._in_flight_samples == 0:
            return True
        room = self._ahead_samples - self._in_flight_samples
        return len(self._in_flight) < MAXIMUM_REQUESTS_IN_FLIGHT and room >= min(
            self._queued_samples, self._chunk_samples
        )

    def _next_chunk(self) -> NDArray[np.int16]:
        """Takes up to one chunk from the front of the outbox, joining what lies together there."""
        parts, missing = [], self._chunk_samples
        while missing and self._outbox and not isinstance(head := self._outbox[0], _Command):
            self._outbox.popleft()
            parts.append(head[:missing])
            if head.size > missing:
                self._outbox.appendleft(head[missing:])
            missing -= parts[-1].size
        chunk = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._queued_samples -= chunk.size
        return chunk

    def _request(self, pcm, *, start=False, end=False, parameters=None) -> service_pb2.ModelInferRequest:
        number = self._next_number
        self._next_number += 1
        self._in_flight[number] = pcm.size
        self._in_flight_samples += pcm.size
        if end:
            self._end_number = number
        return wire.build_request(
            model=self._model, session_id=self._session_id, number=number, pcm=pcm,
            outputs=self._tensors, start=start, end=end, parameters=parameters,
        )  # fmt: skip

    def release_request(self) -> service_pb2.ModelInferRequest:
        """Frees the server's place of this session, for a stream of its own.

        It starts the sequence anew because Triton takes no END of a sequence that it has given up itself, as it does
        where the END was cancelled with its stream; the model has not heard of that.
        """
        return wire.build_request(
            model=self._model, session_id=self._session_id, number=self._next_number,
            pcm=np.zeros(0, np.int16), outputs=self._tensors, start=True, end=True, parameters={"event": "close"},
        )  # fmt: skip

    def _refuse_after_end(self, action: str) -> None:
        if self._ended:
            raise SessionClosed(f"cannot {action} after end(); open a new session")
