"""The `avatar` model: audio chunks in, frames out. One Triton sequence is one session.

`execute` is a coroutine and returns at once, so that no session waits for another and an interrupt overtakes the audio
sent before it. Frames stay in order because the requests of a session take turns.
"""

import asyncio
import functools
import json
import os
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from front.call import Call, label, read
from front.limits import Limits
from front.metrics import Metrics
from front.reply import Cancelled, Reply
from front.sessions import Open, Sessions
from front.stages import BlsStages
from front.tracing import Tracing

from avatar import catalog, compositor, encoding
from avatar.config import FRAME_RATES, FRAME_SIZE
from avatar.errors import AvatarError, CapacityError, SessionNotFoundError
from avatar.pipeline import Frame, Producer
from avatar.places import Places
from avatar.session import Session
from avatar.session_config import InStream, SessionConfig

LATE_AFTER_S = 0.1
"""A frame that is sent later than this after it was due is late: more than a player keeps in store."""

SWEEP_S = 1.0
SETTLE_S = 0.001
"""The stub registers a coroutine after starting it, and complains of one that is over by then; no client waits."""


class TritonPythonModel:
    """Runs sessions; all logic is in `avatar`."""

    def initialize(self, args):
        parameters = {
            name: value["string_value"]
            for name, value in json.loads(args["model_config"]).get("parameters", {}).items()
        }

        def setting(name, default):
            return os.environ.get(f"AVATAR_{name.upper()}") or parameters.get(name) or default

        self.limit = int(setting("max_sessions", 4))
        self.avatars_dir = Path(setting("avatars_dir", catalog.AVATARS_DIR))
        self.sessions = Sessions(self.limit, float(setting("session_idle_s", 60)))
        allowed = Limits()
        self.limits = replace(
            allowed,
            chunk_s=float(setting("max_chunk_s", allowed.chunk_s)),
            session_s=float(setting("max_session_s", allowed.session_s)),
        )
        self.frames_at_once = int(setting("frames_at_once", 0)) or len(os.sched_getaffinity(0)) + 2
        self.places = Places(self.frames_at_once)
        self.metrics = Metrics(self.limit)
        self.stages = BlsStages(self.metrics.stage)
        self.tracing = Tracing()
        self.background = functools.lru_cache(maxsize=16)(catalog.background)
        self.sweeper = None
        self.settling = set()
        _warm_up()

    def finalize(self):
        self.metrics.close()

    async def execute(self, requests):
        if self.sweeper is None:
            # Every call of a stage holds a thread while it waits.
            threads = self.limit * 5 + self.frames_at_once
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="bls"))
            self.sweeper = asyncio.create_task(self._sweep())
        await asyncio.gather(*map(self._serve, requests))
        await asyncio.sleep(SETTLE_S)

    async def _serve(self, request):
        reply = Reply(request)
        try:
            await self._answer(read(request), reply)
            await reply.finish()
        except Cancelled as error:
            await reply.fail(error)
        # An exception that left this coroutine would leave the client without a final response for ever.
        except BaseException as error:
            self.metrics.failures.increment(1)
            if not isinstance(error, AvatarError):
                pb_utils.Logger.log_error(traceback.format_exc())
            await reply.fail(error)

    async def _answer(self, call: Call, reply: Reply):
        if call.parameters.get("event") == "close":
            # Whoever closes a session does not care whether it is still open.
            if (entry := self.sessions.find(call.key)) is not None:
                self._close(entry, "cancelled")
            return
        entry = None
        try:
            entry = self._open(call) if call.is_start else self.sessions.get(call.key)
            said = InStream.of(call.parameters) if call.is_start else InStream.from_parameters(call.parameters)
            await self._take_turn(entry, call, said, reply)
        except BaseException as error:
            # An error ends its session; the requests that wait for their turn find it so.
            if entry is not None:
                self._close(entry, "cancelled" if isinstance(error, Cancelled) else "failed", error)
            raise
        if call.is_end:
            self._close(entry, "ended")

    async def _take_turn(self, entry: Open, call: Call, said: InStream, reply: Reply):
        session = entry.session
        came_s = time.monotonic()
        if said.event == "interrupt":
            # Not in its turn: what is being made and what waits is dropped now.
            session.interrupt()
            entry.producer.wake()
            entry.interrupted_s = came_s
            self.metrics.interrupts.increment(1)
        if said.event == "keyframe":
            entry.producer.request_keyframe()
        audio_s = call.pcm.size / session.config.sample_rate_hz
        self.limits.check(audio_s, entry.waiting_s + audio_s, entry.audio_s + audio_s)
        if audio_s and entry.first_audio_s is None:
            entry.first_audio_s = came_s
        entry.audio_s += audio_s
        self.metrics.audio_s.increment(audio_s)
        # Taken in at once, so that the work on its frames begins while those of earlier requests are still sent.
        session.tell(replace(said, event=None))
        session.push(call.pcm, came_s)
        if call.is_end:
            session.end()
        entry.producer.wake()
        epoch, bound = session.epoch, session.bound
        entry.waiting_s += audio_s
        try:
            async with self.sessions.turn(entry):
                if session.epoch == epoch:
                    await self._send_frames(entry, call.outputs, reply, bound)
        finally:
            entry.waiting_s -= audio_s

    def _open(self, call: Call) -> Open:
        config = SessionConfig.from_parameters(call.parameters)
        folder = catalog.folder(config.avatar, self.avatars_dir)
        try:
            replaced = self.sessions.admit(call.key)
        except CapacityError:
            self.metrics.refused.increment(1)
            raise
        if replaced is not None:
            self._note_closed(replaced, "replaced")
        session = Session(config)
        trace = self.tracing.begin(config.traceparent)
        stages = self.stages if trace is None else trace.around(self.stages)
        producer = Producer(session, stages, self.background(folder), call.outputs, self.places)
        entry = self.sessions.open(call.key, session, producer, call.outputs)
        entry.trace = trace
        self.metrics.sessions.increment(1)
        self.metrics.sessions_active.set(len(self.sessions))
        _log(entry)(
            f"session={label(call.key)} opened: avatar {config.avatar}, {config.fps} FPS, {config.size} px, "
            f"{config.encoding}, {config.sample_rate_hz} Hz"
        )
        return entry

    async def _send_frames(self, entry: Open, outputs: frozenset[str], reply: Reply, bound: int):
        def must_stop():
            return not entry.is_open or reply.is_cancelled()

        async with aclosing(entry.producer.frames(must_stop, bound)) as frames:
            async for frame in frames:
                await reply.send(frame, outputs & entry.outputs)
                self._note_sent(entry, frame)
        if await reply.was_cancelled():
            raise Cancelled
        if not entry.is_open:
            raise SessionNotFoundError(f"session {entry.key!r} ended: another one was started with its id")

    def _note_sent(self, entry: Open, frame: Frame):
        now_s = time.monotonic()
        latency_s = max(0.0, now_s - frame.due_s)
        is_late = latency_s > LATE_AFTER_S
        entry.frames += 1
        entry.dropped += frame.is_dropped
        entry.late += is_late
        self.metrics.frames.increment(1)
        if entry.is_canary:
            return
        if frame.is_dropped:
            self.metrics.dropped.increment(1)
        if is_late:
            self.metrics.late.increment(1)
        self.metrics.frame_latency_s.observe(latency_s)
        if entry.last_frame_s is None:
            self.metrics.first_frame_s.observe(now_s - (entry.first_audio_s or now_s))
        else:
            self.metrics.frame_interval_s.observe(now_s - entry.last_frame_s)
        entry.last_frame_s = now_s
        if entry.interrupted_s is not None and frame.index >= entry.session.rest_index:
            self.metrics.rest_s.observe(now_s - entry.interrupted_s)
            entry.interrupted_s = None

    def _close(self, entry: Open, reason: str, error: BaseException | None = None):
        was_open = entry.is_open
        self.sessions.close(entry)
        if was_open:
            self._note_closed(entry, reason, error)

    def _note_closed(self, entry: Open, reason: str, error: BaseException | None = None):
        task = asyncio.ensure_future(_settle(entry))
        self.settling.add(task)
        task.add_done_callback(self.settling.discard)
        self.metrics.closed(reason)
        self.metrics.sessions_active.set(len(self.sessions))
        if entry.trace is not None:
            entry.trace.end(
                session=label(entry.key), reason=reason, audio_s=entry.audio_s, frames=entry.frames,
                dropped=entry.dropped, late=entry.late, interrupts=entry.session.epoch,
            )  # fmt: skip
        # The text of an error that is no AvatarError stands in the log already, with its traceback.
        detail = f" ({error})" if isinstance(error, AvatarError) else ""
        _log(entry)(
            f"session={label(entry.key)} {reason}{detail}: {entry.audio_s:.2f} s of audio, {entry.frames} frames, "
            f"{entry.dropped} dropped, {entry.late} late, {entry.session.epoch} interrupts"
        )

    async def _sweep(self):
        while True:
            await asyncio.sleep(SWEEP_S)
            for entry in self.sessions.sweep():
                self._note_closed(entry, "idle")
            self.metrics.audio_lag_s.set(max((entry.session.lag_s for entry in self.sessions), default=0.0))


def _log(entry: Open):
    """What stands in the log of everyone, and of a canary only in that of who looks for it."""
    return pb_utils.Logger.log_verbose if entry.is_canary else pb_utils.Logger.log_info


async def _settle(entry: Open):
    """Takes in what a closed session still has under way, once nobody else does."""
    async with entry.lock:
        await entry.producer.settle_down()


def _warm_up():
    """Loads what is compiled or imported on first use, so that no client's first frame waits for it."""
    plate = np.zeros((FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    compositor.over(np.zeros((FRAME_SIZE, FRAME_SIZE, 4), np.uint8), plate)
    # Without PyAV only sessions that ask for H.264 fail.
    with suppress(ImportError):
        encoding.encoder("h264", FRAME_SIZE, FRAME_RATES[0]).encode(plate)
