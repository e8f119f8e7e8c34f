"""One blocking session: audio goes in with `send`, frames come out by iteration."""

import contextlib
import queue
import threading
import time
import uuid
from collections.abc import Iterable, Iterator

import grpc
from tritonclient.grpc import service_pb2_grpc

from avatar_client.channel import Connection, model_is_ready
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
from avatar_client.stream import Stream
from avatar_client.types import Frame, SessionOptions

_POLL_S = 0.5
"""How often a waiting iterator looks whether the server has begun to owe it something."""


class Session:
    """One talking head: audio goes in with `send`, frames come out by iteration.

    `send`, `interrupt`, `set_emotion` and `end` may be called from any thread while one thread iterates.
    Made by `AvatarClient.open_session`.
    """

    def __init__(
        self,
        stub: service_pb2_grpc.GRPCInferenceServiceStub,
        connection: Connection,
        options: SessionOptions,
        flow: Flow,
        *,
        open_timeout_s: float,
        response_timeout_s: float,
    ):
        self.options = options
        self.session_id = uuid.uuid4().hex
        self._stub = stub
        self._connection = connection
        self._response_timeout_s = response_timeout_s
        self._protocol = SessionProtocol(options, flow, model=connection.model, session_id=self.session_id)
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._closed = False
        self._started = False
        self._streaming = True
        self._stream = Stream(stub, connection, self.session_id[:8])
        self._open(open_timeout_s)

    def send(self, pcm: PCM, timeout_s: float | None = None) -> None:
        """Hands audio over. Returns at once unless `Flow.max_queued_s` of audio is waiting already.

        Args:
            pcm: [samples] mono int16, or float32/float64 in [-1, 1], or little-endian int16 bytes; also empty.
            timeout_s: how long to wait for room in the queue; None waits as long as the session lives.

        Raises:
            InvalidAudio: the samples cannot be used; the session goes on.
            DeadlineExceeded: no room in time, because nobody takes the frames; the session goes on.
            SessionClosed: after `end()` or `close()`.
            AvatarClientError: what ended the session.
        """
        samples = to_int16(pcm)
        with self._changed:
            usable = self._changed.wait_for(
                lambda: self._closed or self._failure or self._protocol.has_room(), timeout_s
            )
            self._raise_if_unusable()
            if not usable:
                raise DeadlineExceeded(f"no room for more audio within {timeout_s:g} s; take frames from the session")
            self._protocol.push(samples)
            self._pump()

    def interrupt(self) -> float:
        """Drops everything not played yet, here and on the server, which eases to rest.

        No frame of dropped audio appears after this call.

        Returns:
            Time on the session's audio clock up to which frames were taken, seconds: what the listener has heard.
        """
        with self._changed:
            self._raise_if_unusable()
            self._protocol.interrupt()
            self._pump()
            return self._protocol.played_s

    def set_emotion(self, emotion: str, intensity: float = 1.0) -> None:
        """Changes the emotion from the audio sent next; intensity 0 to 1."""
        with self._changed:
            self._raise_if_unusable()
            self._protocol.update({"emotion": emotion, "emotion_intensity": float(intensity)})
            self._pump()

    def end(self) -> None:
        """Says that no more audio comes. The frames still due follow, then iteration stops. A second call is idle."""
        with self._changed:
            if not self._protocol.ended:
                self._raise_if_unusable()
                self._protocol.end()
                self._pump()

    def stream(self, chunks: Iterable[PCM]) -> Iterator[Frame]:
        """Sends the chunks from a thread of its own, ends the session, and yields its frames meanwhile.

        Leaving the loop early closes the session.

        Args:
            chunks: audio as for `send`; taken only as fast as frames are, up to `Flow.max_queued_s`.

        Raises:
            Exception: whatever iterating the chunks or sending them raised.
        """
        feeder = threading.Thread(target=self._feed, args=(iter(chunks),), name="avatar-feeder", daemon=True)
        feeder.start()
        try:
            yield from self
        finally:
            self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """The next frame, as soon as it is there.

        Raises:
            StopIteration: the session has ended and all its frames were taken, or it was closed.
            DeadlineExceeded: the server owes a response and stayed silent for `response_timeout_s`.
            AvatarClientError: what ended the session.
        """
        while True:
            if self._protocol.finished:
                self.close()
                raise StopIteration
            try:
                frame = self._take(self._response_timeout_s)
            except SessionClosed:
                raise StopIteration from None
            if frame is not None:
                return frame

    def close(self, timeout_s: float = 1.0) -> None:
        """Ends the session now; frames not taken are dropped. Safe to call at any time and more than once."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            alive = self._started and self._streaming and not self._protocol.finished
            if alive:
                self._protocol.interrupt()
                self._protocol.end()
                self._pump()
            self._changed.notify_all()
        if alive:
            self._drain(timeout_s)
        self._stream.stop(timeout_s if self._protocol.finished else 0.0)
        # With its stream Triton cancels what it has not begun to answer, which may be the END.
        if alive and not self._protocol.finished:
            self._free_slot()

    def abandon(self, error: Exception) -> None:
        """Makes whoever iterates meet this error: for a thread that feeds the session and cannot go on."""
        with self._changed:
            if self._failure is None and not self._closed:
                self._failure = error
            self._changed.notify_all()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __del__(self):
        """A forgotten session still tells the server; the receiving thread reads the answer and drops it."""
        if getattr(self, "_closed", True):
            return
        if self._started and self._streaming:
            self._protocol.interrupt()
            self._protocol.end()
            self._pump()
        else:
            self._stream.stop()

    def _open(self, timeout_s: float) -> None:
        with self._changed:
            self._stream.send([self._protocol.start()])
        try:
            self._take(timeout_s)
        except DeadlineExceeded as silence:
            self._failure = not_admitted(
                self._connection.address, model_is_ready(self._stub, self._connection, 2.0), timeout_s
            )
            raise self._failure from silence
        self._started = True

    def _pump(self) -> None:
        self._stream.send(self._protocol.requests())
        if self._protocol.end_sent:
            self._stream.finish_sending()

    def _take(self, timeout_s: float) -> Frame | None:
        """The frame of the next response, or None where it carries none. Waits without limit while nothing is owed."""
        while True:
            with self._changed:
                received = self._protocol.next_received()
                if received is not None and received.final:
                    self._pump()
                    self._changed.notify_all()
            if received is not None:
                break
            response, received_s = self._next_response(timeout_s)
            self._accept(response, received_s)
        if received.error is not None:
            raise self._fail(received.error)
        return received.frame

    def _accept(self, response, received_s: float) -> None:
        if self._closed and (response is None or isinstance(response, Exception)):
            raise SessionClosed("the session was closed; open a new one")
        if response is None:
            raise self._fail(SessionLost("the server closed the stream before the session had ended; open a new one"))
        if isinstance(response, Exception):
            raise self._fail(explain(response, self._connection.address, started=self._started)) from response
        try:
            with self._changed:
                self._protocol.receive(response, received_s)
        except AvatarClientError as error:
            raise self._fail(error) from None

    def _next_response(self, timeout_s: float):
        silent_since_s = time.monotonic()
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                return self._stream.receive(min(_POLL_S, timeout_s))
            except queue.Empty:
                now_s = time.monotonic()
            if self._closed:
                raise SessionClosed("the session was closed; open a new one")
            if not self._protocol.waiting:
                silent_since_s = now_s
            elif now_s - silent_since_s >= timeout_s:
                raise self._fail(
                    DeadlineExceeded(f"the server sent nothing for {timeout_s:g} s while it owed a response")
                )

    def _fail(self, error: AvatarClientError) -> Exception:
        """Notes what ended the session and lets go of it on both sides."""
        with self._changed:
            self._failure = self._failure or error
            self._streaming = False
            self._changed.notify_all()
        self._stream.stop()
        if holds_slot(error) and not self._protocol.end_sent:
            self._free_slot()
        return self._failure

    def _free_slot(self) -> None:
        """The server keeps a session's place until it is told that it has ended, or has been idle for long."""
        request = self._protocol.release_request()
        with contextlib.suppress(grpc.RpcError):
            list(self._stub.ModelStreamInfer(iter([request]), metadata=self._connection.metadata, timeout=1.0))

    def _feed(self, chunks: Iterator[PCM]) -> None:
        try:
            for chunk in chunks:
                self.send(chunk)
            self.end()
        except Exception as error:  # noqa: BLE001 - raised again by whoever iterates
            self.abandon(error)

    def _drain(self, timeout_s: float) -> None:
        """Waits for the END's final response, so that the server has freed the session before the stream closes."""
        deadline_s = time.monotonic() + timeout_s
        while not self._protocol.finished and (left_s := deadline_s - time.monotonic()) > 0:
            try:
                response, received_s = self._stream.receive(min(0.1, left_s))
            except queue.Empty:
                continue
            if response is None or isinstance(response, Exception):
                return
            try:
                with self._changed:
                    self._protocol.receive(response, received_s)
                    while self._protocol.next_received() is not None:
                        self._pump()
            except AvatarClientError:
                return

    def _raise_if_unusable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise SessionClosed("the session was closed; open a new one")
