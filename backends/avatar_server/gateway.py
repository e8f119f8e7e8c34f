"""What strangers reach instead of Triton: a gRPC front that lets through the sessions of one model and nothing else.

It speaks the same protocol (KServe v2), so a client does not notice it. It keeps from Triton what Triton 2.51 does not
withstand or does not limit: the header `triton_grpc_error`, huge messages, foreign sequence ids, the administration
of models, shared memory, traces and logs, clients that do not read and clients that are gone.
"""

import asyncio
import contextlib
import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from avatar.errors import InvalidParameterError
from avatar.session_config import SessionConfig
from avatar_server.capacity import Capacity, LiveSessions, NoRoom
from avatar_server.tls import Tls

SERVICE = "inference.GRPCInferenceService"
OPEN_METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata")
"""What any client may ask; everything else but the stream needs the administrator's key."""

ADMIN_METHODS = (
    "ModelConfig", "ModelStatistics", "ModelInfer", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload",
    "SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister", "TraceSetting", "LogSettings",
)  # fmt: skip

ADMIN_HEADER = "avatar-admin-key"
TRITON_ADMIN_KEY = "admin-key"
"""Name of the key in Triton's own restriction; its header is `triton-grpc-protocol-admin-key`."""

RELEASE_S = 10.0
"""How long a stream that broke off may take to end by itself before it is cancelled."""

SMALL_BYTES = 2048
"""Responses above this are frames, never errors or empty final responses."""

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
"""`grpc.health.v1.HealthCheckResponse` on the wire."""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Attributes:
    address: `host:port` to listen on.
    upstream: `host:port` of Triton's gRPC.
    tls: None for plain text.
    model: the model whose sessions are let through.
    admin_key: what `avatar-admin-key` must say for the methods of administration; None closes them to everyone.
    upstream_key: Triton's own key for them.
    max_message_bytes: largest request; 60 s of audio at 48 kHz are 5.8 MB.
    max_streams: streams open at once.
    max_streams_per_peer: of them from one address; None for no limit of its own, as behind a proxy.
    live_fps: frames a second that all live sessions together may have; 0 for no limit, None for none until `carry`.
    first_request_s: time for a stream's first request.
    slow_client_s: how long a client may leave a response untaken.
    keepalive_s, keepalive_timeout_s: a silent connection is asked whether it is alive, and how long it has to answer.
    """

    address: str
    upstream: str
    tls: Tls | None = None
    model: str = "avatar"
    admin_key: str | None = None
    upstream_key: str | None = None
    max_message_bytes: int = 6 << 20
    max_streams: int = 256
    max_streams_per_peer: int | None = None
    live_fps: float | None = None
    first_request_s: float = 30.0
    slow_client_s: float = 10.0
    keepalive_s: float = 20.0
    keepalive_timeout_s: float = 10.0


class Refused(Exception):
    """A client is turned away with a status and words for it."""

    def __init__(self, code: grpc.StatusCode, words: str):
        super().__init__(words)
        self.code = code


class Gateway:
    """The running front; a context manager. All of it runs in a thread of its own.

    Attributes:
        port: where it listens.
        streams: how many are open.
        refused: how many streams were turned away or dropped, by status.
        live: the live sessions that run.
    """

    def __init__(self, config: GatewayConfig, say: Callable[[str, str], None] = lambda level, message: None):
        self.config = config
        self.refused: Counter[str] = Counter()
        self.live = LiveSessions(Capacity.by_hand(config.live_fps or 0))
        self._say = say
        self._peers: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        self._refusal: str | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)
        self._thread.start()
        self._run(self._start())

    @property
    def streams(self) -> int:
        return sum(self._peers.values())

    def refuse(self, why: str | None) -> None:
        """From now on new sessions are refused with UNAVAILABLE and this reason, None admits them again; running ones
        go on."""
        self._refusal = why

    def carry(self, capacity: Capacity) -> None:
        """From now on live sessions are admitted by this."""
        self.live.capacity = capacity

    def stop(self, grace_s: float = 0.0) -> None:
        """Ends all streams after `grace_s` and stops listening."""
        if self._thread.is_alive():
            self._run(self._stop(grace_s))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    # ------------------------------------------------------------------ inside

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _start(self) -> None:
        config = self.config
        self._channel = grpc.aio.insecure_channel(
            config.upstream,
            [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
             ("grpc.use_local_subchannel_pool", 1)],
        )  # fmt: skip
        self._server = grpc.aio.server(
            options=[
                # Ours is checked first, so that the client learns the rule.
                ("grpc.max_receive_message_length", 4 * config.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.keepalive_time_ms", round(1000 * config.keepalive_s)),
                ("grpc.keepalive_timeout_ms", round(1000 * config.keepalive_timeout_s)),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 1000),
                ("grpc.http2.max_ping_strikes", 0),
                ("grpc.so_reuseport", 0),
            ]
        )
        methods = {"ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self._stream)}
        for name in (*OPEN_METHODS, *ADMIN_METHODS):
            methods[name] = grpc.unary_unary_rpc_method_handler(self._forwarded(name))
        health = {"Check": grpc.unary_unary_rpc_method_handler(self._health)}
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(SERVICE, methods),
                grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
            ]
        )
        if config.tls is None:
            self.port = self._server.add_insecure_port(config.address)
        else:
            self.port = self._server.add_secure_port(config.address, config.tls.credentials())
        await self._server.start()

    async def _stop(self, grace_s: float) -> None:
        await self._server.stop(grace_s)
        await self._channel.close()

    async def _health(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return NOT_SERVING if self._refusal else SERVING

    def _forwarded(self, name: str):
        call = self._channel.unary_unary(f"/{SERVICE}/{name}")

        async def forward(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            if name in ADMIN_METHODS and not self._is_admin(context):
                await context.abort(
                    grpc.StatusCode.PERMISSION_DENIED,
                    f"{name} needs the administrator's key in the metadata {ADMIN_HEADER}",
                )
            if name == "ServerReady" and self._refusal:
                return service_pb2.ServerReadyResponse(ready=False).SerializeToString()
            key = self.config.upstream_key
            metadata = ((f"triton-grpc-protocol-{TRITON_ADMIN_KEY}", key),) if key else ()
            try:
                return await call(request, metadata=metadata, timeout=30)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")

        return forward

    def _is_admin(self, context: grpc.aio.ServicerContext) -> bool:
        key = self.config.admin_key
        return key is not None and dict(context.invocation_metadata() or ()).get(ADMIN_HEADER) == key

    async def _stream(self, _, context: grpc.aio.ServicerContext):
        peer = _host(context.peer())
        self._peers[peer] += 1
        stream = _Stream(self.config, self._channel, f"{next(self._numbers)}", context, self.live)
        try:
            self._admit(peer)
            await stream.run()
        except Refused as error:
            self.refused[error.code.name] += 1
            self._say("warning", f"session={stream.label} from {peer}: {error.code.name}: {error}")
            await context.abort(error.code, str(error))
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
        finally:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]
            self.live.end(stream)
            await asyncio.shield(stream.release())

    def _admit(self, peer: str) -> None:
        config = self.config
        if self._refusal:
            raise Refused(grpc.StatusCode.UNAVAILABLE, self._refusal)
        if self.streams > config.max_streams:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"this server runs at most {config.max_streams} streams at once; retry later or on another server",
            )
        limit = config.max_streams_per_peer
        if limit is not None and self._peers[peer] > limit:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"one address may run at most {limit} sessions at once, {self._peers[peer] - 1} are in use; end one "
                "first",
            )


class _Stream:
    """One client's stream and its counterpart to Triton. Its sequence ids are made unique, so nobody ends another's."""

    def __init__(self, config: GatewayConfig, channel: grpc.aio.Channel, number: str, context, live: LiveSessions):
        self._config = config
        self._channel = channel
        self._number = number
        self._context = context
        self._live = live
        self._wants_status = ("triton_grpc_error", "true") in (context.invocation_metadata() or ())
        self._own_id: str | int | None = None
        self._is_open = False
        self._may_hold_place = False
        self._hides_empty_finals = False
        self._failure: Refused | None = None
        self._call: grpc.aio.StreamStreamCall | None = None
        self._reading: asyncio.Future | None = None
        self._writing: asyncio.Future | None = None
        self._sender: asyncio.Future | None = None
        self._releasing: asyncio.Future | None = None
        self._all_sent = False
        self.label = number

    async def run(self) -> None:
        self._call = self._upstream()
        self._sender = asyncio.ensure_future(self._send(self._call))
        # What ends the client's side of the stream ends this coroutine too; nobody else asks for it.
        self._sender.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            while (response := await self._read()) is not grpc.aio.EOF:
                if (response := self._checked(response)) is not None:
                    await self._write(response)
            # All that was sent has been answered.
            self._may_hold_place = self._is_open
        finally:
            # At once: a client that does not read takes its time to be told.
            self._releasing = asyncio.ensure_future(self._release())

    async def release(self) -> None:
        """Waits until what the client left behind has ended and the session's place is free."""
        if self._releasing is not None:
            await self._releasing

    async def _release(self) -> None:
        """Ends what the client left behind.

        The stream to Triton is not cancelled but brought to its end: Triton 2.51 loses the memory of requests that are
        under way on a stream that is cancelled, 340 KB each, and can crash.
        """
        call = self._call
        self._sender.cancel()
        if not call.done():
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.TimeoutError):
                await asyncio.wait_for(self._end_quietly(call), RELEASE_S)
            call.cancel()
        if self._may_hold_place:
            # An END on a stream that broke off may have been cancelled with it. Triton takes no second one then, so
            # the sequence is started anew.
            self._is_open = self._may_hold_place = False
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.TimeoutError):
                await asyncio.wait_for(self._close_from_aside(start=True), RELEASE_S)

    async def _end_quietly(self, call: grpc.aio.StreamStreamCall) -> None:
        """Closes the session on its own stream and lets go by what is still answered."""
        await asyncio.wait({self._sender, *filter(None, (self._writing,))})
        if self._is_open and not self._all_sent:
            await call.write(self._closing(start=False))
        elif self._may_hold_place:
            # Also after its END: nobody wants the frames of what it still had to say.
            await self._close_from_aside(start=not self._is_open)
        self._is_open = False
        if not self._all_sent:
            await call.done_writing()
        while await self._read() is not grpc.aio.EOF:
            pass
        self._may_hold_place = False

    async def _close_from_aside(self, start: bool) -> None:
        """Closes the session on a stream of its own."""
        call = self._upstream()
        await call.write(self._closing(start))
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass

    def _closing(self, start: bool) -> bytes:
        request = service_pb2.ModelInferRequest(model_name=self._config.model, id="release")
        request.parameters["sequence_id"].string_param = self.label
        request.parameters["sequence_start"].bool_param = start
        request.parameters["sequence_end"].bool_param = True
        request.parameters["event"].string_param = "close"
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        request.inputs.add(name="AUDIO", datatype="INT16", shape=[1, 0])
        request.raw_input_contents.append(b"")
        request.outputs.add(name="INDEX")
        return request.SerializeToString()

    async def _read(self):
        """The next response of Triton. Whoever is cancelled here does not cancel the call, as `call.read` would.

        Raises:
            Refused: the client broke a rule meanwhile.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        waiting = {self._reading} if self._sender.done() else {self._reading, self._sender}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if not self._reading.done():
            await asyncio.wait({self._reading})
        reading, self._reading = self._reading, None
        return reading.result()

    def _upstream(self) -> grpc.aio.StreamStreamCall:
        key = self._config.upstream_key
        metadata = ((f"triton-grpc-protocol-{TRITON_ADMIN_KEY}", key),) if key else ()
        return self._channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(metadata=metadata)

    async def _send(self, call) -> None:
        try:
            timeout_s = self._config.first_request_s
            while True:
                try:
                    data = await asyncio.wait_for(self._context.read(), timeout_s)
                except asyncio.TimeoutError:
                    raise Refused(
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                        f"the first request must come within {self._config.first_request_s:g} s",
                    ) from None
                if data is grpc.aio.EOF:
                    break
                # Whoever cancels this coroutine does not cancel the call, as a cancelled `call.write` would.
                self._writing = asyncio.ensure_future(call.write(self._understood(data)))
                await asyncio.shield(self._writing)
                timeout_s = None
            self._all_sent = True
            self._writing = asyncio.ensure_future(call.done_writing())
            await asyncio.shield(self._writing)
        except Refused as error:
            # Raised by the reader.
            self._failure = error

    def _understood(self, data: bytes) -> bytes:
        """A request as Triton gets it.

        Raises:
            Refused: it is no request of a session of this model.
        """
        config = self._config
        if len(data) > config.max_message_bytes:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"a request must be at most {config.max_message_bytes} bytes, got {len(data)}; send the audio in "
                "several requests of one session, best of 20 to 200 ms",
            )
        try:
            request = service_pb2.ModelInferRequest.FromString(data)
        except Exception:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "a request must be a KServe v2 ModelInferRequest") from None
        if request.model_name != config.model:
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                f"this server serves sessions of the model {config.model!r}, got {request.model_name[:64]!r}",
            )
        parameters = request.parameters
        own = parameters["sequence_id"]
        own_id = getattr(own, own.WhichOneof("parameter_choice") or "int64_param")
        if own_id in (0, "") or isinstance(own_id, (bool, float)):
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT, "each request must carry sequence_id, a string or a number but 0"
            )
        if self._is_open and own_id != self._own_id:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"one stream must carry one session, got sequence_id {str(own_id)[:64]!r} beside "
                f"{str(self._own_id)[:64]!r}; open a stream for each session",
            )
        self._own_id = own_id
        self.label = f"{self._number}.{re.sub(r'[^A-Za-z0-9_.:-]', '?', str(own_id))[:48]}"
        own.string_param = self.label
        if parameters["sequence_start"].bool_param:
            self._begin(request)
        if parameters["sequence_end"].bool_param:
            self._is_open = False
        return request.SerializeToString()

    def _begin(self, request: service_pb2.ModelInferRequest) -> None:
        """A session is opened by `request`.

        Raises:
            Refused: it is a live one too many.
        """
        if fps := _live_fps(request):
            try:
                self._live.begin(self, fps)
            except NoRoom as error:
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)) from None
        else:
            self._live.end(self)
        self._is_open = self._may_hold_place = True

    def _checked(self, response: bytes) -> bytes | None:
        """A response as the client gets it.

        Raises:
            Refused: it is an error that is to end the stream with a status.
        """
        if len(response) > SMALL_BYTES or response[:1] != b"\x0a":
            return response
        message = service_pb2.ModelStreamInferResponse.FromString(response).error_message
        if message.startswith("RESOURCE_EXHAUSTED: "):
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, message.removeprefix("RESOURCE_EXHAUSTED: "))
        if message and self._wants_status:
            raise Refused(_code_of(message), message)
        return response

    async def _write(self, response: bytes) -> None:
        try:
            await asyncio.wait_for(self._context.write(response), self._config.slow_client_s)
        except asyncio.TimeoutError:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"a client must take its frames, got none taken for {self._config.slow_client_s:g} s; read faster, or "
                "ask for a smaller encoding",
            ) from None


def _host(peer: str) -> str:
    """`ipv4:10.0.0.1:5000` to `ipv4:10.0.0.1`."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer


def _live_fps(request: service_pb2.ModelInferRequest) -> int:
    """Frames a second of the live session that this request opens; 0 if it is not live, or will be refused."""
    said = {}
    for name in ("live", "fps"):
        if name in request.parameters:
            value = request.parameters[name]
            said[name] = getattr(value, value.WhichOneof("parameter_choice") or "int64_param")
    try:
        config = SessionConfig.from_parameters(said)
    except InvalidParameterError:
        return 0
    return config.fps if config.live else 0


def _code_of(message: str) -> grpc.StatusCode:
    if re.search(r"is not open|ended before|not installed", message):
        return grpc.StatusCode.NOT_FOUND
    if re.search(r"\bmust\b|\bmay\b|unknown|unexpected", message):
        return grpc.StatusCode.INVALID_ARGUMENT
    return grpc.StatusCode.INTERNAL
