"""The exceptions a caller can meet, and how the server's status codes become them."""

import re

import grpc


class AvatarClientError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidRequest(AvatarClientError, ValueError):
    """The request breaks a rule: an unknown parameter or avatar, a value out of range. Retrying does not help."""


class InvalidAudio(InvalidRequest):
    """The audio cannot be used: not finite, not mono, wrong type or scale, not a sound file."""


class ServerUnavailable(AvatarClientError):
    """No server answers at that address, it is not ready, or it is shutting down. Retry later or elsewhere."""


class CapacityError(AvatarClientError):
    """The server runs as many sessions as it may. Retry later or elsewhere."""


class SessionLost(AvatarClientError):
    """The session existed and is gone: the server died, dropped it, or evicted it after it idled. Open a new one."""


class SessionClosed(AvatarClientError):
    """The caller used a session after `end()` or `close()`."""


class DeadlineExceeded(AvatarClientError, TimeoutError):
    """Nothing came, or nothing could be sent, within the stated time."""


class Cancelled(AvatarClientError):
    """The session was cancelled from this side."""


class ServerError(AvatarClientError):
    """The server failed while it worked on the session; its log says more."""


_TRANSPORT = re.compile(
    r"failed to connect|connection (refused|reset|attempt|timed out)|socket closed|goaway|keepalive|ping timeout"
    r"|recvmsg|sendmsg|stream removed|dns|name resolution|endpoint closing|broken pipe|rst_stream|transport"
    r"|tcp handshaker|too_many_pings",
    re.IGNORECASE,
)
_CAPACITY = re.compile(
    r"at most \d+ sessions|as many sessions as|capacity|server is full|maximum queue size", re.IGNORECASE
)
_GONE = re.compile(r"exiting|shutting down|not ready|is not healthy|not available for inference", re.IGNORECASE)
_LOST = re.compile(
    r"START flag|no such session|session .* is not open|session .* ended before|takes no audio after its end",
    re.IGNORECASE,
)
_STAGE_FAILED = re.compile(r"^stage \w+ failed|the server failed on this session", re.IGNORECASE)
_CANCELLED = re.compile(r"request was cancelled|request cancelled", re.IGNORECASE)
_REFUSED = re.compile(
    r"\bmust\b|\bmay only\b|\bgot\b|unknown|unexpected|not found|not installed|no avatar", re.IGNORECASE
)


def is_transport_failure(code: grpc.StatusCode, message: str) -> bool:
    """Whether the connection itself failed, so that nothing more can be told to the server on it."""
    return code is grpc.StatusCode.UNAVAILABLE and bool(_TRANSPORT.search(message))


def from_status(code: grpc.StatusCode, message: str, *, started: bool) -> AvatarClientError:
    """The exception for a status with its message.

    Args:
        code: status of the call, or the one that the model named.
        message: the server's or the transport's own words.
        started: whether the session had been accepted before.
    """
    if is_transport_failure(code, message):
        return SessionLost(f"the connection broke: {message}") if started else ServerUnavailable(message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return CapacityError(message)
    if code is grpc.StatusCode.UNAVAILABLE:
        return CapacityError(message) if _CAPACITY.search(message) else ServerUnavailable(message)
    if code is grpc.StatusCode.NOT_FOUND and (started or _LOST.search(message)):
        return SessionLost(message)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OUT_OF_RANGE):
        return SessionLost(message) if _LOST.search(message) else InvalidRequest(message)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return InvalidRequest(message)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(message)
    if code is grpc.StatusCode.CANCELLED:
        return Cancelled(message)
    return ServerError(message)


def from_stream_message(message: str) -> AvatarClientError:
    """The exception for an error inside the stream.

    Triton's stream carries an error's message but not its code, so its words must tell. The header `triton_grpc_error`
    would bring the code, by ending the stream; but tritonserver 2.51 then crashes on the session's next request.
    """
    if _GONE.search(message):
        return ServerUnavailable(message)
    if _CAPACITY.search(message):
        return CapacityError(message)
    if _LOST.search(message):
        return SessionLost(message)
    if _CANCELLED.search(message):
        return Cancelled(message)
    if _STAGE_FAILED.search(message):
        return ServerError(message)
    return InvalidRequest(message) if _REFUSED.search(message) else ServerError(message)


def explain(error: Exception, address: str, *, started: bool) -> AvatarClientError:
    """The exception for whatever ended the stream of a session with the server at `address`."""
    if isinstance(error, AvatarClientError):
        return error
    if not isinstance(error, grpc.RpcError):
        return ServerUnavailable(f"cannot receive from {address}: {error}")
    code, message = error.code(), error.details() or ""
    if is_transport_failure(code, message) and not started:
        return ServerUnavailable(f"no server at {address} ({message}); start one with `avatar serve`")
    return from_status(code, message, started=started)


def not_admitted(address: str, ready: bool, timeout_s: float) -> AvatarClientError:
    """What a start without any answer means: Triton says nothing while it queues a session that it has no slot for."""
    if ready:
        return CapacityError(
            f"{address} is ready but did not admit the session within {timeout_s:g} s; retry later or elsewhere"
        )
    return ServerUnavailable(
        f"{address} did not answer within {timeout_s:g} s; is it an avatar server, and is it ready?"
    )


def holds_slot(error: AvatarClientError) -> bool:
    """Whether Triton may still keep a slot for the session that ended like this, until it sees END or idles out."""
    return not isinstance(error, (ServerUnavailable, SessionLost))
