"""How many frames a second this machine makes: the pace of a session that is not live through all stages."""

import time
from collections.abc import Callable
from contextlib import closing

import grpc
import numpy as np

from avatar_server.own_session import SAMPLE_RATE_HZ, responses

WARM_S = 0.5
SOUND_S = 30.0
"""More than any machine gets through in COUNT_S."""

UNCOUNTED_FRAMES = 8
"""While the first ones are made the stages fill up."""

COUNT_S = 2.0
TIMEOUT_S = 15.0


class SpeedUnknown(Exception):
    """No frames came, or too few in time."""


def measure(
    address: str, admin_key: str | None = None, is_cancelled: Callable[[], bool] = lambda: False
) -> float | None:
    """512x512 raw frames a second of the Triton server at `address`, which must have nothing else to do; takes
    `COUNT_S` and a second more.

    Args:
        admin_key: for a Triton behind a gateway.
        is_cancelled: asked at each frame.

    Returns:
        None if it was cancelled.

    Raises:
        SpeedUnknown: the server makes no frames, or fewer than a few in `TIMEOUT_S`.
    """
    first_s = last_s = None
    counted = 0
    try:
        for _ in _frames(address, WARM_S, admin_key):
            if is_cancelled():
                return None
        with closing(_frames(address, SOUND_S, admin_key)) as frames:
            for index, _ in enumerate(frames):
                last_s = time.monotonic()
                if is_cancelled():
                    return None
                if index < UNCOUNTED_FRAMES:
                    first_s = last_s
                    continue
                counted += 1
                if last_s - first_s >= COUNT_S:
                    break
    except grpc.RpcError as error:
        raise SpeedUnknown(error.details() or error.code().name) from error
    if not counted:
        raise SpeedUnknown(f"{SOUND_S:g} s of audio must give more than {UNCOUNTED_FRAMES} frames, got fewer")
    return counted / (last_s - first_s)


def _frames(address: str, seconds: float, admin_key: str | None):
    with closing(responses(address, sound(seconds).tobytes(), TIMEOUT_S, admin_key)) as answers:
        for message in answers:
            if message.error_message:
                raise SpeedUnknown(message.error_message)
            if message.infer_response.outputs:
                yield message


def sound(seconds: float) -> np.ndarray:
    """[N] int16 at 16 kHz: a harmonic tone of 120 Hz in four syllables a second, which the voice activity detector
    takes for speech throughout."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 24))
    return (6000 * tone * np.sin(np.pi * 4 * time_s) ** 2).astype(np.int16)
