"""The blocking client of one server."""

import time
from dataclasses import replace

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from avatar_client.channel import Connection, credentials, model_is_ready
from avatar_client.errors import ServerUnavailable, from_status
from avatar_client.protocol import Flow
from avatar_client.retry import RETRIABLE, Retry
from avatar_client.session import Session
from avatar_client.types import SessionOptions


class AvatarClient:
    """A connection to an avatar server. Thread-safe; its sessions share one HTTP/2 connection.

    Example:
        >>> with AvatarClient("127.0.0.1:8001") as client, client.open_session(sample_rate_hz=16000) as session:
        ...     session.send(pcm)
        ...     session.end()
        ...     for frame in session:
        ...         show(frame.image)
    """

    def __init__(self, address: str | Connection = Connection(), **connection):
        """Prepares the connection; nothing is sent yet.

        Args:
            address: `host:port`, or a whole `Connection`.
            **connection: further fields of `Connection`.

        Raises:
            InvalidRequest: the address is not `host:port`.
        """
        base = address if isinstance(address, Connection) else Connection(address=address)
        self.connection = replace(base, **connection)
        options = self.connection.grpc_options()
        if self.connection.tls is None:
            self._channel = grpc.insecure_channel(self.connection.address, options)
        else:
            self._channel = grpc.secure_channel(self.connection.address, credentials(self.connection.tls), options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def is_ready(self, timeout_s: float = 2.0) -> bool:
        """Whether the server answers and the avatar model is loaded."""
        return model_is_ready(self._stub, self.connection, timeout_s)

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Returns once the model is ready.

        Raises:
            ServerUnavailable: it did not become ready in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.is_ready(timeout_s=max(0.1, min(2.0, deadline_s - time.monotonic()))):
            if time.monotonic() >= deadline_s:
                raise ServerUnavailable(
                    f"no ready model {self.connection.model!r} at {self.connection.address} within {timeout_s:g} s; "
                    "start one with `avatar serve`"
                )
            time.sleep(0.1)

    def open_session(
        self,
        options: SessionOptions = SessionOptions(),
        *,
        flow: Flow = Flow(),
        open_timeout_s: float = 15.0,
        response_timeout_s: float = 30.0,
        retry: Retry = Retry(),
        **changes,
    ) -> Session:
        """Opens a session and waits until the server has accepted it.

        Args:
            options: what to ask for.
            flow: limits on what is under way.
            open_timeout_s: how long to wait for the server's acceptance.
            response_timeout_s: how long the server may stay silent while it owes a response.
            retry: whether and when to try again if nobody answers or the server is full.
            **changes: fields of `SessionOptions`, as in `open_session(avatar="default", fps=30)`.

        Raises:
            InvalidRequest: the server or this client refuses an option.
            ServerUnavailable: no server there.
            CapacityError: the server has no room, or did not admit the session in time.
        """
        options = replace(options, **changes) if changes else options
        pauses_s = retry.pauses_s()
        while True:
            try:
                return Session(
                    self._stub, self.connection, options, flow,
                    open_timeout_s=open_timeout_s, response_timeout_s=response_timeout_s,
                )  # fmt: skip
            except RETRIABLE:
                if (pause_s := next(pauses_s, None)) is None:
                    raise
            time.sleep(pause_s)

    def statistics(self, model: str = "", timeout_s: float = 5.0) -> service_pb2.ModelStatisticsResponse:
        """Triton's own counters of one model, or of all; open to who sends the administrator's key as metadata."""
        request = service_pb2.ModelStatisticsRequest(name=model)
        try:
            return self._stub.ModelStatistics(request, timeout=timeout_s, metadata=self.connection.metadata)
        except grpc.RpcError as error:
            raise from_status(error.code(), error.details() or "", started=False) from error

    def close(self) -> None:
        """Closes the connection and with it all sessions."""
        self._channel.close()

    def __enter__(self) -> "AvatarClient":
        return self

    def __exit__(self, *_) -> None:
        self.close()
