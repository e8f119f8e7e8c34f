"""ARKit coefficients instead of pictures, as a CSV on standard output: for driving a character of your own.

    python examples/blendshapes.py examples/hello.wav > face.csv

The server computes only what is asked for, so this costs a fraction of a picture.
"""

import csv
import sys

from avatar_client import AvatarClient
from avatar_client.media import AudioFile


def main(sound: str, address: str = "127.0.0.1:8001") -> None:
    rows = csv.writer(sys.stdout)
    rows.writerow(["time_s", *(f"blendshape_{k}" for k in range(52)), "rx", "ry", "rz", "tx", "ty", "tz"])
    with AudioFile(sound) as audio, AvatarClient(address) as client:
        options = {"sample_rate_hz": audio.sample_rate_hz, "fps": 60, "outputs": ("blendshapes", "pose")}
        with client.open_session(**options) as session:
            for frame in session.stream(audio.chunks()):
                rows.writerow([f"{value:.5g}" for value in (frame.pts_s, *frame.blendshapes, *frame.pose)])


if __name__ == "__main__":
    main(*sys.argv[1:])
