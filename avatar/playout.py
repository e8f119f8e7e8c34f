"""When each frame of a session is due: audio is the master clock, and a player shows one frame every 1/fps."""

from collections import deque

PLAYOUT_DELAY_S = 0.01
"""How long after it is due a live frame leaves: the time that making it may take, so that frames leave evenly."""


LONGEST_STALL_S = 0.5
"""Audio that comes later than this has paused; what comes sooner was held up on its way."""

CATCH_UP = 0.1
"""By how much frames are due faster than they are shown, until the time that was lost in a stall is made up."""


class Playout:
    """The clock of a player that shows each frame as soon as its audio and look-ahead have arrived.

    Frame k of a run of audio can be made once the audio up to k/fps + look-ahead is there, and is due then, but never
    sooner than 1/fps after the frame before: who sends a sentence in one piece still plays it at its own pace. A pause
    in the audio moves what follows; so frames are late only where they took too long to make. After a stall, in which
    audio came late that now is there, frames are due a tenth sooner one after the other until they have caught up.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, fps: int, lookahead_ms: int):
        self._period_s = 1 / fps
        self._lookahead_s = lookahead_ms / 1000
        self._first_index = 0
        self._received_s = 0.0
        self._arrivals: deque[tuple[float, float]] = deque()
        self._ended_at_s: float | None = None
        self._restarted_at_s = 0.0
        self._last: tuple[int, float] | None = None
        self._behind_s = 0.0

    def arrived(self, audio_s: float, now_s: float) -> None:
        """`audio_s` more seconds of audio have come."""
        self._received_s += audio_s
        self._arrivals.append((self._received_s, now_s))

    def ended(self, now_s: float) -> None:
        """No more audio will come: frames do not wait for look-ahead any more."""
        self._ended_at_s = now_s

    def restart(self, first_index: int, now_s: float) -> None:
        """An interrupt: audio that comes from now on begins at frame `first_index`; frames before it are due now."""
        self._first_index = first_index
        self._received_s = 0.0
        self._arrivals.clear()
        self._restarted_at_s = now_s
        self._last = None
        self._behind_s = 0.0

    def due_s(self, index: int) -> float:
        """When frame `index` is due; to be asked in ascending order, once something has arrived or ended."""
        due_s = self._ready_s(index)
        if self._last is not None and index > self._last[0]:
            shown_s = (index - self._last[0]) * self._period_s
            due_s = self._paced(self._last[1] + shown_s, due_s, CATCH_UP * shown_s)
        self._last = (index, due_s)
        return due_s

    def _paced(self, regular_s: float, ready_s: float, most_s: float) -> float:
        """When a frame is due that can be shown at `regular_s`; at most `most_s` of a stall is made up for."""
        if ready_s > regular_s:
            stall_s = ready_s - regular_s
            self._behind_s = self._behind_s + stall_s if stall_s < LONGEST_STALL_S else 0.0
            return ready_s
        made_up_s = min(self._behind_s, most_s, regular_s - ready_s)
        self._behind_s -= made_up_s
        return regular_s - made_up_s

    def lag_s(self, next_index: int) -> float:
        """Audio that has come and whose frames have not been sent, beyond the look-ahead."""
        sent_s = (next_index - self._first_index) * self._period_s
        return max(0.0, self._received_s - sent_s - (0 if self._ended_at_s is not None else self._lookahead_s))

    def _ready_s(self, index: int) -> float:
        if index < self._first_index:
            return self._restarted_at_s
        needed_s = (index - self._first_index) * self._period_s + self._lookahead_s - 1e-9
        while len(self._arrivals) > 1 and self._arrivals[0][0] < needed_s:
            self._arrivals.popleft()
        if self._arrivals and self._arrivals[0][0] >= needed_s:
            return self._arrivals[0][1]
        if self._ended_at_s is not None:
            return self._ended_at_s
        # Frames are made early where the windows allow it: audio is taken to go on at its own pace.
        received_s, at_s = self._arrivals[-1]
        return at_s + needed_s - received_s
