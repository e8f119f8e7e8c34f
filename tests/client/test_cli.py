"""The command line against the real Triton: results, exit codes, messages, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest
from avatar_client import cli, timings
from avatar_client.timings import StageTime

from tests.client import sounds

RATE_HZ = 16_000


@pytest.fixture
def beeps(tmp_path):
    """Two seconds at 22 050 Hz, stereo, with a beep from 1.0 s to 1.5 s."""
    wave = sounds.tone(2.0, 22_050)
    wave[:22_050] = wave[33_075:] = 0
    return sounds.write(tmp_path / "beeps.flac", np.stack([wave, wave]), 22_050, "flac")


@pytest.fixture
def avatar(toy, capsys):
    """Runs a command against the toy server; returns exit code, output and errors."""

    def run(verb, *arguments):
        code = cli.main([verb, "--server", toy.grpc_address, *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def video_length(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_render_writes_a_video_in_sync(avatar, beeps, tmp_path):
    output = tmp_path / "out.mp4"
    code, out, err = avatar("render", beeps, "-o", output)
    assert code == 0, err
    assert re.match(rf"{re.escape(str(output))}: 60 frames, 2\.00 s of video in [0-9.]+ s\n$", out)
    assert "60/60" in err
    with av.open(str(output)) as container:
        lit = [f.pts * f.time_base for f in container.decode(video=0) if f.to_ndarray(format="rgb24")[400].mean() > 150]
    with av.open(str(output)) as container:
        times_s, samples = zip(
            *[
                (f.pts / f.sample_rate + np.arange(f.samples) / f.sample_rate, f.to_ndarray().ravel())
                for f in container.decode(audio=0)
            ],
            strict=False,
        )
    heard = np.concatenate(times_s)[np.abs(np.concatenate(samples)) > 0.2]
    assert abs(float(lit[0]) - heard[0]) <= 1 / 30
    assert abs(float(lit[-1]) + 1 / 30 - heard[-1]) <= 1 / 30


def test_render_prints_timings_and_json(avatar, beeps, tmp_path):
    output = tmp_path / "out.mp4"
    _, out, _ = avatar("render", beeps, "-o", output, "--timings", "-q")
    assert re.search(r"frames per second +[0-9.]+ +first frame after [0-9]+ ms", out)
    _, out, err = avatar("render", beeps, "-o", output, "--json", "-q", "--fps", "25", "--size", "256")
    result = json.loads(out)
    assert err == ""
    assert (result["frames"], result["video_s"], result["output"]) == (50, 2.0, str(output))
    assert result["frames_per_s"] > 0 and result["first_frame_ms"] > 0
    assert video_length(output) == 50


def test_the_default_output_lies_beside_the_input(avatar, beeps):
    assert avatar("render", beeps, "-q")[0] == 0
    assert video_length(beeps.with_suffix(".mp4")) == 60


def test_stream_paces_the_sound_and_measures(avatar, beeps, tmp_path):
    begun_s = time.monotonic()
    code, out, err = avatar("stream", beeps, "--json", "-q", "-o", tmp_path / "out.mp4")
    assert code == 0, err
    assert time.monotonic() - begun_s >= 2.0
    result = json.loads(out)
    assert result["frames"] == 60 and result["duration_s"] == 2.0
    assert 150 < result["first_frame_ms"] < 2000
    latency = result["latency_ms"]
    assert 0 <= latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["maximum"]
    assert latency["p50"] < 200
    assert 15 < result["gap_ms"]["p50"] < 100
    assert video_length(tmp_path / "out.mp4") == 60
    code, out, _ = avatar("stream", beeps, "-q", "--frames", tmp_path / "pictures")
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 60
    assert "first frame after first audio" in out and "P95" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no file"), (b"", "is empty"), (b"hello, no sound here\n" * 50, "not a sound file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["render", "stream"])
def test_bad_input_is_refused_before_a_server_is_needed(capsys, tmp_path, verb, content, words):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    output = tmp_path / "out.mp4"
    assert cli.main([verb, str(path), "-o", str(output), "--server", "127.0.0.1:9", "-q"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.match(rf"avatar: .*{words}", err) and err.count("\n") == 1
    assert not output.exists()


def test_bad_samples_leave_no_video(avatar, tmp_path):
    samples = np.zeros(5 * RATE_HZ, np.float32)
    samples[-100] = np.nan
    path = sounds.write_wav(tmp_path / "a.wav", samples, RATE_HZ)
    code, _, err = avatar("render", path, "-q")
    assert code == 2 and "NaN or infinity at 4.994 s" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--avatar", "nobody"), 2, "no avatar 'nobody'"),
        (("--avatar", "breaks"), 5, "stage enhancer failed"),
        (("-o", "out.gif"), 2, "must end in .mp4"),
        (("-o", "/nowhere/out.mp4"), 2, "cannot write to /nowhere"),
        (("--fps", "0"), 2, "fps must be positive"),
    ],
)
def test_refusals_have_a_code_and_a_line(avatar, beeps, arguments, code, words):
    got, out, err = avatar("render", beeps, "-q", *arguments)
    assert (got, out) == (code, "")
    assert words in err and err.count("\n") == 1
    assert [p.name for p in beeps.parent.iterdir()] == [beeps.name]


def test_the_input_is_never_overwritten(avatar, tmp_path):
    path = sounds.write(tmp_path / "a.mp4", sounds.tone(1.0, 44_100)[None], 44_100, "aac")
    content = path.read_bytes()
    code, _, err = avatar("render", path, "-q")
    assert code == 2 and "another file than the input" in err
    assert path.read_bytes() == content


def test_no_server_has_its_own_code(capsys, beeps):
    assert cli.main(["render", str(beeps), "-q", "--server", "127.0.0.1:9"]) == 3
    assert "avatar serve" in capsys.readouterr().err
    assert cli.main(["render", str(beeps), "-q", "--server", "localhost"]) == 2
    assert "host:port" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("sing",), ("render",), ("render", "a", "--fps", "fast")])
def test_bad_usage_is_exit_code_2(arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    assert caught.value.code == 2


def test_verbs_of_the_server_package(capsys, monkeypatch):
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", "--help"])
    assert caught.value.code == 0 and "--grpc-port" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        cli.main(["probe", "--help"])
    assert caught.value.code == 0 and "probe" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "avatar_server", None)
    for arguments in (["doctor"], ["serve"], ["probe"]):
        assert cli.main(arguments) == 3
        assert "pip install" in capsys.readouterr().err


def test_without_the_server_package_render_says_what_to_do(capsys, monkeypatch, beeps):
    monkeypatch.setitem(sys.modules, "avatar_server", None)
    assert cli.main(["render", str(beeps), "-q"]) == 3
    err = capsys.readouterr().err
    assert "--server HOST:PORT" in err and "pip install" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_leave_no_half_video(toy, beeps, number, code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = ["render", beeps, "--server", toy.grpc_address, "--avatar", "slow", "--fps", "60"]
    process = subprocess.Popen(
        [sys.executable, "-m", "avatar_client.cli", *command],
        env=environment,
        stderr=subprocess.PIPE,
        # What a shell runs in the background ignores it, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline_s = time.monotonic() + 20
    while not list(beeps.parent.glob(".*.part")) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code, err.decode()
    assert b"Traceback" not in err
    assert [p.name for p in beeps.parent.iterdir()] == [beeps.name]


METRICS = """\
# HELP avatar_stage_ms Milliseconds of one call of a stage
# TYPE avatar_stage_ms histogram
avatar_stage_ms_bucket{stage="motion",le="1"} 3
avatar_stage_ms_sum{stage="motion"} 12.5
avatar_stage_ms_count{stage="motion"} 10
avatar_stage_ms_sum{model="avatar",stage="enhancer",version="1"} 1e+03
avatar_stage_ms_count{model="avatar",stage="enhancer",version="1"} 50
avatar_stage_ms_sum{model="avatar",stage="enhancer",version="2"} 500
avatar_stage_ms_count{model="avatar",stage="enhancer",version="2"} 25
nv_inference_count{model="avatar"} 9
"""


def test_stage_times_come_from_the_histogram():
    now = timings.parse_metrics(METRICS)
    assert now == {"motion": StageTime(12.5, 10), "enhancer": StageTime(1500.0, 75)}
    assert now["enhancer"].mean_ms == 20.0
    before = {"motion": StageTime(12.5, 10), "enhancer": StageTime(1000.0, 50)}
    assert timings.difference(before, now) == {"enhancer": StageTime(500.0, 25)}
    assert timings.difference({}, now) == now
    assert timings.parse_metrics("") == {}
