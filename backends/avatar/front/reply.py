"""The answer to one request: frames, then exactly one final response."""

import asyncio
import contextlib
import math
import time

import numpy as np
import triton_python_backend_utils as pb_utils

from avatar.errors import (
    AvatarError,
    CapacityError,
    InvalidAudioError,
    InvalidParameterError,
    SessionNotFoundError,
    StageError,
    UnknownAvatarError,
)
from avatar.pipeline import Frame

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
CODES = {
    InvalidAudioError: "INVALID_ARG",
    InvalidParameterError: "INVALID_ARG",
    UnknownAvatarError: "NOT_FOUND",
    SessionNotFoundError: "NOT_FOUND",
    CapacityError: "UNAVAILABLE",
    StageError: "UNAVAILABLE",
}
"""Attributes of `pb_utils.TritonError`, which is not there yet when this module is imported."""


ASK_EVERY_S = 0.1
"""How often Triton is asked whether a client has gone: three of its threads are woken for an answer."""

ANSWERS_WITHIN_S = 5.0
"""Who waits longer for what Triton answers gets no answer."""


class Cancelled(Exception):
    """The client has gone or does not want the answer any more."""


class Reply:
    """Sends responses of one request."""

    def __init__(self, request):
        self._sender = request.get_response_sender()
        self._asked: asyncio.Future[bool] | None = None
        self._asked_s = -math.inf
        self._is_cancelled = False

    def is_cancelled(self) -> bool:
        """What Triton said when it was last asked, and asks anew: it takes milliseconds to answer, for which no frame
        shall wait."""
        now_s = time.monotonic()
        if self._asked is not None and self._asked.done():
            self._take_in()
        if self._asked is None and now_s - self._asked_s >= ASK_EVERY_S:
            self._asked_s = now_s
            self._asked = asyncio.get_running_loop().run_in_executor(None, self._sender.is_cancelled)
        return self._is_cancelled

    async def was_cancelled(self) -> bool:
        """After the last frame, with the answer to the last question."""
        await self._settle()
        return self._is_cancelled

    async def send(self, frame: Frame, outputs: frozenset[str]) -> None:
        response = pb_utils.InferenceResponse(_tensors(frame, outputs))
        # Triton takes its copy of the frame meanwhile; other sessions must not wait for that.
        await asyncio.get_running_loop().run_in_executor(None, self._sender.send, response)

    async def finish(self) -> None:
        await self._settle()
        self._sender.send(flags=FINAL)

    async def fail(self, error: BaseException) -> None:
        """Ends the answer with `error`; what the client may not see is replaced."""
        await self._settle()
        triton_error = pb_utils.TritonError(*_described(error))
        # The client may be gone, which is no reason to fail.
        with contextlib.suppress(Exception):
            self._sender.send(pb_utils.InferenceResponse(error=triton_error), flags=FINAL)

    async def _settle(self) -> None:
        """After the final response Triton must not be asked any more: the request is gone."""
        if self._asked is not None:
            await asyncio.wait([self._asked], timeout=ANSWERS_WITHIN_S)
            if self._asked.done():
                self._take_in()

    def _take_in(self) -> None:
        asked, self._asked = self._asked, None
        # Who cannot be told is not known to have gone, and must still get a final response.
        if asked is not None and asked.exception() is None:
            self._is_cancelled |= asked.result()


def _described(error: BaseException) -> tuple[str, int]:
    """What the client is told, and the status code."""
    if isinstance(error, Cancelled):
        return "the request was cancelled", pb_utils.TritonError.CANCELLED
    code = next((code for kind, code in CODES.items() if isinstance(error, kind)), "INTERNAL")
    message = str(error) if isinstance(error, AvatarError) else "the server failed on this session; its log says more"
    return message, getattr(pb_utils.TritonError, code)


def _tensors(frame: Frame, outputs: frozenset[str]) -> list:
    values = {
        "FRAME": frame.frame,
        "PACKET": frame.packet,
        "INDEX": np.array([frame.index], np.int64),
        "PTS": np.array([frame.pts_s], np.float64),
        "AUDIO_OUT": frame.audio_out,
        "BLENDSHAPES": frame.blendshapes,
        "POSE": frame.pose,
        "LANDMARKS": frame.landmarks,
        "FACE_MESH": frame.face_mesh,
        "VISEME": frame.viseme,
        "STATE": np.array([frame.state], np.uint8),
    }
    return [
        pb_utils.Tensor(name, value[None]) for name, value in values.items() if name in outputs and value is not None
    ]
