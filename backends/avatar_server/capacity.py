"""How many live sessions a machine carries: those whose frames a second fit into what it makes, at least one."""

from collections.abc import Hashable
from dataclasses import dataclass

SHARE = 0.7
"""Of the frames a second that the machine makes while it does nothing else, live sessions may have so much. The rest is
for the gateway, for the bursts in which windows come, and for the 7 % by which the measurement itself varies. Measured
on two cores: at 74 % two sessions already had one frame in twenty later than 0.1 s, at 90 % one in three."""

USUAL_FPS = 30


class NoRoom(Exception):
    """One live session too many; the message is for its client."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Attributes:
    live_fps: frames a second that all live sessions together may have; None for no limit.
    made_fps: frames a second that the machine makes, where they were measured.
    """

    live_fps: float | None = None
    made_fps: float | None = None

    @classmethod
    def measured(cls, made_fps: float) -> "Capacity":
        return cls(SHARE * made_fps, made_fps)

    @classmethod
    def by_hand(cls, live_fps: float) -> "Capacity":
        """0 is no limit."""
        return cls(live_fps or None)

    def sessions(self, fps: int = USUAL_FPS) -> int | None:
        """Live sessions at once, None for no limit."""
        return None if self.live_fps is None else max(1, int(self.live_fps // fps))

    def has_room(self, fps: int, used_fps: int) -> bool:
        """Whether a session of `fps` is admitted beside sessions that have `used_fps`; the first one always is."""
        return self.live_fps is None or not used_fps or used_fps + fps <= self.live_fps

    def __str__(self) -> str:
        count = self.sessions()
        if count is None:
            return "live sessions are limited by --max-sessions only"
        rule = f"{count} live session{'s' * (count > 1)} at {USUAL_FPS} FPS at once"
        if self.made_fps is None:
            return f"live sessions may have {self.live_fps:g} frames a second: {rule}"
        if self.made_fps < USUAL_FPS:
            rule += ", which will lack pictures"
        return f"this machine makes {self.made_fps:.0f} frames a second: {rule}"


class LiveSessions:
    """Who has how many frames a second.

    Attributes:
        capacity: to be set before sessions come; those that run are not ended by less of it.
    """

    def __init__(self, capacity: Capacity = Capacity()):
        self.capacity = capacity
        self._fps: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._fps)

    @property
    def used_fps(self) -> int:
        return sum(self._fps.values())

    def begin(self, holder: Hashable, fps: int) -> None:
        """A live session of `holder` begins, in place of one that it may have.

        Raises:
            NoRoom: it does not fit; nothing has changed.
        """
        others = {other: taken for other, taken in self._fps.items() if other != holder}
        used_fps = sum(others.values())
        if not self.capacity.has_room(fps, used_fps):
            raise NoRoom(
                f"live sessions may have at most {int(self.capacity.live_fps)} frames a second on this server, "
                f"{used_fps} are in use by {len(others)} session{'s' * (len(others) > 1)} and this one asks for {fps}; "
                "retry later or on another server, with a lower 'fps', or without 'live'"
            )
        self._fps[holder] = fps

    def end(self, holder: Hashable) -> None:
        """Frees what `holder` has, if anything."""
        self._fps.pop(holder, None)
