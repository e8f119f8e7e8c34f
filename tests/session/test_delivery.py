"""Compositing, resizing and encoding of frames."""

import io

import av
import cv2
import numpy as np
import pytest

from avatar import compositor, encoding
from avatar.pipeline import Producer
from avatar.session import Session
from avatar.session_config import SessionConfig
from tests.session.fakes import BACKGROUND, FakeStages


def test_over_is_exact_to_one_step():
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (64, 64, 4), np.uint8)
    background = rng.integers(0, 256, (64, 64, 3), np.uint8)
    rgba[..., :3] = np.minimum(rgba[..., :3], rgba[..., 3:])
    exact = rgba[..., :3] + background * (1 - rgba[..., 3:] / 255)
    assert np.abs(compositor.over(rgba, background) - exact).max() <= 0.51


def test_over_limits_a_color_beyond_its_alpha():
    bright = np.full((2, 2, 4), (255, 90, 0, 128), np.uint8)
    assert (compositor.over(bright, np.full((2, 2, 3), 200, np.uint8)) == (255, 190, 100)).all()


def test_over_keeps_pure_pixels():
    rgba = np.zeros((8, 8, 4), np.uint8)
    background = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    np.testing.assert_array_equal(compositor.over(rgba, background), background)
    rgba[...] = (10, 200, 255, 255)
    assert (compositor.over(rgba, background) == (10, 200, 255)).all()


def test_shrinking_transparent_pictures_does_not_bleed():
    picture = np.zeros((512, 512, 4), np.uint8)
    picture[:, :255] = (200, 100, 50, 255)
    small = compositor.cut_out(compositor.resize(picture, 256))
    assert small.shape == (256, 256, 4)
    edge = small[:, 127]
    assert (edge[:, 3] == 128).all() or (edge[:, 3] == 127).all()
    assert np.abs(edge[:, :3].astype(int) - (200, 100, 50)).max() <= 2


def picture(k: int) -> np.ndarray:
    out = np.full((256, 256, 3), 60, np.uint8)
    cv2.circle(out, (60 + 3 * k, 128), 40, (220, 120, 90), -1)
    return out


def test_jpeg_round_trip():
    data = encoding.encoder("jpeg", 256, 30).encode(picture(0))
    decoded = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(decoded.astype(int) - picture(0)).mean() < 2


@pytest.mark.parametrize("fps", [30, 60])
def test_h264_gives_one_decodable_packet_for_each_picture(fps):
    encoder = encoding.encoder("h264", 256, fps)
    packets = [encoder.encode(picture(k)) for k in range(2 * fps + 1)]
    assert all(packets)
    with av.open(io.BytesIO(b"".join(packets)), format="h264") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == len(packets)
    assert np.abs(frames[-1].astype(int) - picture(2 * fps)).mean() < 4
    # A key frame with its parameter sets every two seconds lets a late viewer in.
    assert packets[2 * fps][4] & 0x1F == 7


def test_h264_key_frame_on_request():
    encoder = encoding.encoder("h264", 256, 30)
    packets = []
    for k in range(20):
        if k == 11:
            encoder.request_keyframe()
        packets.append(encoder.encode(picture(k)))
    # A sequence parameter set (7) stands before each key frame.
    assert [k for k, packet in enumerate(packets) if packet[4] & 0x1F == 7] == [0, 11]


async def test_the_first_picture_after_an_interrupt_is_a_key_frame(monkeypatch):
    """Pictures that were encoded and then dropped are missing from what a viewer can decode."""
    monkeypatch.setattr("avatar.compositor.resize", lambda rgb, size: cv2.resize(rgb, (size, size)))
    session = Session(SessionConfig(encoding="h264", size=256))
    producer = Producer(session, FakeStages(), BACKGROUND, frozenset({"PACKET"}))
    session.push(np.random.default_rng(0).integers(-25000, 25000, 16_000).astype(np.int16))
    packets = []
    async for frame in producer.frames():
        packets.append(frame.packet)
        if frame.index == 10:
            session.interrupt()
    packets += [frame.packet async for frame in producer.frames()]
    assert [k for k, packet in enumerate(packets) if packet[4] & 0x1F == 7] == [0, 11] and len(packets) == 16
