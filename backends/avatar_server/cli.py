"""`avatar serve`, `avatar doctor` and `avatar probe`."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from avatar_server import canary, doctor, processes
from avatar_server.config import ServerConfig
from avatar_server.errors import LaunchError
from avatar_server.logs import LEVELS, Log, to_stderr
from avatar_server.server import Progress, start_server


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
    parser.add_argument("--stop-timeout", type=float, metavar="S", help="seconds that running requests get at the end")
    parser.add_argument("--log-format", choices=("plain", "json"), default="plain")
    parser.add_argument("--log-level", choices=LEVELS, default="info")
    parser.add_argument("--max-sessions", type=int, metavar="N", help="sessions admitted at once")
    parser.add_argument(
        "--session-idle", type=float, metavar="S", help="seconds after which a silent session is closed"
    )
    parser.add_argument(
        "--precision", choices=("f32", "bf16"), help="of the networks (default: bf16 where the CPU computes in it)"
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
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def show(progress: Progress) -> None:
        log.say("info", f"models ready: {len(progress.loaded)} of {progress.total}")

    try:
        with start_server(_config(arguments), log, show, is_cancelled=stop.is_set) as server:
            log.say(
                "info",
                f"serving gRPC {server.grpc_address}, HTTP {server.http_address}, metrics {server.metrics_address}",
            )
            while not stop.is_set() and not server.wait(timeout_s=0.2):
                pass
            if stop.is_set():
                log.say("info", "stopping")
            else:
                server.check()
    except LaunchError as error:
        if stop.is_set():
            return 0
        print(f"avatar serve: {error}", file=sys.stderr)
        return error.exit_code
    return 0


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
    parser.add_argument("--address", help="where to listen (default 127.0.0.1; 0.0.0.0 for the network)")
    parser.add_argument("--grpc-port", type=int, metavar="PORT", help="default 8001; 0 takes a free one")
    parser.add_argument("--http-port", type=int, metavar="PORT", help="default 8000; 0 takes a free one")
    parser.add_argument("--metrics-port", type=int, metavar="PORT", help="default 8002; 0 takes a free one")
    parser.add_argument("--shm-mb", type=int, metavar="MIB", help="shared memory of each model's process (default 64)")
    parser.add_argument("--python", type=Path, help="interpreter of the environment that holds nvidia-pytriton")


def _config(arguments: argparse.Namespace) -> ServerConfig:
    """The defaults of `ServerConfig` with what was given on the command line."""
    given = {
        "model_repository": arguments.model_repository,
        "avatars_dir": arguments.avatars,
        "models": tuple(arguments.model),
        "address": arguments.address,
        "grpc_port": arguments.grpc_port,
        "http_port": arguments.http_port,
        "metrics_port": arguments.metrics_port,
        "shm_bytes": arguments.shm_mb and arguments.shm_mb << 20,
        "python": arguments.python,
        "start_timeout_s": getattr(arguments, "start_timeout", None),
        "stop_timeout_s": getattr(arguments, "stop_timeout", None),
        "max_sessions": getattr(arguments, "max_sessions", None),
        "session_idle_s": getattr(arguments, "session_idle", None),
        "precision": getattr(arguments, "precision", None),
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
