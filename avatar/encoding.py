"""Frames to bytes: one JPEG each, or the H.264 access units of each frame."""

from fractions import Fraction
from typing import Protocol

import cv2
import numpy as np

JPEG_QUALITY = 92
KEYFRAME_INTERVAL_S = 2


class Encoder(Protocol):
    def encode(self, picture: np.ndarray) -> bytes:
        """The bytes of one picture: [H, W, 3] uint8 RGB."""


class JpegEncoder:
    def encode(self, picture: np.ndarray) -> bytes:
        _, data = cv2.imencode(
            ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        return data.tobytes()


class H264Encoder:
    """Low-latency Annex B stream: no B-frames, parameter sets before every key frame, one packet for each picture."""

    def __init__(self, size: int, fps: int):
        # PyAV is only needed where a client asks for H.264.
        import av

        self._av = av
        codec = av.CodecContext.create("libx264", "w")
        codec.width = codec.height = size
        codec.pix_fmt = "yuv420p"
        codec.framerate = fps
        codec.time_base = Fraction(1, fps)
        codec.gop_size = KEYFRAME_INTERVAL_S * fps
        codec.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "crf": "20",
            "x264-params": "repeat-headers=1:annexb=1:scenecut=0",
        }
        codec.thread_count = 1
        self._codec = codec
        self._count = 0
        self._is_key_wanted = False

    def request_keyframe(self) -> None:
        """The next picture becomes a key frame."""
        self._is_key_wanted = True

    def encode(self, picture: np.ndarray) -> bytes:
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = self._count
        frame.time_base = self._codec.time_base
        if self._is_key_wanted:
            frame.pict_type = self._av.video.frame.PictureType.I
            self._is_key_wanted = False
        self._count += 1
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


def encoder(encoding: str, size: int, fps: int) -> Encoder | None:
    """The encoder of a session, None for `raw`."""
    return {"raw": lambda: None, "jpeg": JpegEncoder, "h264": lambda: H264Encoder(size, fps)}[encoding]()
