"""Drives a session's audio through the five stages so that stage n of frame k overlaps stage n-1 of frame k+1.

The stages themselves are somebody else's: in this process (`avatar.local`) or Triton models (`backends/avatar`).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from avatar import compositor, encoding
from avatar.motion import Motion
from avatar.rasterizer import RasterResult
from avatar.session import Controls, Session
from avatar.speech import Window

OUTPUTS = ("FRAME", "PACKET", "INDEX", "PTS", "AUDIO_OUT", "BLENDSHAPES", "POSE", "LANDMARKS", "VISEME", "STATE")
PICTURES = frozenset({"FRAME", "PACKET"})
DROP_AFTER_S = 0.1
"""How late the work on a live frame may begin."""

FRAMES_IN_FLIGHT = 4
"""Enough for every stage to hold one frame, few enough that an interrupt wastes little work."""


class Stages(Protocol):
    """The five stages; see docs/architecture.md for tensors. Each may be called concurrently."""

    async def audio_encoder(self, audio: np.ndarray) -> np.ndarray: ...

    async def motion(self, features: np.ndarray) -> Motion: ...

    async def rasterizer(
        self,
        avatar: str,
        blendshapes: np.ndarray,
        pose: np.ndarray,
        previous_blendshapes: np.ndarray,
        previous_pose: np.ndarray,
    ) -> RasterResult: ...

    async def enhancer(self, raster: np.ndarray, mask: np.ndarray) -> np.ndarray: ...

    async def stabilizer(self, image: np.ndarray, previous: np.ndarray, motion_vectors: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it is delivered; see the contract in README.md.

    Attributes:
        frame: [size, size, 3 or 4] uint8, None unless asked for. packet: bytes as uint8 [N], None unless asked for.
        landmarks: [68, 2] float32 in pixels of the delivered size, None unless asked for.
        epoch: interrupts before this frame.
        due_s: when it was due, on the clock of `time.monotonic()`.
        is_dropped: whether its picture was left out to keep real time.
    """

    index: int
    pts_s: float
    epoch: int
    audio_out: np.ndarray
    blendshapes: np.ndarray
    pose: np.ndarray
    viseme: np.ndarray
    state: int
    frame: np.ndarray | None = None
    packet: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    due_s: float = 0.0
    is_dropped: bool = False


class Producer:
    """Makes the frames of one session. Keeps what one picture hands to the next; at most one `frames` runs at a time.

    A live session keeps real time: a frame whose work would begin later than `DROP_AFTER_S` after it was due comes
    without its picture, so that the lag stays bounded and the pictures left out lie evenly.

    Args:
        background: [512, 512, 3] uint8, the plate behind the head.
        outputs: names of `OUTPUTS` the client wants; work for others is not done.
    """

    def __init__(self, session: Session, stages: Stages, background: np.ndarray, outputs: frozenset[str]):
        self._session = session
        self._stages = stages
        self._background = background
        self._outputs = outputs
        self._encoder = encoding.encoder(session.config.encoding, session.config.size, session.config.fps)
        self._previous: asyncio.Future[np.ndarray] | None = None
        self._shown: Controls | None = None
        self._silent_motion: Motion | None = None

    def request_keyframe(self) -> None:
        """The next picture of an H.264 session can be decoded without those before; other encodings always can."""
        if isinstance(self._encoder, encoding.H264Encoder):
            self._encoder.request_keyframe()

    async def frames(self, is_cancelled: Callable[[], bool] = lambda: False) -> AsyncIterator[Frame]:
        """Yields, in order, the frames that the audio pushed so far allows; stops early at an interrupt or cancel."""
        epoch = self._session.epoch
        async with aclosing(self._in_order()) as ready:
            async for frame in ready:
                if self._session.epoch != epoch or is_cancelled():
                    return
                self._session.delivered(frame.index)
                yield frame

    async def _in_order(self) -> AsyncIterator[Frame]:
        pending: deque[asyncio.Task[Frame]] = deque()
        try:
            async with aclosing(self._controls()) as ready:
                async for controls in ready:
                    pending.append(asyncio.create_task(self._frame(*self._scheduled(controls))))
                    if len(pending) >= FRAMES_IN_FLIGHT:
                        yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            # A stage's call cannot be called back: leave none running behind a session that goes on or ends.
            await asyncio.gather(*pending, return_exceptions=True)

    async def _controls(self) -> AsyncIterator[Controls]:
        session = self._session
        epoch = session.epoch
        windows = session.windows()
        task = self._start(windows)
        try:
            while session.epoch == epoch:
                for controls in session.controls():
                    yield controls
                if task is None:
                    return
                motion = await task
                # The next window is analyzed while the frames of this one are rendered.
                task = self._start(windows)
                session.settle(epoch, motion)
        finally:
            if task is not None:
                await asyncio.gather(task, return_exceptions=True)

    def _start(self, windows: Iterator[Window]) -> asyncio.Task[Motion] | None:
        window = next(windows, None)
        return None if window is None else asyncio.create_task(self._analyze(window))

    async def _analyze(self, window: Window) -> Motion:
        if window.audio.any():
            return await self._stages.motion(await self._stages.audio_encoder(window.audio))
        # The networks keep no state, so that digital silence always moves the face in the same way.
        if self._silent_motion is None:
            self._silent_motion = await self._stages.motion(await self._stages.audio_encoder(window.audio))
        return self._silent_motion

    def _scheduled(self, controls: Controls) -> tuple[Controls, float, bool]:
        """Controls relative to the picture shown last, when the frame is due, and whether its picture is left out."""
        due_s = self._session.playout.due_s(controls.index)
        if self._session.config.live and time.monotonic() > due_s + DROP_AFTER_S:
            return controls, due_s, True
        if self._shown is not None:
            controls = replace(controls, previous_blendshapes=self._shown.blendshapes, previous_pose=self._shown.pose)
        self._shown = controls
        return controls, due_s, False

    async def _frame(self, controls: Controls, due_s: float, is_dropped: bool) -> Frame:
        if is_dropped or not self._outputs & (PICTURES | {"LANDMARKS"}):
            return _without_picture(controls, due_s, is_dropped=is_dropped)
        config = self._session.config
        previous, done = self._previous, None
        if self._outputs & PICTURES:
            # Registered before the first await: the next frame waits for this one's picture, whatever finishes first.
            done = self._previous = asyncio.get_running_loop().create_future()
        try:
            result = await self._stages.rasterizer(
                config.avatar,
                controls.blendshapes,
                controls.pose,
                controls.previous_blendshapes,
                controls.previous_pose,
            )
            landmarks = result.landmarks * np.float32(config.size / result.raster.shape[0])
            if done is None:
                return _without_picture(controls, due_s, landmarks)
            image = await self._stages.enhancer(result.raster, result.mask)
            before = np.zeros_like(image) if previous is None else await previous
            stable = await self._stages.stabilizer(image, before, result.motion_vectors)
            done.set_result(stable)
        except BaseException as error:
            if done is not None and not done.done():
                done.set_exception(error)
                done.exception()  # marked as seen: the frame's own task carries the error
            raise
        return self._deliver(controls, due_s, stable, landmarks)

    def _deliver(self, controls: Controls, due_s: float, stable: np.ndarray, landmarks: np.ndarray) -> Frame:
        config = self._session.config
        picture = stable if config.alpha else compositor.over(stable, self._background)
        picture = compositor.resize(picture, config.size)
        packet = None
        if self._encoder is not None:
            packet = np.frombuffer(self._encoder.encode(picture), np.uint8)
        return _without_picture(controls, due_s, landmarks, frame=picture if packet is None else None, packet=packet)


def _without_picture(controls: Controls, due_s: float, landmarks: np.ndarray | None = None, **picture) -> Frame:
    return Frame(
        index=controls.index,
        pts_s=controls.pts_s,
        epoch=controls.epoch,
        audio_out=controls.audio,
        blendshapes=controls.blendshapes,
        pose=controls.pose,
        viseme=controls.viseme,
        state=controls.state,
        landmarks=landmarks,
        due_s=due_s,
        **picture,
    )
