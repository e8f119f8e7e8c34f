"""Drives a session's audio through the five stages so that stage n of frame k overlaps stage n-1 of frame k+1.

The stages themselves are somebody else's: in this process (`avatar.local`) or Triton models (`backends/avatar`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avatar import compositor, encoding
from avatar.motion import Motion
from avatar.rasterizer import RasterResult
from avatar.session import Controls, Session
from avatar.speech import Window

OUTPUTS = ("FRAME", "PACKET", "INDEX", "PTS", "AUDIO_OUT", "BLENDSHAPES", "POSE", "LANDMARKS", "VISEME", "STATE")
PICTURES = frozenset({"FRAME", "PACKET"})
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


class Producer:
    """Makes the frames of one session. Keeps what one picture hands to the next; at most one `frames` runs at a time.

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
                    pending.append(asyncio.create_task(self._frame(controls)))
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
        return await self._stages.motion(await self._stages.audio_encoder(window.audio))

    async def _frame(self, controls: Controls) -> Frame:
        if not self._outputs & (PICTURES | {"LANDMARKS"}):
            return _without_picture(controls)
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
                return _without_picture(controls, landmarks)
            image = await self._stages.enhancer(result.raster, result.mask)
            before = np.zeros_like(image) if previous is None else await previous
            stable = await self._stages.stabilizer(image, before, result.motion_vectors)
            done.set_result(stable)
        except BaseException as error:
            if done is not None and not done.done():
                done.set_exception(error)
                done.exception()  # marked as seen: the frame's own task carries the error
            raise
        return self._deliver(controls, stable, landmarks)

    def _deliver(self, controls: Controls, stable: np.ndarray, landmarks: np.ndarray) -> Frame:
        config = self._session.config
        picture = stable if config.alpha else compositor.over(stable, self._background)
        picture = compositor.resize(picture, config.size)
        packet = None
        if self._encoder is not None:
            packet = np.frombuffer(self._encoder.encode(picture), np.uint8)
        return _without_picture(controls, landmarks, frame=picture if packet is None else None, packet=packet)


def _without_picture(controls: Controls, landmarks: np.ndarray | None = None, **picture) -> Frame:
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
        **picture,
    )
