"""Encrypted connections, and what goes with each call."""

import shutil
import subprocess

import grpc
import numpy as np
import pytest
from avatar_client import AvatarClient, ServerUnavailable, Tls, cli

from tests.client import sounds
from tests.client.fake_server import FakeServer, answers_everything, final


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost and its key, PEM."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )
    return (folder / "cert.pem").read_bytes(), (folder / "key.pem").read_bytes()


def run_session(client: AvatarClient) -> None:
    with client.open_session(outputs=()) as session:
        session.send(np.ones(100, np.int16))
        session.end()
        assert list(session) == []


def test_tls_and_mutual_tls(certificate):
    chain, key = certificate
    for mutual in (False, True):
        credentials = grpc.ssl_server_credentials([(key, chain)], chain if mutual else None, require_client_auth=mutual)
        with FakeServer(answers_everything, credentials=credentials) as server:
            address = server.address.replace("127.0.0.1", "localhost")
            own = {"private_key": key, "certificate_chain": chain} if mutual else {}
            with AvatarClient(address, tls=Tls(root_certificates=chain, **own)) as client:
                assert client.is_ready()
                run_session(client)
            with AvatarClient(address, tls=Tls()) as stranger, pytest.raises(ServerUnavailable):
                stranger.open_session()
            with AvatarClient(address) as plain, pytest.raises(ServerUnavailable):
                plain.open_session()


def test_metadata_goes_with_every_call():
    seen = []

    def behavior(requests, context):
        seen.append(dict(context.invocation_metadata()).get("authorization"))
        for request in requests:
            yield final(request.id)

    with (
        FakeServer(behavior) as server,
        AvatarClient(server.address, metadata=(("authorization", "Bearer x"),)) as client,
    ):
        run_session(client)
    assert seen == ["Bearer x"]


def test_the_command_line_checks_its_certificates(certificate, tmp_path, capsys):
    chain, key = certificate
    sound = str(sounds.write_wav(tmp_path / "a.wav", np.ones(16_000, np.int16), 16_000))
    (tmp_path / "ca.pem").write_bytes(chain)
    with FakeServer(answers_everything, credentials=grpc.ssl_server_credentials([(key, chain)])) as server:
        address = server.address.replace("127.0.0.1", "localhost")
        arguments = ["render", sound, "-q", "--server", address, "--tls", "--ca"]
        # The fake server accepts the session and makes no frame.
        assert cli.main([*arguments, str(tmp_path / "ca.pem")]) == 5
        assert "without a frame" in capsys.readouterr().err
        assert cli.main([*arguments, str(tmp_path / "none.pem")]) == 2
        assert "cannot read" in capsys.readouterr().err
    assert cli.main(["render", sound, "-q", "--tls"]) == 2
    assert "--server" in capsys.readouterr().err
