"""`avatar serve`, `avatar doctor` and `avatar probe`."""

import argparse
import math
import re
import secrets
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from avatar.engine import PRECISIONS
from avatar_server import canary, checks, command, doctor, processes
from avatar_server.config import ServerConfig
from avatar_server.errors import EnvironmentFault, LaunchError
from avatar_server.gateway import GatewayConfig
from avatar_server.logs import LEVELS, Log, to_stderr
from avatar_server.server import Progress
from avatar_server.supervisor import Policy, supervise
from avatar_server.tls import Tls

GATEWAY_IDLE_S = 600.0
"""A silent session is closed after this long; how long pauses of a conversation may be."""


def add_serve_parser(subparsers) -> None:
    """Adds `serve`; its `run(arguments)` returns the exit code."""
    parser = subparsers.add_parser(
        "serve",
        help="run the Triton server",
        description="Runs tritonserver with the avatar's models until SIGTERM or Ctrl-C. Exit codes: 0 stopped, "
        "2 usage, 3 this machine cannot run it (see `avatar doctor`), 4 a model did not load, 5 a process died.",
    )
    _add_server_arguments(parser)
    parser.add_argument("--start-timeout", type=float, metavar="S", help="seconds for all models to load")
    parser.add_argument("--stop-timeout", type=float, metavar="S", help="seconds that Triton gets to end at the end")
    parser.add_argument(
        "--drain-timeout",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds that running sessions get after SIGTERM (default 30); a second signal ends them",
    )
    parser.add_argument(
        "--restarts",
        type=int,
        default=3,
        metavar="N",
        help="start a server that died again, so often in a row (default 3); 0 exits with code 5",
    )
    parser.add_argument(
        "--canary",
        type=float,
        default=5.0,
        metavar="S",
        help="try an idle server with a session this often (default 5); 0 never",
    )
    parser.add_argument("--log-format", choices=("plain", "json"), default="plain")
    parser.add_argument("--log-level", choices=LEVELS, default="info")
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-sessions", type=int, metavar="N", help="sessions admitted at once")
    limits.add_argument("--max-sessions-per-peer", type=int, metavar="N", help="of them from one address (no limit)")
    limits.add_argument(
        "--live-fps",
        type=frames_a_second,
        metavar="N",
        help="frames a second that all live sessions together may have; 0: no limit (default: measured at the start; "
        "--direct has no such limit)",
    )
    limits.add_argument("--max-chunk", type=float, metavar="S", help="seconds of audio in one request (default 60)")
    limits.add_argument("--max-session", type=float, metavar="S", help="seconds of audio in a session (default 14400)")
    limits.add_argument(
        "--session-idle",
        type=float,
        metavar="S",
        help="seconds after which a silent session is closed (default 600; 60 with --direct)",
    )
    limits.add_argument(
        "--slow-client",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds that a client may leave a frame untaken before it is dropped (default 10)",
    )
    security = parser.add_argument_group("security")
    security.add_argument(
        "--direct",
        action="store_true",
        help="let clients reach Triton itself, without the gateway: trusted networks only",
    )
    security.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate of this server; needs --tls-key")
    security.add_argument("--tls-key", type=Path, metavar="PEM")
    security.add_argument("--tls-client-ca", type=Path, metavar="PEM", help="let in only clients of these authorities")
    security.add_argument(
        "--admin-key-file",
        type=Path,
        metavar="FILE",
        help="key that opens models, shared memory, statistics, traces and logs; closed without",
    )
    parser.add_argument("triton_arguments", nargs="*", metavar="-- ARG", help="further arguments for tritonserver")
    parser.set_defaults(run=serve)


def add_doctor_parser(subparsers) -> None:
    """Adds `doctor`; its `run(arguments)` returns the exit code."""
    parser = subparsers.add_parser(
        "doctor",
        help="check whether the server can run here",
        description="Checks all that is known to keep the server from running. Exit code 0 if it can run, else 3.",
    )
    _add_server_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--clean", action="store_true", help="remove shared memory that killed servers left")
    parser.set_defaults(run=diagnose)


def add_probe_parser(subparsers) -> None:
    """Adds `probe`; its `run(arguments)` returns the exit code."""
    parser = subparsers.add_parser(
        "probe",
        help="check that a running server makes frames",
        description="Runs 100 ms of audio through all stages. Exit code 0 if it works or is only full, else 1.",
    )
    parser.add_argument("--server", default="127.0.0.1:8001", metavar="HOST:PORT")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S")
    parser.set_defaults(run=check)


def serve(arguments: argparse.Namespace) -> int:
    log = Log(to_stderr(arguments.log_format), arguments.log_level)
    stop, stop_now = threading.Event(), threading.Event()

    def on_signal(*_) -> None:
        (stop_now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)

    def show(progress: Progress) -> None:
        log.say("info", f"models ready: {len(progress.loaded)} of {progress.total}")

    try:
        config, gateway = _serving(arguments)
        policy = Policy(arguments.restarts, arguments.drain_timeout, arguments.canary)
        supervise(config, gateway, policy, log, stop, stop_now, show)
    except LaunchError as error:
        print(f"avatar serve: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _serving(arguments: argparse.Namespace) -> tuple[ServerConfig, GatewayConfig | None]:
    """What to run: Triton alone, or Triton on the loopback and a gateway before it.

    Raises:
        EnvironmentFault: a file of the options cannot be used.
    """
    config = _config(arguments)
    tls = _tls(arguments)
    admin_key = _admin_key(arguments.admin_key_file)
    if arguments.direct:
        return replace(config, tls=tls, admin_key=admin_key), None
    checks.require([checks.check_port("grpc", config.address, config.grpc_port)])
    public = command.with_free_ports(config)
    host = f"[{config.address}]" if ":" in config.address else config.address
    upstream_key = secrets.token_urlsafe(24)
    gateway = GatewayConfig(
        address=f"{host}:{public.grpc_port}",
        upstream="",
        tls=tls,
        admin_key=admin_key,
        upstream_key=upstream_key,
        max_streams_per_peer=arguments.max_sessions_per_peer,
        slow_client_s=arguments.slow_client,
        live_fps=arguments.live_fps,
    )
    inner = replace(
        config,
        grpc_port=0,
        grpc_address="127.0.0.1",
        admin_key=upstream_key,
        restrict_inference=True,
        # Clients that are gone are noticed: a pause in a conversation need not end it.
        session_idle_s=config.session_idle_s or GATEWAY_IDLE_S,
    )
    return inner, gateway


def frames_a_second(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be 0 (no limit) or more frames a second, got {text}")
    return value


def _tls(arguments: argparse.Namespace) -> Tls | None:
    given = (arguments.tls_cert, arguments.tls_key, arguments.tls_client_ca)
    if not any(given):
        return None
    if not (arguments.tls_cert and arguments.tls_key):
        raise EnvironmentFault("TLS must have both --tls-cert and --tls-key, got only one of the options")
    for path in filter(None, given):
        _read(path)
    return Tls(*given)


def _admin_key(path: Path | None) -> str | None:
    if path is None:
        return None
    key = _read(path).decode().strip()
    if not re.fullmatch(r"[\w.~+/=-]{16,}", key):
        raise EnvironmentFault(f"the key in {path} must have at least 16 letters, digits or ._~+/=-")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"{path} must be a file that can be read: {error.strerror}") from error


def diagnose(arguments: argparse.Namespace) -> int:
    if arguments.clean:
        processes.remove_regions(set(processes.stale_regions()))
    return doctor.report(doctor.examine(_config(arguments)), arguments.json)


def check(arguments: argparse.Namespace) -> int:
    health = canary.probe(arguments.server, arguments.timeout)
    print(health.detail, file=sys.stdout if health.ok else sys.stderr)
    return 0 if health.ok else 1


def _add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model-repository", type=Path, metavar="DIR")
    parser.add_argument("--avatars", type=Path, metavar="DIR", help="folder of the avatars that may be asked for")
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="serve only this model; may be repeated"
    )
    parser.add_argument("--address", help="where gRPC listens (default 127.0.0.1; 0.0.0.0 for the network)")
    parser.add_argument("--plain-address", help="where HTTP and metrics listen, which have no TLS (default 127.0.0.1)")
    parser.add_argument("--grpc-port", type=int, metavar="PORT", help="default 8001; 0 takes a free one")
    parser.add_argument("--http-port", type=int, metavar="PORT", help="default 8000; 0 takes a free one")
    parser.add_argument("--metrics-port", type=int, metavar="PORT", help="default 8002; 0 takes a free one")
    parser.add_argument("--shm-mb", type=int, metavar="MIB", help="shared memory of each model's process (default 64)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of the networks (default: the fastest that the CPU has)"
    )
    parser.add_argument("--python", type=Path, help="interpreter of the environment that holds nvidia-pytriton")


def _config(arguments: argparse.Namespace) -> ServerConfig:
    """The defaults of `ServerConfig` with what was given on the command line."""
    given = {
        "model_repository": arguments.model_repository,
        "avatars_dir": arguments.avatars,
        "models": tuple(arguments.model),
        "address": arguments.address,
        "plain_address": arguments.plain_address,
        "grpc_port": arguments.grpc_port,
        "http_port": arguments.http_port,
        "metrics_port": arguments.metrics_port,
        "shm_bytes": arguments.shm_mb and arguments.shm_mb << 20,
        "python": arguments.python,
        "start_timeout_s": getattr(arguments, "start_timeout", None),
        "stop_timeout_s": getattr(arguments, "stop_timeout", None),
        "max_sessions": getattr(arguments, "max_sessions", None),
        "session_idle_s": getattr(arguments, "session_idle", None),
        "max_chunk_s": getattr(arguments, "max_chunk", None),
        "max_session_s": getattr(arguments, "max_session", None),
        "precision": arguments.precision,
        "arguments": tuple(getattr(arguments, "triton_arguments", ())),
    }
    return ServerConfig(**{name: value for name, value in given.items() if value is not None})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="avatar_server", description="The avatar's Triton server.")
    subparsers = parser.add_subparsers(required=True)
    add_serve_parser(subparsers)
    add_doctor_parser(subparsers)
    add_probe_parser(subparsers)
    arguments = parser.parse_args(argv)
    return arguments.run(arguments)
