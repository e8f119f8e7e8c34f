"""The avatar as a Pipecat service: `pip install avatar-client[pipecat]`.

    avatar = AvatarVideoService(client, SessionOptions(sample_rate_hz=24000))
    pipeline = Pipeline([..., tts, avatar, transport.output()])

It stands after text-to-speech.
"""

import asyncio

import numpy as np
from pipecat.audio.utils import create_stream_resampler
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.ai_service import AIService

from avatar_client.aio import AsyncAvatarClient
from avatar_client.conversation import Conversation
from avatar_client.errors import AvatarClientError, InvalidRequest
from avatar_client.retry import Retry
from avatar_client.types import SessionOptions


class AvatarVideoService(AIService):
    """Stands after text-to-speech: its sound goes on in step with the pictures of whoever speaks it.

    `TTSAudioRawFrame` is spoken, `TTSStoppedFrame` goes on once all before it has been shown, `InterruptionFrame`
    stops mouth and sound together. Without speech pictures come all the same.

    Args:
        client: used inside the running event loop; stays the caller's.
        options: raw pictures are needed; `sample_rate_hz` is what speech is converted to where it differs.
        retry: see `Conversation`.
    """

    def __init__(
        self,
        client: AsyncAvatarClient,
        options: SessionOptions = SessionOptions(),
        retry: Retry = Retry(attempts=10),
        **service,
    ):
        super().__init__(**service)
        if options.encoding != "raw" or not {"image", "audio", "state"} <= set(options.outputs):
            raise InvalidRequest("Pipecat needs raw pictures: options must have encoding raw and the default outputs")
        self._options = options
        self._conversation = Conversation(client, options, retry=retry)
        self._resampler = create_stream_resampler()
        self._stopped: list[TTSStoppedFrame] = []
        self._shower: asyncio.Task | None = None

    async def start(self, frame: StartFrame):
        await super().start(frame)
        try:
            await self._conversation.start()
        except AvatarClientError as error:
            await self.push_error(error_msg=f"no avatar: {error}", exception=error)
            return
        self._shower = self.create_task(self._show())

    async def stop(self, frame: EndFrame):
        await super().stop(frame)
        await self._end()

    async def cancel(self, frame: CancelFrame):
        await super().cancel(frame)
        await self._end()

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if self._shower is not None and isinstance(frame, TTSAudioRawFrame):
            await self._say(frame)
            return
        if self._shower is not None and isinstance(frame, TTSStoppedFrame):
            self._stopped.append(frame)
            self._conversation.end_utterance()
            return
        if self._shower is not None and isinstance(frame, InterruptionFrame):
            self._stopped.clear()
            await self._conversation.interrupt()
        await self.push_frame(frame, direction)

    async def _say(self, frame: TTSAudioRawFrame) -> None:
        audio, rate_hz = frame.audio, self._options.sample_rate_hz
        if frame.num_channels != 1:
            audio = np.frombuffer(audio, np.int16).reshape(-1, frame.num_channels).mean(1).astype(np.int16).tobytes()
        if frame.sample_rate != rate_hz:
            audio = await self._resampler.resample(audio, frame.sample_rate, rate_hz)
        await self._conversation.say(audio)

    async def _show(self) -> None:
        try:
            async for moment in self._conversation:
                frame = moment.frame
                if frame.image is not None:
                    height, width, channels = frame.image.shape
                    picture = OutputImageRawFrame(
                        image=frame.image.tobytes(), size=(width, height), format="RGBA" if channels == 4 else "RGB"
                    )
                    picture.pts = round(frame.pts_s * 1e9)
                    # Shown when the sound before it has been heard.
                    picture.sync_with_audio = moment.is_speech
                    await self.push_frame(picture)
                if moment.is_speech:
                    await self.push_frame(TTSAudioRawFrame(frame.audio.tobytes(), self._options.sample_rate_hz, 1))
                for _ in range(min(moment.ended, len(self._stopped))):
                    await self.push_frame(self._stopped.pop(0))
        except AvatarClientError as error:
            await self.push_error(error_msg=f"the avatar is gone: {error}", exception=error)

    async def _end(self) -> None:
        """Lets what was said be shown, then ends; does nothing the second time."""
        if self._shower is None:
            return
        shower, self._shower = self._shower, None
        await self._conversation.close()
        await self.cancel_task(shower)
