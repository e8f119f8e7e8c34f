"""One uninterrupted run of audio: PCM in, analysis windows out, motion back in, motion at any settled time out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from avatar.audio import SampleQueue, StreamingResampler
from avatar.config import WindowConfig
from avatar.motion import Motion, MotionTrack
from avatar.voice_activity import BLOCK_SAMPLES, VoiceActivity


@dataclass(frozen=True, slots=True)
class Window:
    """Attributes:
    index: n; the window ends at `WindowConfig.end_samples(n)` on this run's clock.
    audio: what is to be encoded of it, float32 in [-1, 1] at 16 kHz, zeros before the first and after the last sample:
        all of it [window_samples], or its end [encoded_samples] where the window before was active, too.
    is_active: somebody may be speaking near its end; otherwise its motion is that of rest and no network need run.
    """

    index: int
    audio: np.ndarray
    is_active: bool


def whole_features(encoded: np.ndarray, before: np.ndarray | None, window: WindowConfig) -> np.ndarray:
    """The features of a whole window, [window_rows, 768].

    Args:
        encoded: [rows, 768], features of the audio that is to be encoded of it.
        before: [window_rows, 768], features of the window before, needed where `encoded` has fewer rows than that.
    """
    known = window.window_rows - len(encoded)
    if not known:
        return encoded
    return np.concatenate([before[window.hop_rows : window.hop_rows + known], encoded])


class Speech:
    """The run's clock starts at its first sample."""

    def __init__(self, sample_rate_hz: int, window: WindowConfig):
        self._sample_rate_hz = sample_rate_hz
        self._window = window
        self._resampler = StreamingResampler(sample_rate_hz)
        self._sent = SampleQueue(np.dtype(np.int16))
        self._audio = SampleQueue(np.dtype(np.float32))
        self._next_window = 0
        self._was_active = False
        self._activity = VoiceActivity()
        self.ended = False
        self.track = MotionTrack(window)

    @property
    def received_samples(self) -> int:
        """At the sent rate."""
        return self._sent.end

    @property
    def received_s(self) -> float:
        return self._sent.end / self._sample_rate_hz

    def push(self, pcm: np.ndarray) -> None:
        """pcm: [N] int16 at the sent rate."""
        self._sent.append(pcm)
        self._audio.append(self._resampler.push(pcm))

    def end(self) -> None:
        """No more audio follows: what look-ahead is missing is taken as silence."""
        if not self.ended:
            self.ended = True
            self._audio.append(self._resampler.push(np.zeros(0, np.int16), last=True))

    def settled_frames(self, fps: int) -> int:
        """How many frames the complete windows of the audio so far allow, analyzed or not."""
        return self.track.frames_after(self._window.complete(self._audio.end), fps)

    def windows(self, until_s: float) -> Iterator[Window]:
        """Windows whose audio is complete, in order, each once; after `end` as far as time `until_s` needs them."""
        while True:
            last = self._window.end_samples(self._next_window)
            needed = self._next_window * self._window.hop_ms <= until_s * 1000 + self._window.hop_ms
            if not (last <= self._audio.end or (self.ended and needed)):
                return
            first = last - self._window.window_samples
            self._audio.forget(first)
            index = self._next_window
            self._next_window += 1
            if self._was_active:
                first = last - self._window.encoded_samples
            self._activity.push(self._audio.read(self._activity.blocks * BLOCK_SAMPLES, last))
            self._was_active = self._activity.is_active
            yield Window(index, self._audio.read(first, last), self._was_active)

    def settle(self, motion: Motion) -> None:
        """Takes the motion of the next window, in the order of `windows`."""
        self.track.add(motion)

    def slice(self, first: int, last: int) -> np.ndarray:
        """Sent samples [first, last) of the run's clock as int16; what was never sent is left off at the end."""
        return self._sent.read(first, min(last, self._sent.end))

    def forget(self, before_s: float) -> None:
        self._sent.forget(int(before_s * self._sample_rate_hz))
        self.track.forget(before_s)
