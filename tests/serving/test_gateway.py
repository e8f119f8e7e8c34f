"""The gateway: a client does not notice it, a stranger gets no further than a session, and nobody is left behind."""

import asyncio
import dataclasses
import shutil
import subprocess
import sys
import time

import avatar_client
import grpc
import numpy as np
import pytest
from avatar_server import canary, start_server
from avatar_server.gateway import Gateway, GatewayConfig, _Stream
from avatar_server.tls import Tls
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.client.fake_server import FakeServer, answers_everything, final, frees_a_place, is_end
from tests.conftest import PROJECT
from tests.serving.stream import Stream
from tests.serving.test_contract import speech
from tests.serving.test_lifecycle import SECOND, wait_for

KEY = "an administrator's key"


@pytest.fixture
def gateway(toy_server):
    with make(toy_server) as running:
        yield running


def make(toy_server, **changes) -> Gateway:
    config = {"upstream": toy_server.grpc_address, "upstream_key": toy_server.config.admin_key, "admin_key": KEY}
    return Gateway(GatewayConfig(address="127.0.0.1:0", **(config | changes)))


def address(gateway: Gateway) -> str:
    return f"127.0.0.1:{gateway.port}"


def stub(gateway: Gateway):
    return service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(address(gateway)))


def session_of(at: str, **options) -> Stream:
    """A whole session of half a second."""
    with Stream(at, **options) as stream:
        stream.send(speech(0.5), start=True, end=True, outputs=("INDEX", "FRAME", "BLENDSHAPES", "AUDIO_OUT"))
        stream.wait(1)
    return stream


def test_frames_are_those_of_the_server(toy_server, gateway):
    direct, through = session_of(toy_server.grpc_address), session_of(address(gateway))
    assert len(direct.frames()) == len(through.frames()) == 15
    for one, other in zip(direct.frames(), through.frames(), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert through.code is None and gateway.streams == 0


def test_the_header_that_crashes_triton_gives_a_status_instead(gateway, metrics):
    header = (("triton_grpc_error", "true"),)
    for _ in range(10):
        with Stream(address(gateway), metadata=header) as stream:
            stream.send(SECOND, "0", start=True, parameters={"fps": 29})
            for i in range(1, 6):
                stream.send(SECOND, str(i))
            stream.wait_until(lambda stream=stream: stream.code is not None)
        assert (stream.code, "'fps' must be one of" in stream.details) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    wait_for(lambda: metrics("avatar_sessions_active") == 0)
    assert len(session_of(address(gateway)).frames()) == 15


def test_a_full_server_gives_a_status_at_once(gateway, metrics):
    streams = [Stream(address(gateway)) for _ in range(3)]
    for stream in streams:
        stream.send(start=True)
        stream.wait(1)
    waits_ms = []
    for _ in range(5):
        with Stream(address(gateway)) as one_too_many:
            started_s = time.monotonic()
            one_too_many.send(SECOND, start=True, end=True)
            one_too_many.wait_until(lambda stream=one_too_many: stream.code is not None)
            waits_ms.append(1000 * (time.monotonic() - started_s))
        assert one_too_many.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert one_too_many.details.startswith("this server runs at most 3 sessions at once, 3 are in use; retry later")
    assert min(waits_ms) < 50
    for stream in streams:
        stream.cancel()
    wait_for(lambda: metrics("avatar_sessions_active") == 0)


def test_a_client_that_is_gone_frees_its_place_at_once(gateway, metrics):
    """Triton does not tell the model of it; without the gateway only the idle time would end the session."""
    opened = [Stream(address(gateway)) for _ in range(3)]
    for stream in opened:
        stream.send(SECOND, start=True)
        stream.wait(1)
    assert metrics("avatar_sessions_active") == 3
    started_s = time.monotonic()
    for stream in opened:
        stream.cancel()
    wait_for(lambda: metrics("avatar_sessions_active") == 0)
    assert time.monotonic() - started_s < 1.5, "the idle time of this server is 2 s"


@pytest.mark.parametrize("is_ended", [False, True])
def test_a_stream_that_breaks_off_ends_by_itself_at_triton(gateway, monkeypatch, is_ended):
    """Nothing is cancelled there: Triton 2.51 loses the memory of what is under way, and can crash. Nor is anything
    made for nobody, were it what a session that has ended still had to say."""
    monkeypatch.setattr("avatar_server.gateway.RELEASE_S", 2.0)
    cancelled = []
    upstream = _Stream._upstream

    def noting(stream):
        call = upstream(stream)
        call.add_done_callback(lambda call: cancelled.append(call.cancelled()))
        return call

    monkeypatch.setattr(_Stream, "_upstream", noting)
    for delay_s in (0.0, 0.05, 0.3):
        stream = Stream(address(gateway))
        stream.send(np.tile(SECOND, 5), start=True, outputs=("INDEX", "FRAME"))
        for i in range(5):
            stream.send(np.tile(SECOND, 8), str(i + 1), outputs=("INDEX", "FRAME"), end=is_ended and i == 4)
        stream.wait_until(lambda stream=stream: stream.frames() or stream.code is not None)
        time.sleep(delay_s)
        stream.cancel()
        wait_for(lambda: gateway.streams == 0)
    wait_for(lambda: len(cancelled) >= 3)
    assert not any(cancelled)


def answers_the_start_and_then_hangs(requests, context):
    first = next(requests)
    yield final(first.id)
    if not is_end(first):
        for _ in requests:
            pass
        while context.is_active():
            time.sleep(0.01)


def test_a_session_whose_end_is_never_answered_is_ended_on_a_stream_of_its_own(monkeypatch):
    """Triton drops an END together with its stream, and the model would keep the place until the session has idled."""
    monkeypatch.setattr("avatar_server.gateway.RELEASE_S", 0.3)
    with FakeServer(answers_the_start_and_then_hangs) as upstream:
        config = GatewayConfig(address="127.0.0.1:0", upstream=upstream.address)
        with Gateway(config) as gateway, Stream(address(gateway)) as stream:
            stream.send(start=True)
            stream.wait(1)
            stream.send(end=True)
            wait_for(lambda: len(upstream.requests) == 2)
            stream.cancel()
            wait_for(lambda: len(upstream.requests) == 3)
        assert frees_a_place(upstream.requests[2], of=upstream.requests[0])


def test_a_session_that_ended_is_not_ended_again():
    with FakeServer(answers_everything) as upstream:
        config = GatewayConfig(address="127.0.0.1:0", upstream=upstream.address)
        with Gateway(config) as gateway, Stream(address(gateway)) as stream:
            stream.send(start=True, end=True)
            stream.wait(1)
            stream.close()
            wait_for(lambda: gateway.streams == 0)
        assert len(upstream.requests) == 1


LIVE = {"live": True}


def begin(at: str, parameters: dict) -> Stream:
    """A stream whose session has begun, or was refused."""
    stream = Stream(at)
    stream.send(start=True, parameters=parameters)
    stream.wait(1)
    return stream


def test_a_live_session_too_many_is_refused_at_once(toy_server, metrics):
    with make(toy_server, live_fps=60) as gateway:
        at = address(gateway)
        running = [begin(at, LIVE), begin(at, {"live": "true", "fps": 25})]
        assert (len(gateway.live), gateway.live.used_fps) == (2, 55)
        waits_ms = []
        for _ in range(5):
            with Stream(at) as one_too_many:
                started_s = time.monotonic()
                one_too_many.send(SECOND, start=True, end=True, parameters=LIVE)
                one_too_many.wait_until(lambda stream=one_too_many: stream.code is not None)
                waits_ms.append(1000 * (time.monotonic() - started_s))
            assert one_too_many.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert one_too_many.details == (
                "live sessions may have at most 60 frames a second on this server, 55 are in use by 2 sessions and "
                "this one asks for 30; retry later or on another server, with a lower 'fps', or without 'live'"
            )
            assert not one_too_many.frames()
        assert min(waits_ms) < 50
        assert gateway.live.used_fps == 55
        assert len(session_of(at).frames()) == 15, "one that is not live gets in"
        for stream in running:
            stream.send(end=True)
            stream.wait(2)
            stream.close()
    wait_for(lambda: metrics("avatar_sessions_active") == 0)


def ends(stream: Stream) -> None:
    stream.send(SECOND[:1600], end=True)
    stream.wait(2)
    stream.close()


def breaks_a_rule(stream: Stream) -> None:
    stream.session = "another"
    stream.send(SECOND)
    stream.wait_until(lambda: stream.code is not None)


def closes(stream: Stream) -> None:
    stream.send(end=True, parameters={"event": "close"})
    stream.wait(2)
    stream.close()


@pytest.mark.parametrize("leave", [ends, breaks_a_rule, closes, Stream.cancel])
def test_a_live_place_is_free_when_its_stream_ends(toy_server, metrics, leave):
    with make(toy_server, live_fps=30) as gateway:
        for _ in range(3):
            stream = begin(address(gateway), LIVE)
            assert stream.code is None and gateway.live.used_fps == 30
            leave(stream)
            wait_for(lambda: not gateway.live.used_fps, timeout_s=1.0)
            wait_for(lambda: metrics("avatar_sessions_active") == 0)


def test_a_killed_live_client_frees_its_place(toy_server):
    script = (
        "import sys; from tests.serving.stream import Stream; stream = Stream(sys.argv[1]);"
        "stream.send(start=True, parameters={'live': True}); stream.wait(1); print('open', flush=True); input()"
    )
    with make(toy_server, live_fps=30) as gateway:
        client = subprocess.Popen(
            [sys.executable, "-c", script, address(gateway)], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with client:
            assert client.stdout.readline() == b"open\n"
            refused = begin(address(gateway), LIVE)
            assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            client.kill()
        wait_for(lambda: not len(gateway.live), timeout_s=1.5)
        admitted = begin(address(gateway), LIVE)
        assert admitted.code is None
        ends(admitted)


@pytest.mark.parametrize("parameters", [{"live": True, "fps": 29}, {"live": "maybe"}, {"live": True, "avatar": "no"}])
def test_a_session_that_the_model_refuses_holds_no_live_place(toy_server, parameters):
    with make(toy_server, live_fps=30) as gateway:
        with Stream(address(gateway)) as stream:
            stream.send(start=True, parameters=parameters)
            stream.wait(1)
            assert stream.responses[0].error
        wait_for(lambda: not len(gateway.live), timeout_s=1.0)


def test_the_canary_is_not_live(toy_server):
    with make(toy_server, live_fps=30) as gateway:
        stream = begin(address(gateway), LIVE)
        assert canary.probe(address(gateway)) == canary.Health(True, "3 frames")
        assert gateway.live.used_fps == 30
        ends(stream)


def test_the_same_id_on_two_streams_is_two_sessions(gateway):
    with Stream(address(gateway), session="same") as one, Stream(address(gateway), session="same") as other:
        for stream in (one, other):
            stream.send(SECOND, "0", start=True)
            stream.wait(1)
        for stream in (one, other):
            stream.send(SECOND, "1", end=True)
            stream.wait(2)
        assert len(one.frames()) == len(other.frames()) == 60


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"session": "x", "model": "enhancer"}, "PERMISSION_DENIED", "serves sessions of the model 'avatar'"),
        ({"session": "x", "pcm": np.zeros(4 << 20, np.int16)}, "RESOURCE_EXHAUSTED", "at most 6291456 bytes, got 8388"),
        ({"session": 0}, "INVALID_ARGUMENT", "must carry sequence_id"),
    ],
)
def test_refused(gateway, request_, code, words):
    options = {name: request_[name] for name in ("session", "model") if name in request_}
    with Stream(address(gateway), **options) as stream:
        stream.session = options["session"]
        stream.send(request_.get("pcm", SECOND), start=True, end=True)
        stream.wait_until(lambda: stream.code is not None)
    assert stream.code.name == code
    assert words in stream.details


def test_two_sessions_on_one_stream(gateway):
    with Stream(address(gateway), session="first") as stream:
        stream.send(SECOND, "0", start=True)
        stream.wait(1)
        stream.session = "second"
        stream.send(SECOND, "1", start=True)
        stream.wait_until(lambda: stream.code is not None)
    assert "one stream must carry one session" in stream.details


def test_garbage_instead_of_a_request(gateway):
    channel = grpc.insecure_channel(address(gateway))
    call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter([b"\xff\xfe\xfd garbage"])))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name="avatar")),
        ("RepositoryIndex", service_pb2.RepositoryIndexRequest()),
        ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterRequest(name="x", key="/y", byte_size=1)),
        ("TraceSetting", service_pb2.TraceSettingRequest()),
        ("LogSettings", service_pb2.LogSettingsRequest()),
        ("ModelStatistics", service_pb2.ModelStatisticsRequest()),
        ("ModelConfig", service_pb2.ModelConfigRequest(name="avatar")),
        ("ModelInfer", service_pb2.ModelInferRequest(model_name="enhancer")),
    ],
)
def test_administration_needs_the_key(toy_server, gateway, method, request_):
    for metadata in ((), (("avatar-admin-key", "a guess"),)):
        with pytest.raises(grpc.RpcError) as caught:
            getattr(stub(gateway), method)(request_, metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    direct = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(toy_server.grpc_address))
    if method != "ModelInfer":
        with pytest.raises(grpc.RpcError) as caught:
            getattr(direct, method)(request_)
        assert "protocol is restricted" in caught.value.details()


def test_the_key_opens_administration(gateway):
    metadata = (("avatar-admin-key", KEY),)
    assert stub(gateway).ModelStatistics(service_pb2.ModelStatisticsRequest(), metadata=metadata).model_stats
    assert stub(gateway).ServerReady(service_pb2.ServerReadyRequest()).ready


def test_one_address_has_so_many_sessions(toy_server):
    with make(toy_server, max_streams_per_peer=1) as gateway, Stream(address(gateway)) as first:
        first.send(start=True)
        first.wait(1)
        with Stream(address(gateway)) as second:
            second.wait_until(lambda: second.code is not None)
        assert second.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "one address may run at most 1 sessions at once, 1 are in use" in second.details
        first.send(SECOND, end=True)
        first.wait(2)


def test_a_client_that_does_not_read_is_told_and_dropped(toy_server, metrics):
    with make(toy_server, slow_client_s=1.0) as gateway, Stream(address(gateway)) as other:
        other.send(start=True)
        other.wait(1)
        channel = grpc.insecure_channel(address(gateway), [("grpc.http2.lookahead_bytes", 1 << 16)])
        source = Stream.__new__(Stream)  # only its request building is used
        source.session, source._model = "lazy", "avatar"
        import queue

        source._requests = queue.Queue()
        source.send(np.zeros(60 * 16_000, np.int16), start=True, outputs=("FRAME",))
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(source._requests.get, None))

        def with_the_other_at_it(condition) -> bool:
            # Otherwise it would be closed as idle while a busy machine takes its time.
            other.send()
            return condition()

        wait_for(lambda: with_the_other_at_it(lambda: gateway.refused["RESOURCE_EXHAUSTED"] == 1))
        wait_for(lambda: with_the_other_at_it(lambda: metrics("avatar_sessions_active") == 1))
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert "a client must take its frames, got none taken for 1 s" in caught.value.details()
        source._requests.put(None)
        other.send(SECOND, name="last", end=True)
        other.wait_until(lambda: "last" in other.finals() or other.code is not None)
        assert len(other.frames("last")) == 30, "others are not hurt"


def test_a_draining_gateway_finishes_what_runs(gateway):
    with Stream(address(gateway)) as running:
        running.send(SECOND, "0", start=True)
        running.wait(1)
        gateway.refuse("this server is shutting down")
        with Stream(address(gateway)) as late:
            late.wait_until(lambda: late.code is not None)
        assert late.code is grpc.StatusCode.UNAVAILABLE and "shutting down" in late.details
        assert not stub(gateway).ServerReady(service_pb2.ServerReadyRequest()).ready
        running.send(SECOND, "1", end=True)
        running.wait(2)
    assert len(running.frames()) == 60


def test_a_stream_without_a_request_is_closed(toy_server):
    with make(toy_server, first_request_s=0.3) as gateway, Stream(address(gateway)) as silent:
        silent.wait_until(lambda: silent.code is not None)
        assert silent.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_pause_longer_than_the_first_request_may_take_is_no_fault(toy_server):
    with make(toy_server, first_request_s=0.3) as gateway, Stream(address(gateway)) as stream:
        stream.send(SECOND, "0", start=True)
        stream.wait(1)
        time.sleep(1.0)
        stream.send(SECOND, "1", end=True)
        stream.wait(2)
        assert len(stream.frames()) == 60


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority, a certificate of this server and one of a client, PEM files in a folder."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    for name in ("server", "client"):
        (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", "names", "-out", f"{name}.pem")  # fmt: skip
    return folder


@pytest.mark.parametrize("is_mutual", [False, True])
def test_tls(toy_server, certificates, is_mutual):
    folder = certificates
    tls = Tls(folder / "server.pem", folder / "server.key", folder / "ca.pem" if is_mutual else None)
    authority = (folder / "ca.pem").read_bytes()
    own = ((folder / "client.key").read_bytes(), (folder / "client.pem").read_bytes())
    with make(toy_server, tls=tls) as gateway:
        known = grpc.ssl_channel_credentials(authority, *(own if is_mutual else ()))
        assert len(session_of(address(gateway), credentials=known).frames()) == 15
        strangers = [None, grpc.ssl_channel_credentials()]
        if is_mutual:
            strangers.append(grpc.ssl_channel_credentials(authority))
        for stranger in strangers:
            with Stream(address(gateway), credentials=stranger) as stream:
                stream.send(SECOND, start=True, end=True)
                stream.wait_until(lambda stream=stream: stream.code is not None)
            assert stream.code is grpc.StatusCode.UNAVAILABLE


def test_tls_of_triton_itself(toy_config, toy_server, certificates):
    """Without the gateway, as `avatar serve --direct` does it."""
    folder = certificates
    tls = Tls(folder / "server.pem", folder / "server.key", folder / "ca.pem")
    authority = (folder / "ca.pem").read_bytes()
    own = ((folder / "client.key").read_bytes(), (folder / "client.pem").read_bytes())
    with start_server(dataclasses.replace(toy_config, tls=tls)) as server:
        known = grpc.ssl_channel_credentials(authority, *own)
        assert len(session_of(server.grpc_address, credentials=known).frames()) == 15
        for stranger in (None, grpc.ssl_channel_credentials(authority)):
            with Stream(server.grpc_address, credentials=stranger) as stream:
                stream.send(SECOND, start=True, end=True)
                stream.wait_until(lambda stream=stream: stream.code is not None)
            assert stream.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("is_mutual", [False, True])
def test_the_clients_over_tls(toy_server, certificates, is_mutual):
    folder = certificates
    tls = Tls(folder / "server.pem", folder / "server.key", folder / "ca.pem" if is_mutual else None)
    mine = {
        "private_key": (folder / "client.key").read_bytes(),
        "certificate_chain": (folder / "client.pem").read_bytes(),
    }
    ours = avatar_client.Tls((folder / "ca.pem").read_bytes(), **(mine if is_mutual else {}))

    async def count(at: str) -> int:
        client = avatar_client.AsyncAvatarClient(at, tls=ours)
        async with client, await client.open_session(outputs=("state",)) as session:
            return len([frame async for frame in session.stream([speech(0.5)])])

    with make(toy_server, tls=tls) as gateway:
        client = avatar_client.AvatarClient(address(gateway), tls=ours)
        with client, client.open_session(outputs=("state",)) as session:
            assert len(list(session.stream([speech(0.5)]))) == 15
        assert asyncio.run(count(address(gateway))) == 15
