"""One session close to the wire: every response with the time of its arrival, stale frames included."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field

import grpc
import grpc.aio
import numpy as np
from avatar_client import wire
from tritonclient.grpc import service_pb2_grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Attributes:
    request: number of the request that it answers, -1 if the server names none.
    index, pts_s, state, samples, has_picture: of the frame; index is None in an empty final response and an error.
    error: the server's words, None if there are none.
    is_final: whether it is the request's last.
    at_s: `time.monotonic()` of its arrival.
    """

    request: int
    index: int | None
    pts_s: float
    state: int
    samples: int
    has_picture: bool
    error: str | None
    is_final: bool
    at_s: float


@dataclass(eq=False)
class WireSession:
    """A session on a stream of its own; to be made inside an event loop.

    Attributes:
        arrivals: all responses so far, without their pictures.
        sent_at_s: when each request was sent, by its number.
        code, ended_at_s: status of the stream, and when it came; None before it has ended.
    """

    channel: grpc.aio.Channel
    outputs: tuple[str, ...]
    parameters: dict
    arrivals: list[Arrival] = field(default_factory=list)
    sent_at_s: list[float] = field(default_factory=list)
    code: grpc.StatusCode | None = None
    details: str = ""
    ended_at_s: float | None = None

    def __post_init__(self):
        self.session_id = uuid.uuid4().hex
        self._outgoing: asyncio.Queue = asyncio.Queue()
        self._changed = asyncio.Event()
        self.call = service_pb2_grpc.GRPCInferenceServiceStub(self.channel).ModelStreamInfer(self._requests())
        self._reader = asyncio.create_task(self._read())

    def send(self, pcm=(), *, start=False, end=False, parameters=None) -> int:
        """Sends [N] int16; returns the number of the request."""
        number = len(self.sent_at_s)
        request = wire.build_request(
            model="avatar", session_id=self.session_id, number=number, pcm=np.asarray(pcm, np.int16),
            outputs=self.outputs, start=start, end=end, parameters=self.parameters if start else parameters,
        )  # fmt: skip
        self.sent_at_s.append(time.monotonic())
        self._outgoing.put_nowait(request)
        if end:
            self._outgoing.put_nowait(None)
        return number

    async def until(self, condition, timeout_s: float = 60.0) -> None:
        """Waits until `condition()` holds; looks after each response.

        Raises:
            TimeoutError: it did not hold in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"waited {timeout_s:g} s; last {self.arrivals[-1:]}, {self.code} {self.details}")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), min(left_s, 1.0))
            except asyncio.TimeoutError:
                continue

    def finals(self) -> int:
        return sum(arrival.is_final for arrival in self.arrivals)

    async def finish(self, timeout_s: float = 60.0) -> None:
        """Waits for the answer to every request and for the stream's end."""
        await self.until(lambda: self.finals() >= len(self.sent_at_s) or self.code is not None, timeout_s)
        self._outgoing.put_nowait(None)
        await asyncio.wait({self._reader}, timeout=5)

    async def _requests(self):
        while (request := await self._outgoing.get()) is not None:
            yield request

    async def _read(self) -> None:
        try:
            async for message in self.call:
                self.arrivals.append(_understood(message, time.monotonic()))
                self._changed.set()
            self.code = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            self.code, self.details = error.code(), error.details() or ""
        except asyncio.CancelledError:
            self.code = grpc.StatusCode.CANCELLED
        self.ended_at_s = time.monotonic()
        self._changed.set()


def _understood(message, at_s: float) -> Arrival:
    response, error = message.infer_response, message.error_message or None
    frame = None if error else wire.parse_frame(response, at_s)
    return Arrival(
        request=int(response.id or -1),
        index=None if frame is None else frame.index,
        pts_s=frame.pts_s if frame else 0.0,
        state=int(frame.state or 0) if frame else 0,
        samples=frame.audio.size if frame and frame.audio is not None else 0,
        has_picture=frame is not None and (frame.image is not None or frame.packet is not None),
        error=error,
        is_final=bool(error) or wire.is_final(response),
        at_s=at_s,
    )
