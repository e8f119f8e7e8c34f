"""The written video, read back: sync, colors, and that no half file is ever left."""

import time

import av
import numpy as np
import pytest
from avatar_client import Frame, InvalidRequest
from avatar_client.pictures import PictureFolder, png
from avatar_client.video import VideoError, VideoSettings, VideoWriter, available_codec

SIDE = 64


def frame(index: int, fps: int, rate_hz: int, loud=lambda time_s: False, image=None) -> Frame:
    """A frame that is white, and a sine that is heard, where `loud`."""
    edges = [k * rate_hz // fps for k in (index, index + 1)]
    times_s = np.arange(*edges) / rate_hz
    audible = np.array([loud(t) for t in times_s], bool)
    audio = (20_000 * np.sin(2 * np.pi * 1000 * times_s) * audible).astype(np.int16)
    if image is None:
        image = np.full((SIDE, SIDE, 3), 255 if loud(index / fps) else 0, np.uint8)
    return Frame(image, None, index, index / fps, audio, None, None, None, None, None, None, 0.0)


def read_back(path):
    """Times and brightness of the pictures, and times and samples of the sound, as a player sees them."""
    with av.open(str(path)) as container:
        pictures = [
            (float(f.pts * f.time_base), float(f.to_ndarray(format="rgb24").mean())) for f in container.decode(video=0)
        ]
    times_s, samples = [], []
    with av.open(str(path)) as container:
        if container.streams.audio:
            for block in container.decode(audio=0):
                values = block.to_ndarray().ravel()
                times_s.append(float(block.pts * block.time_base) + np.arange(values.size) / block.sample_rate)
                samples.append(values)
    return pictures, np.concatenate(times_s or [[]]), np.concatenate(samples or [[]])


def onsets(times_s, is_on, pause_s: float = 0.3) -> list[float]:
    """When something begins after a pause."""
    on = np.asarray(times_s)[np.asarray(is_on)]
    return [float(on[0]), *on[1:][np.diff(on) > pause_s].tolist()]


@pytest.mark.parametrize(
    ("fps", "rate_hz"), [(25, 8000), (30, 16_000), (30, 22_050), (50, 44_100), (60, 48_000), (30, 37_800), (60, 11_025)]
)
def test_picture_and_sound_stay_together(tmp_path, fps, rate_hz):
    def loud(time_s):
        return time_s % 1 >= 0.5

    path = tmp_path / "a.mp4"
    with VideoWriter(path, fps, rate_hz) as video:
        for index in range(12 * fps):
            video.write(frame(index, fps, rate_hz, loud))
    pictures, times_s, samples = read_back(path)
    assert [time_s for time_s, _ in pictures] == pytest.approx([k / fps for k in range(12 * fps)], abs=1e-4)
    seen = onsets([t for t, _ in pictures], [b > 128 for _, b in pictures])
    heard = onsets(times_s, np.abs(samples) > 0.3)
    assert len(seen) == len(heard) == 12
    assert np.abs(np.array(seen) - np.array(heard)).max() <= 1 / fps
    assert times_s[0] == pytest.approx(0, abs=1e-3)
    assert times_s[-1] == pytest.approx(12.0, abs=0.15)


def test_the_file_is_what_players_want(tmp_path):
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 30, 16_000) as video:
        for index in range(30):
            video.write(frame(index, 30, 16_000))
    with av.open(str(path)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, picture.pix_fmt, picture.average_rate) == ("h264", "yuv420p", 30)
        assert (picture.width, picture.height, picture.frames) == (SIDE, SIDE, 30)
        assert (sound.codec_context.name, sound.rate, sound.channels) == ("aac", 16_000, 1)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("codec", ["libx264", "libopenh264", "mpeg4"])
def test_colors_survive(tmp_path, codec):
    try:
        available_codec([codec])
    except VideoError:
        pytest.skip(f"{codec} is not in this build")
    colors = np.array([[200, 60, 40], [40, 180, 70], [50, 60, 210], [128, 128, 128]], np.uint8)
    image = np.repeat(np.repeat(colors.reshape(2, 2, 3), SIDE // 2, 0), SIDE // 2, 1)
    path = tmp_path / "a.mkv"
    with VideoWriter(path, 30, 16_000, VideoSettings(codecs=(codec,))) as video:
        for index in range(5):
            video.write(frame(index, 30, 16_000, image=image))
    with av.open(str(path)) as container:
        decoded = next(container.decode(video=0))
        assert (int(decoded.colorspace), int(decoded.color_range)) == (1, 1), "the tags must say BT.709, limited range"
        planes = decoded.to_ndarray()
    luma, chroma = planes[:SIDE], planes[SIDE:].reshape(2, SIDE // 2, SIDE // 2)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y, x = SIDE // 4 + row * SIDE // 2, SIDE // 4 + column * SIDE // 2
        pixel = rgb_of_bt709(luma[y, x], *chroma[:, y // 2, x // 2])
        assert np.abs(pixel - colors[2 * row + column]).max() <= 8


def rgb_of_bt709(y: float, cb: float, cr: float) -> np.ndarray:
    """ITU-R BT.709-6, items 3.2 to 3.4, at 8 bits."""
    luma, blue, red = (y - 16) / 219, 1.8556 * (cb - 128.0) / 224, 1.5748 * (cr - 128.0) / 224
    r, b = luma + red, luma + blue
    return 255 * np.array([r, (luma - 0.2126 * r - 0.0722 * b) / 0.7152, b])


def test_skipped_frames_leave_picture_and_sound_together(tmp_path):
    path = tmp_path / "a.mp4"
    kept = [*range(30, 60), *range(120, 150)]
    with VideoWriter(path, 30, 16_000) as video:
        for index in kept:
            video.write(frame(index, 30, 16_000, loud=lambda time_s: time_s >= 4.5))
    pictures, times_s, samples = read_back(path)
    assert pictures[0][0] == 0.0 and len(pictures) == 60
    seen = onsets([t for t, _ in pictures], [b > 128 for _, b in pictures])
    heard = onsets(times_s, np.abs(samples) > 0.3)
    assert seen == pytest.approx([3.5], abs=1e-3)
    assert heard == pytest.approx([3.5], abs=1 / 30)


def test_frames_without_sound_make_a_silent_video(tmp_path):
    path = tmp_path / "a.mov"
    with VideoWriter(path, 25, 16_000) as video:
        for index in range(10):
            silent = frame(index, 25, 16_000)
            video.write(Frame(silent.image, None, index, 0.0, None, None, None, None, None, None, None, 0.0))
    pictures, times_s, _ = read_back(path)
    assert len(pictures) == 10 and times_s.size == 0


def test_encoding_does_not_hold_up_the_caller(tmp_path):
    rng = np.random.default_rng(0)
    noise = [frame(k, 30, 16_000, image=rng.integers(0, 256, (256, 256, 3), np.uint8)) for k in range(16)]
    begun_s = time.monotonic()
    with VideoWriter(tmp_path / "a.mp4", 30, 16_000, VideoSettings(preset="slow")) as video:
        for one in noise:
            video.write(one)
        handed_over_s = time.monotonic() - begun_s
    assert handed_over_s < (time.monotonic() - begun_s) / 2


@pytest.mark.parametrize("name", ["a.avi", "a", "a.wav"])
def test_unknown_containers_are_refused(tmp_path, name):
    with pytest.raises(InvalidRequest, match=r"\.mp4, \.m4v, \.mov, \.mkv"):
        VideoWriter(tmp_path / name, 30, 16_000)


def test_unusable_places_are_refused_before_any_work(tmp_path):
    with pytest.raises(VideoError, match="cannot write to"):
        VideoWriter(tmp_path / "missing" / "a.mp4", 30, 16_000)
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(VideoError, match="got a folder"):
        VideoWriter(tmp_path / "b.mp4", 30, 16_000)


@pytest.mark.parametrize("image", [None, np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8), np.uint8)])
def test_frames_that_are_no_rgb_are_refused(tmp_path, image):
    with pytest.raises(VideoError, match="raw RGB image"), VideoWriter(tmp_path / "a.mp4", 30, 16_000) as video:
        video.write(Frame(image, None, 0, 0.0, None, None, None, None, None, None, None, 0.0))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_file_and_keeps_an_old_one(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="session"), VideoWriter(path, 30, 16_000) as video:
        video.write(frame(0, 30, 16_000))
        raise RuntimeError("the session broke")
    with VideoWriter(path, 30, 16_000):
        pass
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_an_encoder_failure_is_told_and_does_not_hang(tmp_path):
    settings = VideoSettings(preset="as-fast-as-light")
    with (
        pytest.raises(VideoError, match="cannot encode"),
        VideoWriter(tmp_path / "a.mp4", 30, 16_000, settings) as video,
    ):
        for index in range(200):
            video.write(frame(index, 30, 16_000))
    assert list(tmp_path.iterdir()) == []


def test_no_encoder_at_all_is_told():
    with pytest.raises(VideoError, match="none of the encoders nope"):
        available_codec(["nope"])


def test_pictures(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 10, 4), np.uint8)
    folder = PictureFolder(tmp_path / "deep" / "er")
    folder.write(frame(7, 30, 16_000, image=image))
    folder.write(Frame(None, b"\xff\xd8jpeg", 8, 0.0, None, None, None, None, None, None, None, 0.0))
    with pytest.raises(InvalidRequest, match="image"):
        folder.write(Frame(None, None, 9, 0.0, None, None, None, None, None, None, None, 0.0))
    assert sorted(p.name for p in folder.path.iterdir()) == ["000007.png", "000008.jpg"]
    with av.open(str(folder.path / "000007.png")) as container:
        np.testing.assert_array_equal(next(container.decode(video=0)).to_ndarray(format="rgba"), image)
    assert png(image[..., :3]).startswith(b"\x89PNG")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="cannot make the folder"):
        PictureFolder(tmp_path / "file")
