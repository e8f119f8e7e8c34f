"""One tiny session through the whole pipeline, which tells what Triton's health checks do not.

Triton 2.51 reports a server as ready although the process of a model has died; a session through all stages notices.
"""

from contextlib import closing
from dataclasses import dataclass

import grpc

from avatar_server.own_session import SAMPLE_RATE_HZ, responses

AUDIO_MS = 100
FRAMES = 3


@dataclass(frozen=True, slots=True)
class Health:
    """Attributes:
    ok: whether the server can make frames, now or once a session ends.
    detail: what was found.
    """

    ok: bool
    detail: str


def probe(address: str, timeout_s: float = 10.0, admin_key: str | None = None) -> Health:
    """Asks the server at `address` for the frames of 100 ms of silence; the key is for a Triton behind a gateway."""
    silence = bytes(2 * AUDIO_MS * SAMPLE_RATE_HZ // 1000)
    frames = 0
    try:
        with closing(responses(address, silence, timeout_s, admin_key)) as answers:
            for message in answers:
                if message.error_message:
                    # A server whose places are all taken is healthy.
                    return Health("sessions at once" in message.error_message, message.error_message)
                frames += bool(message.infer_response.outputs)
    except grpc.RpcError as error:
        is_full = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        return Health(is_full, error.details() or error.code().name)
    if frames != FRAMES:
        return Health(False, f"{AUDIO_MS} ms of audio must give {FRAMES} frames, got {frames}; see the server's log")
    return Health(True, f"{frames} frames")
