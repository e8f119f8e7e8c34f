"""The open sessions: how many there may be, whose a request is, and which have been silent for too long."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from avatar.errors import CapacityError, SessionNotFoundError
from avatar.pipeline import Producer
from avatar.session import Session


@dataclass(slots=True, eq=False)
class Open:
    """One open session.

    Attributes:
        key: its sequence id.
        outputs: tensors that its first request asked for.
        lock: held by the request whose frames are being made; requests get it in the order in which they came.
        waiting: requests that have come and are not answered.
        waiting_s: audio in them.
        audio_s: audio received in all.
        seen_s: when the latest of them was answered.
        first_audio_s: when the first audio came, None before.
        last_frame_s: when the latest frame was sent, None before the first.
        interrupted_s: when an interrupt came whose frame at rest has not been sent, else None.
        frames, dropped, late: frames sent; of them without their picture; of them after their time.
        trace: what `front.tracing` notes of it, None if it is not traced.
        is_canary: whether it only tries whether all works, as `avatar_server.canary` does.
        is_open: false once it has ended; requests that still wait for their turn then find it so.
    """

    key: int | str
    session: Session
    producer: Producer
    outputs: frozenset[str]
    seen_s: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    waiting_s: float = 0.0
    audio_s: float = 0.0
    first_audio_s: float | None = None
    last_frame_s: float | None = None
    interrupted_s: float | None = None
    frames: int = 0
    dropped: int = 0
    late: int = 0
    is_open: bool = True
    trace: object | None = None

    @property
    def is_canary(self) -> bool:
        return str(self.key).startswith("canary-")


class Sessions:
    """All open sessions of this process.

    Args:
        limit: sessions admitted at once.
        idle_s: a session without a request for so long is closed. Triton does not tell when a client has gone
            between requests.
    """

    def __init__(self, limit: int, idle_s: float, clock: Callable[[], float] = time.monotonic):
        self._limit = limit
        self._idle_s = idle_s
        self._clock = clock
        self._open: dict[int | str, Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Open]:
        return iter(self._open.values())

    def admit(self, key: int | str) -> Open | None:
        """Makes room for a session: one of the same key that is still open ends and is returned.

        Raises:
            CapacityError: there are as many as there may be.
        """
        if (old := self._open.get(key)) is not None:
            self.close(old)
        if len(self._open) >= self._limit:
            raise CapacityError(
                f"RESOURCE_EXHAUSTED: this server runs at most {self._limit} sessions at once, {len(self._open)} are "
                "in use; retry later or on another server"
            )
        return old

    def open(self, key: int | str, session: Session, producer: Producer, outputs: frozenset[str]) -> Open:
        self.admit(key)
        entry = self._open[key] = Open(key, session, producer, outputs, seen_s=self._clock())
        return entry

    def find(self, key: int | str) -> Open | None:
        return self._open.get(key)

    def get(self, key: int | str) -> Open:
        """Raises:
        SessionNotFoundError: it was never opened, has ended, failed, or was idle for too long.
        """
        if (entry := self._open.get(key)) is None:
            raise SessionNotFoundError(
                f"session {key!r} is not open: it has ended, failed, or was idle for {self._idle_s:g} s; open a new "
                "one with sequence_start"
            )
        return entry

    @asynccontextmanager
    async def turn(self, entry: Open) -> AsyncIterator[None]:
        """Waits until the requests that came before are answered; held while the answer is made.

        Raises:
            SessionNotFoundError: the session ended meanwhile.
        """
        entry.waiting += 1
        try:
            async with entry.lock:
                if not entry.is_open:
                    raise SessionNotFoundError(
                        f"session {entry.key!r} ended before this request's turn; open a new one with sequence_start"
                    )
                yield
        finally:
            entry.waiting -= 1
            entry.seen_s = self._clock()

    def close(self, entry: Open) -> None:
        entry.is_open = False
        if self._open.get(entry.key) is entry:
            del self._open[entry.key]

    def sweep(self) -> list[Open]:
        """Closes and returns the sessions that have been idle for too long."""
        limit_s = self._clock() - self._idle_s
        idle = [entry for entry in self._open.values() if not entry.waiting and entry.seen_s < limit_s]
        for entry in idle:
            self.close(entry)
        return idle
