"""Files and sessions that should not be: each works or gets a clear error, and the server goes on as it was."""

import json

import numpy as np
import pytest
from avatar_client import AvatarClient, InvalidAudio, cli
from avatar_server import processes

from tests.serving.stream import Stream
from tests.serving.test_contract import speech
from tests.serving.test_gateway import address, make, session_of
from tests.serving.test_lifecycle import SECOND

RATE_HZ = 16_000


@pytest.fixture(autouse=True)
def the_server_goes_on(toy_server, metrics):
    regions = {name: (processes.SHM / name).stat().st_size for name in processes.shm_regions(toy_server.pid)}
    yield
    assert len(session_of(toy_server.grpc_address).frames()) == 15
    assert toy_server.failure is None and metrics("avatar_sessions_active") == 0
    assert regions == {name: (processes.SHM / name).stat().st_size for name in regions}, "/dev/shm must not grow"


def render(server, path, capsys) -> tuple[int, str, str]:
    arguments = ["render", str(path), "-o", str(path.with_suffix(".mp4")), "--server", server.grpc_address]
    code = cli.main([*arguments, "--metrics-url", f"http://{server.metrics_address}/metrics", "--json", "-q"])
    return (code, *capsys.readouterr())


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"Dear Sir or Madam,\n" * 99, "sound"), (b"RIFF\xff\xff\xff\xffWAVEfmt ", "sound")],
    ids=["empty", "text", "cut-off header"],
)
def test_a_file_that_is_no_sound(toy_server, tmp_path, capsys, content, words):
    path = tmp_path / "speech.wav"
    path.write_bytes(content)
    code, out, err = render(toy_server, path, capsys)
    assert (code, out) == (2, "")
    assert words in err and "Traceback" not in err
    assert not path.with_suffix(".mp4").exists()


def test_eight_bits_are_sound(toy_server, tmp_path, capsys):
    pytest.importorskip("av")
    path = tmp_path / "speech.wav"
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes((128 + speech(0.5, 8000) // 256).astype(np.uint8).tobytes())
    code, out, _ = render(toy_server, path, capsys)
    assert code == 0 and json.loads(out)["frames"] == 15


def test_not_a_number(toy_server, tmp_path, capsys):
    samples = np.zeros(RATE_HZ, np.float32)
    samples[8000] = np.nan
    with AvatarClient(toy_server.grpc_address) as client, client.open_session(outputs=("state",)) as session:
        with pytest.raises(InvalidAudio, match="nan at sample 8000"):
            session.send(samples)
        session.send(np.nan_to_num(samples))
        session.end()
        assert len(list(session)) == 30


def test_a_session_without_sound(toy_server):
    with Stream(toy_server.grpc_address) as stream:
        stream.send(start=True, end=True)
        stream.wait(1)
    assert (stream.frames(), stream.responses[0].error) == ([], None)


def test_three_hours_in_one_request(toy_server):
    three_hours = np.zeros(3 * 3600 * 8000, np.int16)
    with make(toy_server) as gateway, Stream(address(gateway)) as stream:
        stream.send(three_hours, start=True, end=True, parameters={"sample_rate": 8000})
        stream.wait_until(lambda: stream.code is not None)
    assert stream.code.name == "RESOURCE_EXHAUSTED"


def test_two_sessions_at_once(toy_server):
    with Stream(toy_server.grpc_address) as one, Stream(toy_server.grpc_address) as other:
        for stream in (one, other):
            stream.send(SECOND, start=True, end=True)
        for stream in (one, other):
            stream.wait(1)
            assert [int(frame["INDEX"][0]) for frame in stream.frames()] == list(range(30))
