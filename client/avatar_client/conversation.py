"""A talking head that is always on: it speaks what it is given, lives while it has nothing to say, and comes back.

The core of the adapters to voice-agent frameworks, which know no session: speech arrives in pieces faster than it is
heard, ends, is cut off, and in between a face is to be seen.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar_client.aio import AsyncAvatarClient
from avatar_client.aio_session import AsyncSession
from avatar_client.errors import SessionClosed
from avatar_client.pcm import PCM, to_int16
from avatar_client.protocol import Flow
from avatar_client.retry import RETRIABLE, Retry
from avatar_client.types import Frame, SessionOptions, State

SILENCE_S = 0.04
"""Silence is fed in such pieces."""

AHEAD_S = 0.3
"""Audio on its way while nobody speaks: the look-ahead and some time to make the frame."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Attributes:
    frame: the picture and its sound.
    is_speech: whether the sound was given by `say`, and not filled in.
    ended: how many utterances have been said to their end with this frame.
    """

    frame: Frame
    is_speech: bool
    ended: int


class Script:
    """Which of the samples on their way are speech, and where utterances end. Counts samples; knows no time."""

    def __init__(self):
        self._runs: deque[list] = deque()

    @property
    def samples(self) -> int:
        """How many are on their way."""
        return sum(count for count, _, _ in self._runs)

    def add(self, samples: int, is_speech: bool) -> None:
        if samples and self._runs and self._runs[-1][1] == is_speech and not self._runs[-1][2]:
            self._runs[-1][0] += samples
        elif samples:
            self._runs.append([samples, is_speech, 0])

    def end_utterance(self) -> bool:
        """Marks an end after what was added so far; false if nothing is on its way, so that it is over already."""
        if not self._runs:
            return False
        self._runs[-1][2] += 1
        return True

    def clear(self) -> int:
        """Forgets all; returns how many ends were among it."""
        ends = sum(run[2] for run in self._runs)
        self._runs.clear()
        return ends

    def take(self, samples: int) -> tuple[bool, int]:
        """The next samples have been shown: whether speech was among them, and how many utterances ended."""
        is_speech, ended = False, 0
        while samples and self._runs:
            run = self._runs[0]
            used = min(samples, run[0])
            samples -= used
            run[0] -= used
            is_speech |= bool(run[1])
            if not run[0]:
                ended += run[2]
                self._runs.popleft()
        return is_speech, ended


class Conversation:
    """An endless session with a clock of its own. Made inside an event loop; an async context manager and iterator.

    Args:
        client: stays the caller's.
        options: of the session.
        retry: what to do when the server is full, away or drops the session: the face comes back, what it was saying
            is lost.
    """

    def __init__(
        self,
        client: AsyncAvatarClient,
        options: SessionOptions = SessionOptions(),
        *,
        retry: Retry = Retry(attempts=10),
        flow: Flow = Flow(),
    ):
        self.options = options
        self._client = client
        self._retry = retry
        self._flow = flow
        self._session: AsyncSession | None = None
        self._script = Script()
        self._over = 0
        self._feeder: asyncio.Task | None = None
        self._closed = False

    async def start(self) -> None:
        """Opens the session.

        Raises:
            AvatarClientError: the server refuses it, also when tried again.
        """
        self._session = await self._client.open_session(self.options, flow=self._flow, retry=self._retry)
        self._feeder = asyncio.create_task(self._feed_silence())

    async def say(self, pcm: PCM) -> None:
        """Speaks [samples] at `options.sample_rate_hz`, after what is being said. As `AsyncSession.send`."""
        samples: NDArray[np.int16] = to_int16(pcm)
        session = self._running()
        with contextlib.suppress(*RETRIABLE):  # the iterator brings it back
            await session.send(samples)
            # Nothing else runs between: an interrupt finds both the audio and the note of it, or neither.
            self._script.add(samples.size, True)

    def end_utterance(self) -> None:
        """What was said so far is one utterance; the moment that shows its end says so."""
        if not self._script.end_utterance():
            self._over += 1

    async def interrupt(self) -> float:
        """Falls silent at once; returns the seconds of the session that were shown. Ends on their way are dropped."""
        session = self._running()
        self._script.clear()
        self._over = 0
        return await session.interrupt()

    async def close(self) -> None:
        """Ends the session; safe to call more than once."""
        self._closed = True
        if self._feeder is not None:
            self._feeder.cancel()
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> "Conversation":
        await self.start()
        return self

    async def __aexit__(self, *_) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Moment]:
        """Moments in order, for ever: as fast as speech is made, and at the pace of the clock without it."""
        while not self._closed:
            session = self._running()
            try:
                async for frame in session:
                    yield self._moment(frame)
                if self._closed or session.ended:
                    return
            except RETRIABLE:
                if self._closed:
                    return
                await self._come_back()

    def _moment(self, frame: Frame) -> Moment:
        over, self._over = self._over, 0
        if frame.state is State.INTERRUPTED:
            return Moment(frame, False, over)
        samples = frame.audio.size if frame.audio is not None else self._samples_of(frame)
        is_speech, ended = self._script.take(samples)
        return Moment(frame, is_speech, ended + over)

    def _samples_of(self, frame: Frame) -> int:
        rate_hz, fps = self.options.sample_rate_hz, self.options.fps
        first, last = ((frame.index + i) * rate_hz for i in (0, 1))
        return (last + fps // 2) // fps - (first + fps // 2) // fps

    async def _come_back(self) -> None:
        self._over += self._script.clear()
        await self._session.close()
        self._session = await self._client.open_session(self.options, flow=self._flow, retry=self._retry)

    async def _feed_silence(self) -> None:
        """Keeps a little audio on its way while there is no speech, so that frames go on."""
        rate_hz = self.options.sample_rate_hz
        piece = np.zeros(round(SILENCE_S * rate_hz), np.int16)
        next_s = time.monotonic()
        while not self._closed:
            next_s = max(next_s + SILENCE_S, time.monotonic() - SILENCE_S)
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            if self._script.samples < AHEAD_S * rate_hz:
                # A lost session is brought back by who iterates.
                with contextlib.suppress(*RETRIABLE, SessionClosed):
                    await self._session.send(piece)
                    self._script.add(piece.size, False)

    def _running(self) -> AsyncSession:
        if self._session is None or self._closed:
            raise SessionClosed("the conversation must be started and not closed; use `async with`")
        return self._session
