"""Two avatars speak at the same time from one event loop; each frame carries its sound.

python examples/two_at_once.py examples/hello.wav examples/hello.wav
"""

import asyncio
import sys
import time

from avatar_client import AsyncAvatarClient
from avatar_client.media import AudioFile


async def speak(client: AsyncAvatarClient, name: str, sound: str) -> None:
    began_s = time.monotonic()
    with AudioFile(sound) as audio:
        async with await client.open_session(sample_rate_hz=audio.sample_rate_hz, encoding="jpeg") as session:
            frames = sounded = size = 0
            async for frame in session.stream(audio.chunks(0.1)):
                frames, sounded, size = frames + 1, sounded + frame.audio.size, size + len(frame.packet)
    seconds, rate = sounded / audio.sample_rate_hz, frames / (time.monotonic() - began_s)
    print(f"{name}: {frames} frames with {seconds:.2f} s of sound, {size} bytes, {rate:.1f} a second")


async def main(first: str, second: str, address: str = "127.0.0.1:8001") -> None:
    async with AsyncAvatarClient(address) as client:
        await asyncio.gather(speak(client, "first", first), speak(client, "second", second))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
