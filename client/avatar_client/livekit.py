"""The avatar as LiveKit's `VideoGenerator`: `pip install avatar-client[livekit]`.

generator = AvatarVideoGenerator(client, SessionOptions(sample_rate_hz=24000))
runner = AvatarRunner(room, audio_recv=..., video_gen=generator, options=generator.avatar_options())
"""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator

from avatar_client.aio import AsyncAvatarClient
from avatar_client.conversation import Conversation
from avatar_client.errors import InvalidAudio, InvalidRequest
from avatar_client.retry import Retry
from avatar_client.types import Frame, SessionOptions

DEFAULT_SIZE = 512


class AvatarVideoGenerator(VideoGenerator):
    """Pushed speech comes back as pictures and sound in step; without speech only pictures come.

    `clear_buffer` stops mouth and sound together: nothing of what was pushed before it comes afterwards.

    Args:
        client: used inside the running event loop; stays the caller's.
        options: raw pictures are needed; `sample_rate_hz` is what speech is converted to where it differs.
        retry: see `Conversation`.
    """

    def __init__(
        self, client: AsyncAvatarClient, options: SessionOptions = SessionOptions(), retry: Retry = Retry(attempts=10)
    ):
        if options.encoding != "raw" or not {"image", "audio", "state"} <= set(options.outputs):
            raise InvalidRequest("LiveKit needs raw pictures: options must have encoding raw and the default outputs")
        self._conversation = Conversation(client, options, retry=retry)
        self._options = options
        self._picture: np.ndarray | None = None
        self._resampler: tuple[int, rtc.AudioResampler] | None = None
        self._started = False
        self._starting = asyncio.Lock()
        self._clears = 0

    def avatar_options(self) -> AvatarOptions:
        """What `AvatarRunner` wants to know."""
        size = self._options.size or DEFAULT_SIZE
        return AvatarOptions(
            video_width=size, video_height=size, video_fps=self._options.fps,
            audio_sample_rate=self._options.sample_rate_hz, audio_channels=1,
        )  # fmt: skip

    async def start(self) -> None:
        """Opens the session; otherwise the first call that needs it does."""
        async with self._starting:
            if not self._started:
                await self._conversation.start()
                self._started = True

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Speaks a frame, or ends the segment."""
        await self.start()
        if isinstance(frame, AudioSegmentEnd):
            if self._resampler is not None:
                await self._say(self._resampler[1].flush())
                self._resampler = None
            self._conversation.end_utterance()
        elif frame.num_channels != 1:
            raise InvalidAudio(f"the avatar speaks mono, got {frame.num_channels} channels; mix them down")
        elif frame.sample_rate == self._options.sample_rate_hz:
            await self._say([frame])
        else:
            await self._say(self._converted(frame))

    async def clear_buffer(self) -> None:
        """Stops speaking at once."""
        self._resampler = None
        self._clears += 1
        if self._started:
            await self._conversation.interrupt()

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        await self.start()
        async for moment in self._conversation:
            clears = self._clears
            yield self._video(moment.frame)
            if clears != self._clears:
                # Cleared between a picture and its sound.
                continue
            if moment.is_speech:
                yield rtc.AudioFrame(
                    data=moment.frame.audio.tobytes(), sample_rate=self._options.sample_rate_hz, num_channels=1,
                    samples_per_channel=moment.frame.audio.size,
                )  # fmt: skip
            for _ in range(moment.ended):
                yield AudioSegmentEnd()

    async def aclose(self) -> None:
        await self._conversation.close()

    async def _say(self, frames: list[rtc.AudioFrame]) -> None:
        for frame in frames:
            await self._conversation.say(np.frombuffer(frame.data, np.int16))

    def _converted(self, frame: rtc.AudioFrame) -> list[rtc.AudioFrame]:
        if self._resampler is None or self._resampler[0] != frame.sample_rate:
            self._resampler = (frame.sample_rate, rtc.AudioResampler(frame.sample_rate, self._options.sample_rate_hz))
        return self._resampler[1].push(frame)

    def _video(self, frame: Frame) -> rtc.VideoFrame:
        # A picture left out to keep real time: the one before stays.
        if frame.image is not None:
            self._picture = frame.image
        picture = self._picture
        height, width, channels = picture.shape
        kind = rtc.VideoBufferType.RGBA if channels == 4 else rtc.VideoBufferType.RGB24
        return rtc.VideoFrame(width, height, kind, picture.tobytes())
