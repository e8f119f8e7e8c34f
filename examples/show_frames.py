"""The smallest program: a sound file in, frames out.

avatar serve &
python examples/show_frames.py examples/hello.wav
"""

import sys

from avatar_client import AvatarClient
from avatar_client.media import AudioFile


def main(sound: str, address: str = "127.0.0.1:8001") -> None:
    with (
        AudioFile(sound) as audio,
        AvatarClient(address) as client,
        client.open_session(sample_rate_hz=audio.sample_rate_hz) as session,
    ):
        for frame in session.stream(audio.chunks()):
            height, width, _ = frame.image.shape
            print(f"frame {frame.index} at {frame.pts_s:.3f} s: {width}x{height}, {frame.state.name.lower()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
