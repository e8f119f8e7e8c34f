"""One session: audio in, the controls of each frame out. Holds all of the session's state, runs no network."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from avatar.audio import check_pcm
from avatar.config import WindowConfig
from avatar.emotion import EmotionState
from avatar.errors import SessionNotFoundError
from avatar.life import Life
from avatar.motion import Motion
from avatar.playout import Playout
from avatar.session_config import InStream, SessionConfig
from avatar.speech import Speech, Window
from avatar.stabilizer import kalman
from avatar.visemes import VISEME_INDEX

SILENCE = VISEME_INDEX["sil"]

IDLE, SPEAKING, INTERRUPTED = 0, 1, 2
"""Values of a frame's state."""

EASE_FRAMES = 5
"""Frames in which an interrupted face comes to rest."""

SPEAKING_PROBABILITY = 0.5


@dataclass(frozen=True, slots=True)
class Controls:
    """All that is needed to make one frame.

    Attributes:
        index: number of the frame from 0, without gaps.
        pts_s: presentation time on the session's audio clock.
        epoch: counts the interrupts before this frame; a frame of an older epoch must not be delivered.
        blendshapes: [52] float32 in [0, 1]. pose: [6] float32 (rad, m). viseme: [20] float32.
        previous_blendshapes, previous_pose: those of the frame before.
        audio: [M] int16, the slice of the sent audio that belongs to this frame.
        state: IDLE, SPEAKING or INTERRUPTED.
    """

    index: int
    pts_s: float
    epoch: int
    blendshapes: np.ndarray
    pose: np.ndarray
    viseme: np.ndarray
    previous_blendshapes: np.ndarray
    previous_pose: np.ndarray
    audio: np.ndarray
    state: int


class Session:
    """Audio is pushed; windows are taken, run through the networks elsewhere, and settled; frames' controls are taken.

    The session's clock runs through interrupts: an interrupt cuts the audio at the next frame, puts EASE_FRAMES
    frames of silence there in which the face comes to rest, and starts a fresh run of audio after them.
    """

    def __init__(
        self,
        config: SessionConfig,
        window: WindowConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.config = config
        self._clock = clock
        self.window = window or WindowConfig.for_lookahead(config.lookahead_ms)
        self.epoch = 0
        self.next_index = 0
        self._delivered = 0
        self.ended = False
        self.playout = Playout(config.fps, config.lookahead_ms)
        self._life = Life(config.seed)
        self._emotion = EmotionState()
        self._wish = (config.emotion, config.emotion_intensity)
        self._emotion.wish(*self._wish)
        self._wishes: deque[tuple[int, InStream]] = deque()
        self._speech = Speech(config.sample_rate_hz, self.window)
        self._base_index = 0
        self._ease_left = 0
        self._ease_from: Motion | None = None
        self._last: Controls | None = None
        self._last_motion: Motion | None = None
        self._filter = kalman.initial()

    # ------------------------------------------------------------------ in

    def push(self, pcm: np.ndarray, at_s: float | None = None) -> None:
        """Takes a chunk: [N] int16 at the session's rate, N >= 0; `at_s` is when it came, now by default.

        Raises:
            InvalidAudioError: wrong type or shape.
            SessionNotFoundError: the session has ended.
        """
        if self.ended:
            raise SessionNotFoundError("a session takes no audio after its end; open a new session")
        self._speech.push(check_pcm(pcm))
        if pcm.size:
            self.playout.arrived(pcm.size / self.config.sample_rate_hz, self._clock() if at_s is None else at_s)

    def tell(self, said: InStream) -> None:
        """Takes what a request says beside audio.

        An interrupt works at once, a change of emotion on the frames that the audio so far does not allow yet.
        """
        if said.event == "interrupt":
            self.interrupt()
        if said.emotion is not None or said.emotion_intensity is not None:
            self._wishes.append((self.bound, said))

    def interrupt(self) -> None:
        """Drops all audio of which no frame was delivered yet and lets the face come to rest."""
        self.epoch += 1
        self.next_index = self._delivered
        self._speech = Speech(self.config.sample_rate_hz, self.window)
        self._base_index = self.next_index + EASE_FRAMES
        self._ease_left = EASE_FRAMES
        self._ease_from = self._last_motion
        self._wishes = deque((min(index, self.next_index), said) for index, said in self._wishes)
        self.playout.restart(self._base_index, self._clock())

    def end(self) -> None:
        """No more audio will come; the frames of what was sent are still made."""
        self.ended = True
        self._speech.end()
        self.playout.ended(self._clock())

    @property
    def delivered_frames(self) -> int:
        """How many frames are on their way to the client."""
        return self._delivered

    @property
    def bound(self) -> int:
        """Number of the first frame that the audio so far does not allow yet, or that lies after the end."""
        if self.ended:
            return self._base_index + self._frames_of(self._speech.received_samples)
        return self._base_index + self._speech.settled_frames(self.config.fps)

    @property
    def rest_index(self) -> int:
        """The frame at which the face has come to rest after the latest interrupt, -1 before any."""
        return self._base_index - 1

    @property
    def lag_s(self) -> float:
        """Audio beyond the look-ahead whose frames have not been delivered."""
        return self.playout.lag_s(self._delivered)

    # ------------------------------------------------------------------ windows

    def windows(self) -> Iterator[Window]:
        """Windows that can be analyzed now; the motion of each must be given to `settle` in this order."""
        return self._speech.windows(self._speech.received_s)

    def settle(self, epoch: int, motion: Motion) -> None:
        """Takes the motion of the next window; that of an interrupted run is ignored."""
        if epoch == self.epoch:
            self._speech.settle(motion)

    # ------------------------------------------------------------------ frames

    def controls(self) -> Iterator[Controls]:
        """Controls of each frame that can be made now, in order, each once; stops at an interrupt."""
        epoch = self.epoch
        while epoch == self.epoch and (motion := self._next_motion()) is not None:
            yield self._advance(motion)

    def delivered(self, index: int) -> None:
        """Frame `index` is on its way to the client; frames after it can still be taken back by an interrupt."""
        self._delivered = index + 1

    def _next_motion(self) -> Motion | None:
        if self._ease_left:
            return _ease(self._ease_from, self._ease_left)
        local = self.next_index - self._base_index
        time_s = local / self.config.fps
        if self.ended and self._sample_at(local) >= self._speech.received_samples:
            return None
        if not self._speech.track.is_settled(time_s):
            return None
        motion = self._speech.track.sample(time_s)
        self._speech.forget(time_s - 1 / self.config.fps)
        return motion

    def _advance(self, motion: Motion) -> Controls:
        config = self.config
        pts_s = self.next_index / config.fps
        while self._wishes and self._wishes[0][0] <= self.next_index:
            self._apply(self._wishes.popleft()[1])
        signs = self._life.at(pts_s, self._speech_at)
        blendshapes = np.clip(motion.blendshapes + signs.blendshapes + self._emotion.at(pts_s), 0, 1).astype(np.float32)
        self._filter, pose = kalman.update(self._filter, motion.pose, 1 / config.fps)
        pose = (pose + signs.pose).astype(np.float32)
        last = self._last
        controls = Controls(
            index=self.next_index,
            pts_s=pts_s,
            epoch=self.epoch,
            blendshapes=blendshapes,
            pose=pose,
            viseme=motion.viseme.astype(np.float32),
            previous_blendshapes=last.blendshapes if last else blendshapes,
            previous_pose=last.pose if last else pose,
            audio=self._audio_slice(),
            state=self._state(motion),
        )
        self._ease_left = max(0, self._ease_left - 1)
        self.next_index += 1
        self._last = replace(controls, audio=controls.audio[:0])
        self._last_motion = motion
        return controls

    def _apply(self, said: InStream) -> None:
        emotion, intensity = self._wish
        self._wish = (
            said.emotion or emotion,
            intensity if said.emotion_intensity is None else said.emotion_intensity,
        )
        self._emotion.wish(*self._wish)

    def _frames_of(self, samples: int) -> int:
        """Number of frames that begin before sample `samples`: the inverse of `_sample_at`."""
        frame = samples * self.config.fps // self.config.sample_rate_hz
        while self._sample_at(frame) < samples:
            frame += 1
        while frame and self._sample_at(frame - 1) >= samples:
            frame -= 1
        return frame

    def _speech_at(self, time_s: float) -> float:
        """Probability that the avatar speaks at a time of the session's clock since the last frame."""
        local_s = time_s - self._base_index / self.config.fps
        if self._ease_left or local_s < 0 or not self._speech.track.is_settled(local_s):
            return 0.0
        return 1.0 - float(self._speech.track.sample(local_s).viseme[SILENCE])

    def _sample_at(self, frame: int) -> int:
        return (frame * self.config.sample_rate_hz + self.config.fps // 2) // self.config.fps

    def _audio_slice(self) -> np.ndarray:
        first, last = self._sample_at(self.next_index), self._sample_at(self.next_index + 1)
        if self._ease_left:
            return np.zeros(last - first, np.int16)
        base = self._sample_at(self._base_index)
        return self._speech.slice(first - base, last - base)

    def _state(self, motion: Motion) -> int:
        if self._ease_left:
            return INTERRUPTED
        return SPEAKING if 1 - motion.viseme[SILENCE] > SPEAKING_PROBABILITY else IDLE


def _ease(start: Motion | None, left: int) -> Motion:
    """The way from `start` to rest with `left` frames to go, the last of them at rest."""
    rest = Motion.rest()
    if start is None:
        return rest
    x = np.float32((left - 1) / EASE_FRAMES)
    weight = x * x * (3 - 2 * x)
    return Motion.unpack(weight * start.packed() + (1 - weight) * rest.packed())
