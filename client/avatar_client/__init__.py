"""Client of the real-time talking avatar: speech in, frames out, over gRPC."""

from avatar_client.aio import AsyncAvatarClient
from avatar_client.aio_session import AsyncSession
from avatar_client.channel import DEFAULT_ADDRESS, Connection, Tls
from avatar_client.client import AvatarClient
from avatar_client.conversation import Conversation, Moment
from avatar_client.errors import (
    AvatarClientError,
    Cancelled,
    CapacityError,
    DeadlineExceeded,
    InvalidAudio,
    InvalidRequest,
    ServerError,
    ServerUnavailable,
    SessionClosed,
    SessionLost,
)
from avatar_client.protocol import Flow
from avatar_client.retry import Retry
from avatar_client.session import Session
from avatar_client.types import Frame, SessionOptions, State

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_ADDRESS",
    "AsyncAvatarClient",
    "AsyncSession",
    "AvatarClient",
    "AvatarClientError",
    "Cancelled",
    "CapacityError",
    "Connection",
    "Conversation",
    "DeadlineExceeded",
    "Flow",
    "Frame",
    "InvalidAudio",
    "InvalidRequest",
    "Moment",
    "Retry",
    "ServerError",
    "ServerUnavailable",
    "Session",
    "SessionClosed",
    "SessionLost",
    "SessionOptions",
    "State",
    "Tls",
]
