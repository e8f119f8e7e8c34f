"""One gRPC stream with a queue at each end, so that neither sending nor waiting for a response blocks without limit."""

import queue
import threading
import time
from collections.abc import Iterable

from tritonclient.grpc import service_pb2, service_pb2_grpc

from avatar_client.channel import Connection

_NO_MORE = None

Arrival = tuple[service_pb2.ModelStreamInferResponse | Exception | None, float]
"""A response, the error that ended the stream, or None for its regular end; and when it came, monotonic seconds."""


class Stream:
    """A running `ModelStreamInfer` call. The queues are bounded by whoever sends: see `SessionProtocol`."""

    def __init__(self, stub: service_pb2_grpc.GRPCInferenceServiceStub, connection: Connection, name: str):
        self._outgoing: queue.SimpleQueue = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._call = stub.ModelStreamInfer(iter(self._outgoing.get, _NO_MORE), metadata=connection.metadata)
        self._receiver = threading.Thread(
            target=_receive, args=(self._call, self._incoming), name=f"avatar-session-{name}", daemon=True
        )
        self._receiver.start()

    def send(self, requests: Iterable[service_pb2.ModelInferRequest]) -> None:
        for request in requests:
            self._outgoing.put(request)

    def finish_sending(self) -> None:
        """Closes this side; responses go on. What is sent afterwards is dropped."""
        self._outgoing.put(_NO_MORE)

    def receive(self, timeout_s: float) -> Arrival:
        """The next arrival; raises `queue.Empty` when the time is up."""
        return self._incoming.get(timeout=timeout_s)

    def stop(self, grace_s: float = 0.0) -> None:
        """Ends the stream.

        A finished one gets time to end by itself: cancelling it just then can leave Triton with a stream that it waits
        for when it is to exit.
        """
        self.finish_sending()
        if grace_s:
            self._receiver.join(grace_s)
        self._call.cancel()


def _receive(call, incoming: queue.SimpleQueue) -> None:
    """Moves responses from the call to the queue. A function, so that this thread does not keep the stream alive."""
    try:
        for response in call:
            incoming.put((response, time.monotonic()))
        incoming.put((None, time.monotonic()))
    except Exception as error:  # noqa: BLE001 - raised again by whoever iterates
        incoming.put((error, time.monotonic()))
