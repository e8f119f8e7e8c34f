"""One session for callers with an event loop: the same as `session.py`."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from avatar_client.channel import Connection
from avatar_client.errors import (
    AvatarClientError,
    DeadlineExceeded,
    SessionClosed,
    SessionLost,
    explain,
    holds_slot,
    not_admitted,
)
from avatar_client.pcm import PCM, to_int16
from avatar_client.protocol import Flow, SessionProtocol
from avatar_client.types import Frame, SessionOptions

_END_OF_REQUESTS = None


class AsyncSession:
    """One talking head, made by `AsyncAvatarClient.open_session`. Tasks may send and control while one iterates."""

    def __init__(
        self,
        stub: service_pb2_grpc.GRPCInferenceServiceStub,
        connection: Connection,
        options: SessionOptions,
        flow: Flow,
        *,
        response_timeout_s: float,
    ):
        self.options = options
        self.session_id = uuid.uuid4().hex
        self._stub = stub
        self._connection = connection
        self._response_timeout_s = response_timeout_s
        self._protocol = SessionProtocol(options, flow, model=connection.model, session_id=self.session_id)
        self._changed = asyncio.Condition()
        self._outgoing: asyncio.Queue = asyncio.Queue()
        self._failure: Exception | None = None
        self._closed = False
        self._started = False
        self._streaming = True
        self._reading: asyncio.Task | None = None
        self._feeding: asyncio.Task | None = None
        self._call = stub.ModelStreamInfer(self._requests(), metadata=connection.metadata)

    @property
    def ended(self) -> bool:
        """Whether `end()` was called."""
        return self._protocol.ended

    async def send(self, pcm: PCM, timeout_s: float | None = None) -> None:
        """Hands audio over; waits while `Flow.max_queued_s` of audio is waiting already. As `Session.send`."""
        samples = to_int16(pcm)
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(self._may_push), timeout_s)
            except asyncio.TimeoutError:
                raise DeadlineExceeded(
                    f"no room for more audio within {timeout_s:g} s; take frames from the session"
                ) from None
            self._raise_if_unusable()
            self._protocol.push(samples)
            self._pump()

    async def interrupt(self) -> float:
        """Drops everything not played yet; returns the seconds that were. As `Session.interrupt`."""
        self._raise_if_unusable()
        self._protocol.interrupt()
        self._pump()
        await self._notify()
        return self._protocol.played_s

    async def set_emotion(self, emotion: str, intensity: float = 1.0) -> None:
        """Changes the emotion from the audio sent next; intensity 0 to 1."""
        self._raise_if_unusable()
        self._protocol.update({"emotion": emotion, "emotion_intensity": float(intensity)})
        self._pump()

    async def end(self) -> None:
        """Says that no more audio comes. The frames still due follow, then iteration stops."""
        if not self._protocol.ended:
            self._raise_if_unusable()
            self._protocol.end()
            self._pump()

    async def stream(self, chunks: Iterable[PCM] | AsyncIterable[PCM]) -> AsyncIterator[Frame]:
        """Sends the chunks from a task of its own, ends the session, and yields its frames meanwhile."""
        self._feeding = asyncio.ensure_future(self._feed(chunks))
        try:
            async for frame in self:
                yield frame
        finally:
            self._feeding.cancel()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        """The next frame, as soon as it is there; raises as `Session.__next__`."""
        while True:
            if self._protocol.finished:
                await self.close()
                raise StopAsyncIteration
            try:
                frame = await self._take(self._response_timeout_s)
            except SessionClosed:
                raise StopAsyncIteration from None
            if frame is not None:
                return frame

    async def close(self, timeout_s: float = 1.0) -> None:
        """Ends the session now; frames not taken are dropped. Safe to call at any time and more than once."""
        if self._closed:
            return
        self._closed = True
        alive = self._started and self._streaming and not self._protocol.finished
        if alive:
            self._protocol.interrupt()
            self._protocol.end()
            self._pump()
            await self._drain(timeout_s)
        if self._protocol.finished:
            await self._read_to_end(timeout_s)
        self._stop()
        # With its stream Triton cancels what it has not begun to answer, which may be the END.
        if alive and not self._protocol.finished:
            await self._free_slot()
        await self._notify()

    def __del__(self):
        if getattr(self, "_closed", True):
            return
        self._call.cancel()

    async def __aenter__(self) -> "AsyncSession":
        return self

    async def __aexit__(self, *_) -> None:
        await self.close()

    async def _open(self, timeout_s: float) -> None:
        self._outgoing.put_nowait(self._protocol.start())
        try:
            await self._take(timeout_s)
        except DeadlineExceeded as silence:
            ready = await model_is_ready_async(self._stub, self._connection, 2.0)
            self._failure = not_admitted(self._connection.address, ready, timeout_s)
            raise self._failure from silence
        self._started = True

    async def _requests(self):
        while (request := await self._outgoing.get()) is not _END_OF_REQUESTS:
            yield request

    def _may_push(self) -> bool:
        return self._closed or self._failure is not None or self._protocol.has_room()

    def _pump(self) -> None:
        for request in self._protocol.requests():
            self._outgoing.put_nowait(request)
        if self._protocol.end_sent:
            self._outgoing.put_nowait(_END_OF_REQUESTS)

    async def _take(self, timeout_s: float) -> Frame | None:
        """The frame of the next response, or None where it carries none. Waits without limit while nothing is owed."""
        while (received := self._protocol.next_received()) is None:
            await self._accept_one(timeout_s)
        if received.final:
            self._pump()
            await self._notify()
        if received.error is not None:
            raise await self._fail(received.error)
        return received.frame

    async def _accept_one(self, timeout_s: float) -> None:
        try:
            response = await self._next_response(timeout_s)
        except grpc.RpcError as error:
            raise await self._fail(explain(error, self._connection.address, started=self._started)) from error
        if response is grpc.aio.EOF:
            raise await self._fail(
                SessionLost("the server closed the stream before the session had ended; open a new one")
            )
        try:
            self._protocol.receive(response, time.monotonic())
        except AvatarClientError as error:
            raise await self._fail(error) from None

    async def _next_response(self, timeout_s: float):
        """Reads one response. The read itself is never cancelled: gRPC would end the whole stream with it."""
        silent_since_s = time.monotonic()
        while True:
            if self._failure is not None:
                raise self._failure
            if self._reading is None:
                self._reading = asyncio.ensure_future(self._call.read())
            await asyncio.wait({self._reading}, timeout=min(0.5, timeout_s))
            if self._reading.done():
                done, self._reading = self._reading, None
                return _result(done)
            if self._closed:
                raise SessionClosed("the session was closed; open a new one")
            if not self._protocol.waiting:
                silent_since_s = time.monotonic()
            elif time.monotonic() - silent_since_s >= timeout_s:
                raise await self._fail(
                    DeadlineExceeded(f"the server sent nothing for {timeout_s:g} s while it owed a response")
                )

    async def _fail(self, error: AvatarClientError) -> Exception:
        """Notes what ended the session and lets go of it on both sides."""
        self._failure = self._failure or error
        self._streaming = False
        self._stop()
        await self._notify()
        if holds_slot(error) and not self._protocol.end_sent:
            await self._free_slot()
        return self._failure

    async def _free_slot(self) -> None:
        """The server keeps a session's place until it is told that it has ended, or has been idle for long."""
        requests = iter([self._protocol.release_request()])
        try:
            async for _ in self._stub.ModelStreamInfer(requests, metadata=self._connection.metadata, timeout=1.0):
                pass
        except grpc.RpcError:
            pass

    async def _feed(self, chunks: Iterable[PCM] | AsyncIterable[PCM]) -> None:
        try:
            if isinstance(chunks, AsyncIterable):
                async for chunk in chunks:
                    await self.send(chunk)
            else:
                for chunk in chunks:
                    await self.send(chunk)
            await self.end()
        except Exception as error:  # noqa: BLE001 - raised again by whoever iterates
            if self._failure is None and not self._closed:
                self._failure = error
            await self._notify()

    async def _drain(self, timeout_s: float) -> None:
        """Waits for the END's final response, so that the server has freed the session before the stream closes."""
        deadline_s = time.monotonic() + timeout_s
        while not self._protocol.finished and (left_s := deadline_s - time.monotonic()) > 0:
            self._reading = self._reading or asyncio.ensure_future(self._call.read())
            await asyncio.wait({self._reading}, timeout=left_s)
            if not self._reading.done():
                return
            done, self._reading = self._reading, None
            response = None if done.exception() else done.result()
            if response is None or response is grpc.aio.EOF:
                return
            try:
                self._protocol.receive(response, time.monotonic())
            except AvatarClientError:
                return
            while self._protocol.next_received() is not None:
                self._pump()

    async def _read_to_end(self, timeout_s: float) -> None:
        """Lets a finished stream end by itself, see `Session._stop`."""
        self._outgoing.put_nowait(_END_OF_REQUESTS)
        self._reading = self._reading or asyncio.ensure_future(self._call.read())
        await asyncio.wait({self._reading}, timeout=timeout_s)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _stop(self) -> None:
        self._outgoing.put_nowait(_END_OF_REQUESTS)
        self._call.cancel()
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
        self._reading = None

    def _raise_if_unusable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise SessionClosed("the session was closed; open a new one")


def _result(read: asyncio.Task):
    """What a finished read brought; a read that was cancelled means that this side cancelled the call."""
    if read.cancelled():
        raise SessionClosed("the session was closed; open a new one")
    return read.result()


async def model_is_ready_async(
    stub: service_pb2_grpc.GRPCInferenceServiceStub, connection: Connection, timeout_s: float
) -> bool:
    request = service_pb2.ModelReadyRequest(name=connection.model)
    try:
        return (await stub.ModelReady(request, timeout=timeout_s, metadata=connection.metadata)).ready
    except grpc.RpcError:
        return False
