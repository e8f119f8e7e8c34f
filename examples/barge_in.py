"""Somebody cuts the avatar short: what was still to be said is dropped, and a new sentence follows in the same session.

    python examples/barge_in.py examples/hello.wav

Speech is handed over faster than it is spoken, as a text-to-speech service does. The client keeps what is too early, so
`interrupt()` finds little on the way.
"""

import sys

import numpy as np
from avatar_client import AvatarClient, State
from avatar_client.media import AudioFile


def main(sound: str, address: str = "127.0.0.1:8001", cut_after_s: str = "1.0") -> None:
    with AudioFile(sound) as audio:
        speech, rate_hz = np.concatenate(list(audio.chunks())), audio.sample_rate_hz
    with AvatarClient(address) as client, client.open_session(sample_rate_hz=rate_hz) as session:
        session.send(speech)
        for frame in session:
            if frame.pts_s >= float(cut_after_s):
                break
        heard_s = session.interrupt()
        print(f"interrupted after {heard_s:.2f} of {speech.size / rate_hz:.2f} s")
        session.send(speech[: rate_hz // 2])
        session.end()
        rest = list(session)
        eased = sum(frame.state is State.INTERRUPTED for frame in rest)
        print(f"{len(rest)} more frames, {eased} of them easing to rest")


if __name__ == "__main__":
    main(*sys.argv[1:])
