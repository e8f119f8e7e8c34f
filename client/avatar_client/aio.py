"""The asyncio client of one server: the same as `client.py`."""

import asyncio
import time
from dataclasses import replace

import grpc.aio
from tritonclient.grpc import service_pb2_grpc

from avatar_client.aio_session import AsyncSession, model_is_ready_async
from avatar_client.channel import Connection, credentials
from avatar_client.errors import ServerUnavailable
from avatar_client.protocol import Flow
from avatar_client.retry import RETRIABLE, Retry
from avatar_client.types import SessionOptions


class AsyncAvatarClient:
    """A connection to an avatar server, used inside one event loop.

    Example:
        >>> async with AsyncAvatarClient("127.0.0.1:8001") as client:
        ...     async with await client.open_session(sample_rate_hz=16000) as session:
        ...         await session.send(pcm)
        ...         await session.end()
        ...         async for frame in session:
        ...             show(frame.image)
    """

    def __init__(self, address: str | Connection = Connection(), **connection):
        """As `AvatarClient`; must be called inside the event loop that will use it."""
        base = address if isinstance(address, Connection) else Connection(address=address)
        self.connection = replace(base, **connection)
        options = self.connection.grpc_options()
        if self.connection.tls is None:
            self._channel = grpc.aio.insecure_channel(self.connection.address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(
                self.connection.address, credentials(self.connection.tls), options=options
            )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def is_ready(self, timeout_s: float = 2.0) -> bool:
        """Whether the server answers and the avatar model is loaded."""
        return await model_is_ready_async(self._stub, self.connection, timeout_s)

    async def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Returns once the model is ready; raises `ServerUnavailable` if it is not in time."""
        deadline_s = time.monotonic() + timeout_s
        while not await self.is_ready(timeout_s=max(0.1, min(2.0, deadline_s - time.monotonic()))):
            if time.monotonic() >= deadline_s:
                raise ServerUnavailable(
                    f"no ready model {self.connection.model!r} at {self.connection.address} within {timeout_s:g} s; "
                    "start one with `avatar serve`"
                )
            await asyncio.sleep(0.1)

    async def open_session(
        self,
        options: SessionOptions = SessionOptions(),
        *,
        flow: Flow = Flow(),
        open_timeout_s: float = 15.0,
        response_timeout_s: float = 30.0,
        retry: Retry = Retry(),
        **changes,
    ) -> AsyncSession:
        """Opens a session and waits until the server has accepted it. As `AvatarClient.open_session`."""
        options = replace(options, **changes) if changes else options
        pauses_s = retry.pauses_s()
        while True:
            session = AsyncSession(self._stub, self.connection, options, flow, response_timeout_s=response_timeout_s)
            try:
                await session._open(open_timeout_s)
                return session
            except RETRIABLE:
                if (pause_s := next(pauses_s, None)) is None:
                    raise
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Closes the connection and with it all sessions."""
        await self._channel.close()

    async def __aenter__(self) -> "AsyncAvatarClient":
        return self

    async def __aexit__(self, *_) -> None:
        await self.close()
