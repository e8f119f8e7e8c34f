"""What the `avatar` model promises: frames without gaps, one final response for each request, only what was asked for.

Triton writes the responses of one request in order, but takes turns between the requests of a stream where a client
reads slower than the server sends; INDEX restores the order of a session.
"""

import cv2
import numpy as np
import pytest

from avatar.motion import SMOOTHING
from tests.serving.stream import Stream

RATE_HZ = 16_000
JAW_OPEN = 17
EVERYTHING = (
    "FRAME", "PACKET", "INDEX", "PTS", "AUDIO_OUT", "BLENDSHAPES", "POSE", "LANDMARKS", "FACE_MESH", "VISEME", "STATE",
)  # fmt: skip


def speech(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Noise that swells and fades: [seconds · rate_hz] int16."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(1).standard_normal(len(time_s))
    return (6000 * noise * np.sin(2 * np.pi * time_s) ** 2).clip(-32768, 32767).astype(np.int16)


def run(server, chunks, parameters=None, outputs=("INDEX",)):
    """One session of the chunks, all sent at once; returns its stream, closed."""
    with Stream(server.grpc_address) as stream:
        for i, chunk in enumerate(chunks):
            last = i == len(chunks) - 1
            stream.send(
                chunk, str(i), start=i == 0, end=last, parameters=parameters if i == 0 else None, outputs=outputs
            )
        stream.wait(len(chunks))
    assert [r.error for r in stream.responses if r.error] == []
    return stream


@pytest.mark.parametrize("fps", [25, 30, 50, 60])
def test_whole_file_in_one_request(toy_server, fps):
    pcm = speech(1.5)
    stream = run(toy_server, [pcm], {"fps": fps}, ("INDEX", "PTS", "AUDIO_OUT"))
    frames = stream.frames()
    assert len(frames) == round(1.5 * fps)
    assert [int(frame["INDEX"][0]) for frame in frames] == list(range(len(frames)))
    np.testing.assert_allclose([frame["PTS"][0] for frame in frames], np.arange(len(frames)) / fps, atol=1e-9)
    np.testing.assert_array_equal(np.concatenate([frame["AUDIO_OUT"] for frame in frames]), pcm)


def test_requests_sent_at_once(toy_server):
    chunks = np.array_split(speech(2.0), 23)
    stream = run(toy_server, chunks)
    assert sorted(stream.finals(), key=int) == [str(i) for i in range(len(chunks))]
    by_request = [[int(frame["INDEX"][0]) for frame in stream.frames(str(i))] for i in range(len(chunks))]
    assert sum(by_request, []) == list(range(60))


def test_requests_sent_one_by_one_arrive_in_order(toy_server):
    with Stream(toy_server.grpc_address) as stream:
        for i, chunk in enumerate(np.array_split(speech(2.0), 23)):
            stream.send(chunk, str(i), start=i == 0, end=i == 22, outputs=("INDEX", "FRAME"))
            stream.wait(i + 1)
    assert stream.finals() == [str(i) for i in range(23)]
    assert [int(frame["INDEX"][0]) for frame in stream.frames()] == list(range(60))


def test_frames_do_not_depend_on_the_chunks(toy_server):
    pcm = speech(1.2)
    outputs = ("INDEX", "BLENDSHAPES", "POSE", "VISEME", "STATE", "AUDIO_OUT")
    cuts = {
        "whole": [],
        "hops": range(1600, len(pcm), 1600),
        "odd": [1, 2, 777, 778, 9001, 15000],
        "empty": [0, 0, 5000, 5000],
    }
    results = {
        name: run(toy_server, np.split(pcm, list(cut)), {"seed": 3}, outputs).frames() for name, cut in cuts.items()
    }
    for name, frames in results.items():
        assert len(frames) == len(results["whole"]), name
        in_order = sorted(frames, key=lambda frame: frame["INDEX"][0])
        for frame, expected in zip(in_order, results["whole"], strict=True):
            for output in outputs:
                np.testing.assert_array_equal(frame[output], expected[output], err_msg=f"{name} {output}")


def test_sessions_with_windows_of_different_lengths_share_the_networks(toy_server):
    """Requests of one shape make a batch; long and short windows must not meet in one."""
    pcm = speech(1.5)
    lookaheads_ms = (200, 80, 200)
    streams = [Stream(toy_server.grpc_address) for _ in lookaheads_ms]
    try:
        for stream, lookahead_ms in zip(streams, lookaheads_ms, strict=True):
            parameters = {"lookahead_ms": lookahead_ms}
            stream.send(pcm, "0", start=True, end=True, parameters=parameters, outputs=("INDEX", "BLENDSHAPES"))
        jaws = []
        for stream in streams:
            stream.wait(1)
            assert [r.error for r in stream.responses if r.error] == []
            jaws.append(np.array([frame["BLENDSHAPES"][JAW_OPEN] for frame in stream.frames()]))
        assert [len(jaw) for jaw in jaws] == [45, 45, 45]
        # The toy networks know nothing beyond one row, so the windows differ only in the last row of a short one, which
        # has none after it to be averaged with.
        loudness = np.abs(pcm / 32768).reshape(-1, RATE_HZ // 50).mean(axis=1)
        np.testing.assert_allclose(jaws[0], jaws[1], rtol=0, atol=SMOOTHING[0] * np.abs(np.diff(loudness, 2)).max())
        assert np.abs(jaws[0] - jaws[1]).mean() < 1e-3
        np.testing.assert_array_equal(jaws[0], jaws[2])
    finally:
        for stream in streams:
            stream.close()


def test_sound_reaches_the_picture(toy_server):
    # A square wave of 200 Hz: what is no voice, as a constant, does not reach the networks.
    loud = np.where(np.arange(RATE_HZ) // 40 % 2, 16384, -16384).astype(np.int16)
    frames = run(toy_server, [np.concatenate([np.zeros_like(loud), loud])], {"alpha": True}, ("FRAME",)).frames()
    jaw = [int(frame["FRAME"][0, 0, 0]) for frame in frames]
    # The toy network opens the jaw by the mean of |audio|, 0.5 here.
    assert max(jaw[:20]) <= 40
    assert min(jaw[40:55]) >= 100


def test_all_outputs(toy_server):
    frame = run(toy_server, [speech(0.1)], None, EVERYTHING).frames()[0]
    kinds = {name: (array.dtype.name, array.shape) for name, array in frame.items()}
    assert kinds == {
        "FRAME": ("uint8", (512, 512, 3)),
        "INDEX": ("int64", (1,)),
        "PTS": ("float64", (1,)),
        "AUDIO_OUT": ("int16", (533,)),
        "BLENDSHAPES": ("float32", (52,)),
        "POSE": ("float32", (6,)),
        "LANDMARKS": ("float32", (68, 2)),
        "FACE_MESH": ("float32", (478, 3)),
        "VISEME": ("float32", (20,)),
        "STATE": ("uint8", (1,)),
    }


def test_naming_no_output_asks_for_all(toy_server):
    assert set(run(toy_server, [speech(0.1)], None, ()).frames()[0]) == set(EVERYTHING) - {"PACKET"}


def test_only_what_is_asked_for_is_computed(toy_server, metrics):
    before = {
        stage: metrics(f'avatar_stage_ms_count{{stage="{stage}"}}') for stage in ("motion", "rasterizer", "enhancer")
    }
    frames = run(toy_server, [speech(0.5)], None, ("BLENDSHAPES",)).frames()
    after = {stage: metrics(f'avatar_stage_ms_count{{stage="{stage}"}}') for stage in before}
    assert [set(frame) for frame in frames] == [{"BLENDSHAPES"}] * 15
    assert after["motion"] > before["motion"]
    assert (after["rasterizer"], after["enhancer"]) == (before["rasterizer"], before["enhancer"])


@pytest.mark.parametrize(("parameters", "shape"), [({"size": 256}, (256, 256, 3)), ({"alpha": True}, (512, 512, 4))])
def test_picture_shapes(toy_server, parameters, shape):
    assert run(toy_server, [speech(0.1)], parameters, ("FRAME",)).frames()[0]["FRAME"].shape == shape


def test_jpeg_packets(toy_server):
    frames = run(toy_server, [speech(0.1)], {"encoding": "jpeg", "size": 256}, ("PACKET", "FRAME")).frames()
    assert [set(frame) for frame in frames] == [{"PACKET"}] * 3
    assert cv2.imdecode(frames[0]["PACKET"], cv2.IMREAD_COLOR).shape == (256, 256, 3)


def test_h264_packets(toy_server):
    av = pytest.importorskip("av")
    frames = run(toy_server, [speech(0.5)], {"encoding": "h264"}, ("PACKET",)).frames()
    decoder = av.CodecContext.create("h264", "r")
    pictures = [picture for frame in frames for picture in decoder.decode(av.Packet(frame["PACKET"].tobytes()))]
    pictures += decoder.decode(None)
    assert len(frames) == len(pictures) == 15
    assert (pictures[0].width, pictures[0].height) == (512, 512)


def test_h264_key_frame_on_request(toy_server):
    pytest.importorskip("av")
    with Stream(toy_server.grpc_address) as stream:
        stream.send(speech(1.0), "0", start=True, parameters={"encoding": "h264"}, outputs=("PACKET",))
        stream.wait(1)
        stream.send(speech(1.0), "1", parameters={"event": "keyframe"}, end=True, outputs=("PACKET",))
        stream.wait(2)
    # A sequence parameter set (NAL type 7) stands before each key frame.
    keys = {name: [f["PACKET"][4] & 0x1F == 7 for f in stream.frames(name)] for name in ("0", "1")}
    assert [k for k, is_key in enumerate(keys["0"]) if is_key] == [0]
    assert [k for k, is_key in enumerate(keys["1"]) if is_key] == [0]


def test_a_live_session_says_which_pictures_it_left_out(toy_server, metrics):
    dropped = metrics("avatar_frames_dropped_total")
    with Stream(toy_server.grpc_address) as stream:
        outputs = ("INDEX", "FRAME", "AUDIO_OUT")
        pcm = speech(4.0)
        # The toy makes about 200 frames a second: eleven sessions' worth of work in one cannot be in time.
        stream.send(pcm, start=True, end=True, parameters={"live": True, "fps": 60}, outputs=outputs)
        stream.wait(1)
    frames = stream.frames()
    assert [int(frame["INDEX"][0]) for frame in frames] == list(range(240))
    np.testing.assert_array_equal(np.concatenate([frame["AUDIO_OUT"] for frame in frames]), pcm)
    assert sum("FRAME" not in frame for frame in frames) == metrics("avatar_frames_dropped_total") - dropped


def test_empty_session(toy_server):
    stream = run(toy_server, [np.zeros(0, np.int16)])
    assert stream.frames() == []
    assert stream.finals() == ["0"]


def test_other_rates(toy_server):
    pcm = speech(1.0, 44_100)
    frames = run(toy_server, [pcm], {"sample_rate": 44_100}, ("AUDIO_OUT",)).frames()
    assert len(frames) == 30
    np.testing.assert_array_equal(np.concatenate([frame["AUDIO_OUT"] for frame in frames]), pcm)
