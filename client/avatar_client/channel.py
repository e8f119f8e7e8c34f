"""How to reach a server: address, TLS, keep-alive, and the gRPC options that follow from them."""

from dataclasses import dataclass, field

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from avatar_client.errors import InvalidRequest

DEFAULT_ADDRESS = "127.0.0.1:8001"
"""Where `avatar serve` listens for gRPC."""

_LARGEST_HTTP2_FRAME_BYTES = 2**24 - 1
"""RFC 9113's. By default a picture comes in 48 frames of 16 KiB, each of which costs client and server time."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates as PEM bytes. With none of them the system's roots are trusted.

    Attributes:
        root_certificates: authorities to trust.
        private_key: this client's key, for mutual TLS.
        certificate_chain: this client's certificate, for mutual TLS.
    """

    root_certificates: bytes | None = None
    private_key: bytes | None = None
    certificate_chain: bytes | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is and how its silence is judged.

    Attributes:
        address: `host:port` of the gRPC endpoint.
        tls: None for plain text.
        metadata: pairs sent with every call, for a gateway that wants a token; names in lower case.
        model: name of the served model.
        keepalive_s: after this long without a byte the server is pinged.
        keepalive_timeout_s: a ping unanswered for this long means that the server is gone.
        connect_timeout_s: how long to wait for a connection.
    """

    address: str = DEFAULT_ADDRESS
    tls: Tls | None = None
    metadata: tuple[tuple[str, str], ...] = field(default=())
    model: str = "avatar"
    keepalive_s: float = 10.0
    keepalive_timeout_s: float = 5.0
    connect_timeout_s: float = 5.0

    def __post_init__(self):
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit() or "//" in self.address:
            raise InvalidRequest(
                f"the server address must be host:port, got {self.address!r}; the default is {DEFAULT_ADDRESS}"
            )

    def grpc_options(self) -> list[tuple[str, int]]:
        """No limit on message size, a picture in one HTTP/2 frame, keep-alive in sessions, a connection a client."""
        return [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.http2.max_frame_size", _LARGEST_HTTP2_FRAME_BYTES),
            ("grpc.keepalive_time_ms", round(self.keepalive_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout_s * 1000)),
            ("grpc.http2.ping_timeout_ms", round(self.keepalive_timeout_s * 1000)),
            ("grpc.keepalive_permit_without_calls", 0),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]


def credentials(tls: Tls) -> grpc.ChannelCredentials:
    """What gRPC wants to know about certificates."""
    return grpc.ssl_channel_credentials(tls.root_certificates, tls.private_key, tls.certificate_chain)


def model_is_ready(stub: service_pb2_grpc.GRPCInferenceServiceStub, connection: Connection, timeout_s: float) -> bool:
    """Whether the server answers and has the model loaded."""
    request = service_pb2.ModelReadyRequest(name=connection.model)
    try:
        return stub.ModelReady(request, timeout=timeout_s, metadata=connection.metadata).ready
    except grpc.RpcError:
        return False
