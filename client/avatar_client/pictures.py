"""Frames as picture files."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatar_client.errors import InvalidRequest
from avatar_client.types import Frame

_PIXEL_FORMATS = {3: "rgb24", 4: "rgba"}


class PictureFolder:
    """Writes each frame as `000000.png` under a folder; JPEG packets as they came."""

    def __init__(self, path: str | Path):
        """Makes the folder where it is missing.

        Raises:
            InvalidRequest: it cannot be made.
        """
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidRequest(f"cannot make the folder {path}: {error.strerror}; give another") from error

    def write(self, frame: Frame) -> None:
        if frame.image is not None:
            name, content = f"{frame.index:06d}.png", png(frame.image)
        elif frame.packet is not None:
            name, content = f"{frame.index:06d}.jpg", frame.packet
        else:
            raise InvalidRequest("a picture needs a frame with an image, got one without; ask for the output `image`")
        partial = self.path / f".{name}.part"
        partial.write_bytes(content)
        os.replace(partial, self.path / name)

    def __enter__(self) -> "PictureFolder":
        return self

    def __exit__(self, *_) -> None:
        pass


def png(image: np.ndarray) -> bytes:
    """A PNG file of [height, width, 3 or 4] uint8 RGB or RGBA."""
    height, width, channels = image.shape
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = _PIXEL_FORMATS[channels]
    encoder.time_base = Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=_PIXEL_FORMATS[channels])
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
