"""Drives a session's audio through the five stages so that stage n of frame k overlaps stage n-1 of frame k+1.

The stages themselves are somebody else's: in this process (`avatar.local`) or Triton models (`backends/avatar`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from avatar import compositor, encoding
from avatar.motion import Motion
from avatar.places import Places
from avatar.playout import PLAYOUT_DELAY_S
from avatar.rasterizer import RasterResult
from avatar.session import Controls, Session
from avatar.speech import Window, whole_features

OUTPUTS = (
    "FRAME", "PACKET", "INDEX", "PTS", "AUDIO_OUT", "BLENDSHAPES", "POSE", "LANDMARKS", "FACE_MESH", "VISEME", "STATE",
)  # fmt: skip
PICTURES = frozenset({"FRAME", "PACKET"})
POINTS = frozenset({"LANDMARKS", "FACE_MESH"})
DROP_AFTER_S = 0.1
"""How late the work on a live frame may begin."""

FRAMES_IN_FLIGHT = 4
"""Enough for every stage to hold one frame, few enough that an interrupt wastes little work."""

LIVE_FRAMES_IN_FLIGHT = 8
"""Those of one window at 60 frames a second and some that wait for their time."""

HEAD_START_S = 0.033
"""How long before it is due the work on a live frame begins, where the window comes sooner: one frame of 30 a second.
All frames of one window at once would only hold each other up."""

PATIENCE_S = 0.5
"""A frame nobody waits for in real time goes before live ones that came so much later."""

WINDOWS_IN_FLIGHT = 2
"""While `motion` has one, `audio_encoder` has the next: one at a time, the two stages together would set the pace."""


Tensor = TypeVar("Tensor")
"""What one stage hands to the next: an array, or whatever spares copies."""


class Stages(Protocol[Tensor]):
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
    ) -> RasterResult:
        """Only the landmarks and the face mesh need be arrays."""

    async def enhancer(self, raster: Tensor, mask: Tensor) -> Tensor: ...

    async def stabilizer(self, image: Tensor, previous: np.ndarray, motion_vectors: Tensor) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it is delivered; see the contract in README.md.

    Attributes:
        frame: [size, size, 3 or 4] uint8, None unless asked for. packet: bytes as uint8 [N], None unless asked for.
        landmarks: [68, 2] float32 in pixels of the delivered size, None unless asked for.
        face_mesh: [478, 3] float32 likewise; the third is depth, see `avatar.rasterizer.RasterResult`.
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
    face_mesh: np.ndarray | None = None
    due_s: float = 0.0
    is_dropped: bool = False


class Producer:
    """Makes the frames of one session. Keeps what one picture hands to the next; at most one `frames` runs at a time.

    A live session keeps real time. Its frames leave one by one, `PLAYOUT_DELAY_S` after each is due, although they are
    made in bursts, as windows come; only the first, and the first after an interrupt, leaves as soon as it is made. A
    frame whose work would begin later than `DROP_AFTER_S` after it was due comes without its picture, so that the lag
    stays bounded and the pictures left out lie evenly.

    Args:
        background: [512, 512, 3] uint8, the plate behind the head.
        outputs: names of `OUTPUTS` the client wants; work for others is not done.
        places: shared with the other sessions that use these stages.
    """

    def __init__(
        self,
        session: Session,
        stages: Stages,
        background: np.ndarray,
        outputs: frozenset[str],
        places: Places | None = None,
    ):
        self._session = session
        self._stages = stages
        self._background = background
        self._nothing = np.zeros((*background.shape[:2], 4), np.uint8)
        self._outputs = outputs
        self._encoder = encoding.encoder(session.config.encoding, session.config.size, session.config.fps)
        self._places = places or Places(FRAMES_IN_FLIGHT)
        self._in_flight = LIVE_FRAMES_IN_FLIGHT if session.config.live else FRAMES_IN_FLIGHT
        self._epoch = session.epoch
        self._is_over = False
        self._is_awaited = True
        self._news: asyncio.Future[None] | None = None
        self._pending: deque[asyncio.Task[Frame]] = deque()
        self._windows: deque[asyncio.Task[Motion]] = deque()
        self._stale: set[asyncio.Task] = set()
        self._features: asyncio.Future[np.ndarray] | None = None
        self._previous: asyncio.Future[np.ndarray] | None = None
        self._shown: Controls | None = None

    def request_keyframe(self) -> None:
        """The next picture of an H.264 session can be decoded without those before; other encodings always can."""
        if isinstance(self._encoder, encoding.H264Encoder):
            self._encoder.request_keyframe()

    def wake(self) -> None:
        """To be told of audio and of interrupts, so that none of them waits for the time of the next frame."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def frames(
        self, is_cancelled: Callable[[], bool] = lambda: False, bound: int | None = None
    ) -> AsyncIterator[Frame]:
        """Yields frames in order up to number `bound`, exclusive; stops early at an interrupt or cancel.

        Work on later frames goes on meanwhile and is kept for the next call, so that the stages do not run empty
        between two requests of a session.

        Args:
            is_cancelled: asked once a frame; it may be slow.
            bound: by default all frames that the audio pushed so far allows.
        """
        session = self._session
        epoch = session.epoch
        bound = session.bound if bound is None else bound
        self._drop_stale()
        try:
            while session.epoch == epoch and session.delivered_frames < bound:
                frame = await self._next(epoch)
                if frame is None:
                    continue
                if is_cancelled():
                    await self.settle_down()
                    return
                if session.epoch == epoch:
                    session.delivered(frame.index)
                    self._is_awaited = False
                    yield frame
        except Exception:
            await self.settle_down()
            raise

    async def settle_down(self) -> None:
        """Ends all work; waits for the calls of stages that are under way, which cannot be called back."""
        self._is_over = True
        running = [*self._pending, *self._stale, *self._windows]
        self._pending.clear()
        self._stale.clear()
        self._windows.clear()
        await asyncio.gather(*running, return_exceptions=True)

    async def _next(self, epoch: int) -> Frame | None:
        """The next frame, or None where first a window, news or the frame's time had to be waited for."""
        self._top_up()
        head = self._pending[0] if self._pending else None
        window = self._windows[0] if self._windows else None
        if head is None and window is None:
            raise AssertionError("a frame within the bound can be made")
        wait_s = self._wait_s(head) if head is not None and head.done() else None
        if wait_s != 0 and (window is None or not window.done()):
            if self._news is None or self._news.done():
                self._news = asyncio.get_running_loop().create_future()
            running = {task for task in (head, window) if task is not None and not task.done()}
            await asyncio.wait({self._news, *running}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if self._session.epoch != epoch:
            return None
        if window is not None and window.done():
            self._windows.popleft()
            self._session.settle(epoch, window.result())
            self._top_up()
        if head is not None and head.done() and self._wait_s(head) == 0:
            return self._pending.popleft().result()
        return None

    def _wait_s(self, made: asyncio.Task[Frame]) -> float:
        """How long until a frame that is made may leave."""
        if not self._session.config.live or self._is_awaited or made.exception() is not None:
            return 0.0
        return max(0.0, made.result().due_s + PLAYOUT_DELAY_S - _now_s())

    def _top_up(self) -> None:
        """Starts windows, then frames, until enough of each are under way or wait for their time."""
        while len(self._windows) < WINDOWS_IN_FLIGHT:
            window = next(self._session.windows(), None)
            if window is None:
                break
            self._windows.append(asyncio.create_task(self._analyze(window)))
        while len(self._pending) < self._in_flight:
            controls = next(self._session.controls(), None)
            if controls is None:
                break
            self._pending.append(
                asyncio.create_task(self._frame(controls, self._session.playout.due_s(controls.index)))
            )

    def _drop_stale(self) -> None:
        """What is in the stages at an interrupt runs to its end, unseen."""
        if self._epoch == self._session.epoch:
            return
        self._epoch = self._session.epoch
        self._is_awaited = True
        # Pictures that were encoded and are not delivered are missing from what a client can decode.
        self.request_keyframe()
        for task in [*self._pending, *self._windows]:
            self._stale.add(task)
            task.add_done_callback(self._forget)
        self._pending.clear()
        self._windows.clear()

    def _forget(self, task: asyncio.Task) -> None:
        self._stale.discard(task)
        if not task.cancelled():
            task.exception()  # marked as seen: nobody waits for it any more

    async def _analyze(self, window: Window) -> Motion:
        config = self._session.window
        if not window.is_active:
            return Motion.rest(config.window_rows)
        # Registered before the first await: the next window's features need this one's, whatever finishes first.
        before, done = self._features, asyncio.get_running_loop().create_future()
        self._features = done
        try:
            encoded = await self._stages.audio_encoder(window.audio)
            is_whole = len(encoded) == config.window_rows
            features = whole_features(encoded, None if is_whole else await before, config)
            done.set_result(features)
        except BaseException as error:
            _fail(done, error)
            raise
        return await self._stages.motion(features)

    async def _frame(self, controls: Controls, due_s: float) -> Frame | None:
        """None where it has become pointless before its work began."""
        if not self._outputs & (PICTURES | POINTS):
            return _without_picture(controls, due_s)
        is_live = self._session.config.live
        if is_live and not self._is_awaited:
            await asyncio.sleep(due_s - HEAD_START_S - _now_s())
        async with self._places.place(due_s if is_live else _now_s() + PATIENCE_S):
            if self._is_stale(controls):
                return None
            if is_live and _now_s() > due_s + DROP_AFTER_S:
                return _without_picture(controls, due_s, is_dropped=True)
            stable, points = await self._picture(self._since_shown(controls))
        if stable is None or self._is_stale(controls):
            return _without_picture(controls, due_s, **points)
        return self._deliver(controls, due_s, stable, points)

    def _is_stale(self, controls: Controls) -> bool:
        return self._is_over or controls.epoch != self._session.epoch

    def _since_shown(self, controls: Controls) -> Controls:
        """Controls relative to the picture before, which need not be the frame before. Frames get here in order."""
        if self._shown is not None:
            controls = replace(controls, previous_blendshapes=self._shown.blendshapes, previous_pose=self._shown.pose)
        self._shown = controls
        return controls

    async def _picture(self, controls: Controls) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
        """The picture, None unless asked for, and the points under their names in `Frame`."""
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
            scale = np.float32(config.size / len(self._background))
            points = {"landmarks": result.landmarks * scale, "face_mesh": result.face_mesh * scale}
            if done is None:
                return None, points
            image = await self._stages.enhancer(result.raster, result.mask)
            before = self._nothing if previous is None else await previous
            stable = await self._stages.stabilizer(image, before, result.motion_vectors)
            done.set_result(stable)
        except BaseException as error:
            if done is not None:
                _fail(done, error)
            raise
        return stable, points

    def _deliver(self, controls: Controls, due_s: float, stable: np.ndarray, points: dict[str, np.ndarray]) -> Frame:
        config = self._session.config
        if config.alpha:
            picture = compositor.cut_out(compositor.resize(stable, config.size))
        else:
            picture = compositor.resize(compositor.over(stable, self._background), config.size)
        packet = None
        if self._encoder is not None:
            packet = np.frombuffer(self._encoder.encode(picture), np.uint8)
        return _without_picture(controls, due_s, frame=picture if packet is None else None, packet=packet, **points)


def _fail(done: asyncio.Future, error: BaseException) -> None:
    """Tells who waits for the result; seen or not, the task that failed carries the error."""
    if not done.done():
        done.set_exception(error)
        done.exception()


def _now_s() -> float:
    """On the clock of `time.monotonic()`, unless the event loop has another."""
    return asyncio.get_running_loop().time()


def _without_picture(controls: Controls, due_s: float, **picture) -> Frame:
    return Frame(
        index=controls.index,
        pts_s=controls.pts_s,
        epoch=controls.epoch,
        audio_out=controls.audio,
        blendshapes=controls.blendshapes,
        pose=controls.pose,
        viseme=controls.viseme,
        state=controls.state,
        due_s=due_s,
        **picture,
    )
