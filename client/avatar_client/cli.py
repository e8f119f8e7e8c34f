"""The command `avatar`: results on standard output, progress and errors on standard error.

Exit codes: 0 done, 2 bad usage or input, 3 no server reached or startable, 4 a model did not load, 5 the server failed,
6 the server is full, 130 interrupted.
"""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from avatar_client.channel import Tls
from avatar_client.client import AvatarClient
from avatar_client.embedded import ServerPackageMissing, server
from avatar_client.errors import AvatarClientError, CapacityError, InvalidRequest, ServerUnavailable
from avatar_client.media import STANDARD_INPUT, AudioFile
from avatar_client.paced import StreamResult, stream
from avatar_client.pictures import PictureFolder
from avatar_client.render import RenderResult, render
from avatar_client.types import Frame, Output, SessionOptions
from avatar_client.video import VideoError, VideoWriter

EXIT_USAGE, EXIT_NO_SERVER, EXIT_SERVER_FAILED, EXIT_FULL, EXIT_INTERRUPTED = 2, 3, 5, 6, 130
_SERVER_VERBS = {
    "serve": "run the Triton server",
    "doctor": "check whether the server can run here",
    "probe": "ask a running server for one frame through all stages",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parser(argv).parse_args(argv)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)
        return arguments.run(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - sorted into known and unknown below
        code = _exit_code(error)
        if code is None:
            raise
        print(f"avatar: {error}", file=sys.stderr)
        return code


def _terminate(number: int, _frame) -> None:
    """Turns a signal into an exception, so that an embedded server is stopped and half a video removed."""
    raise SystemExit(128 + number)


def _exit_code(error: Exception) -> int | None:
    """The exit code of an error with a message for the user; None for a defect."""
    if isinstance(error, (InvalidRequest, VideoError)):
        return EXIT_USAGE
    if isinstance(error, ServerUnavailable):
        return EXIT_NO_SERVER
    if isinstance(error, CapacityError):
        return EXIT_FULL
    if isinstance(error, AvatarClientError):
        return EXIT_SERVER_FAILED
    if "avatar_server" in sys.modules and isinstance(error, sys.modules["avatar_server"].LaunchError):
        return error.exit_code
    return None


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="avatar", description="A talking avatar: speech in, talking head out.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_render(verbs)
    _add_stream(verbs)
    verb = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in _SERVER_VERBS.items():
        if name == verb:
            _add_from_server_package(verbs, name)
        else:
            verbs.add_parser(name, help=summary)
    return parser


def _add_from_server_package(verbs, name: str) -> None:
    try:
        from avatar_server import cli as server_cli
    except ImportError as error:
        raise ServerPackageMissing(error) from error
    getattr(server_cli, f"add_{name}_parser")(verbs)


def _add_render(verbs) -> None:
    parser = verbs.add_parser(
        "render", help="sound file to video file",
        description="Streams a sound file through the server and writes the talking head as a video.",
    )  # fmt: skip
    parser.add_argument(
        "audio", metavar="IN", help="WAV, FLAC, MP3, OGG, ...; any rate and channels; - for standard input"
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="video to write: .mp4, .mov or .mkv (default: IN with .mp4)"
    )
    parser.add_argument(
        "--timings", action="store_true", help="also print frame rate and the milliseconds of each stage"
    )
    _add_common(parser)
    parser.set_defaults(run=_render)


def _add_stream(verbs) -> None:
    parser = verbs.add_parser(
        "stream", help="sound file at the pace of a microphone, with latency statistics",
        description="Sends a sound file in real time, as a microphone would, and tells how soon the frames come.",
    )  # fmt: skip
    parser.add_argument("audio", metavar="IN", help="as for render")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("-o", "--output", metavar="OUT", help="also write a video")
    target.add_argument("--frames", metavar="DIR", help="also write each frame as a PNG")
    parser.add_argument("--chunk-ms", type=int, default=20, metavar="MS", help="audio of one chunk (default 20)")
    _add_common(parser)
    parser.set_defaults(run=_stream)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", metavar="HOST:PORT", help="a running server; without it one is started for this command"
    )
    parser.add_argument("--tls", action="store_true", help="encrypt the connection to --server")
    parser.add_argument("--ca", metavar="PEM", help="with --tls: authorities to trust instead of the system's")
    parser.add_argument("--cert", metavar="PEM", help="with --tls: this client's certificate, for mutual TLS")
    parser.add_argument("--key", metavar="PEM", help="with --tls: this client's key")
    parser.add_argument(
        "--metrics-url", metavar="URL", help="its Prometheus page (default: port 8002 of the same host)"
    )
    parser.add_argument("--avatar", metavar="NAME", help="which avatar (default: the server's)")
    parser.add_argument("--fps", type=int, default=30, metavar="N", help="25, 30, 50 or 60 (default 30)")
    parser.add_argument("--size", type=int, metavar="PX", help="512 or 256 (default 512)")
    parser.add_argument("--lookahead-ms", type=int, metavar="MS")
    parser.add_argument("--emotion", metavar="NAME")
    parser.add_argument("--emotion-intensity", type=float, metavar="X", help="0 to 1")
    parser.add_argument("--seed", type=int, metavar="N", help="of blinks and small head motion")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def _options(arguments: argparse.Namespace, *outputs: Output) -> SessionOptions:
    names = ("avatar", "fps", "size", "lookahead_ms", "emotion", "emotion_intensity", "seed")
    return SessionOptions(outputs=outputs, **{name: getattr(arguments, name) for name in names})


def _render(arguments: argparse.Namespace) -> int:
    output = arguments.output or _default_output(arguments.audio)
    options = _options(arguments, "image", "audio")
    _refuse_overwriting(arguments.audio, output)
    with (
        AudioFile(arguments.audio) as audio,
        VideoWriter(output, options.fps, audio.sample_rate_hz) as video,
        _connected(arguments, audio) as (client, metrics_url, bar),
    ):
        result = render(
            client, audio, video, options, metrics_url=metrics_url,
            progress=lambda frames: bar.update(frames - bar.n),
        )  # fmt: skip
    print(json.dumps(result.as_dict()) if arguments.json else render_text(result, arguments.timings))
    return 0


def _stream(arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.chunk_ms <= 1000:
        raise InvalidRequest(f"--chunk-ms must be 1 to 1000, got {arguments.chunk_ms}")
    pictures: tuple[Output, ...] = ("image", "audio") if arguments.output or arguments.frames else ("image",)
    options = _options(arguments, *pictures)
    with (
        AudioFile(arguments.audio) as audio,
        _sink(arguments, audio) as sink,
        _connected(arguments, audio) as (client, _, bar),
    ):
        result = stream(
            client, audio, options, chunk_ms=arguments.chunk_ms,
            on_frame=_keep(sink, bar),
        )  # fmt: skip
    print(json.dumps(result.as_dict()) if arguments.json else stream_text(result))
    return 0


def _keep(sink, bar: tqdm) -> Callable[[Frame], None]:
    def on_frame(frame: Frame) -> None:
        sink.write(frame)
        bar.update(1)

    return on_frame


def _sink(arguments: argparse.Namespace, audio: AudioFile):
    if arguments.output:
        _refuse_overwriting(arguments.audio, arguments.output)
        return VideoWriter(arguments.output, arguments.fps, audio.sample_rate_hz)
    return PictureFolder(arguments.frames) if arguments.frames else _Nowhere()


class _Nowhere:
    """Takes frames that nobody wants to keep."""

    def write(self, frame) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass


def _default_output(source: str) -> str:
    return "out.mp4" if source == STANDARD_INPUT else str(Path(source).with_suffix(".mp4"))


def _refuse_overwriting(source: str, output: str) -> None:
    if Path(output).exists() and Path(source).exists() and Path(output).samefile(source):
        raise InvalidRequest(f"the output must be another file than the input, got {output} for both; pass -o")


@contextmanager
def _connected(arguments: argparse.Namespace, audio: AudioFile) -> Iterator[tuple[AvatarClient, str, tqdm]]:
    """A client of the named server or of one started for this command, its metrics page, and a bar of frames."""
    tls = _tls(arguments)
    with (
        server(arguments.server, arguments.metrics_url, quiet=arguments.quiet) as endpoint,
        AvatarClient(endpoint.address, tls=tls) as client,
        _bar(audio, arguments) as bar,
    ):
        yield client, endpoint.metrics_url, bar


def _tls(arguments: argparse.Namespace) -> Tls | None:
    if not arguments.tls:
        return None
    if arguments.server is None:
        raise InvalidRequest("--tls needs --server HOST:PORT; a server started for this command is on this machine")
    return Tls(
        root_certificates=_pem(arguments.ca), private_key=_pem(arguments.key), certificate_chain=_pem(arguments.cert)
    )


def _pem(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}; give a PEM file") from error


def _bar(audio: AudioFile, arguments: argparse.Namespace) -> tqdm:
    total = None if audio.duration_s is None else round(audio.duration_s * arguments.fps)
    interval_s = 0.1 if sys.stderr.isatty() else 2.0
    return tqdm(total=total, unit="frame", file=sys.stderr, disable=arguments.quiet, mininterval=interval_s)


def render_text(result: RenderResult, with_timings: bool) -> str:
    """The result for a reader; one line, or a small table with the stages."""
    lines = [f"{result.output}: {result.frames} frames, {result.video_s:.2f} s of video in {result.elapsed_s:.2f} s"]
    if with_timings:
        lines.append(
            f"frames per second  {result.frames_per_s:8.1f}   first frame after {result.first_frame_ms:.0f} ms"
        )
        lines.extend(f"{name:<18} {stage.mean_ms:8.2f} ms x {stage.calls}" for name, stage in result.stages.items())
        if not result.stages:
            lines.append("stage times: the server tells none; is its metrics port reachable (--metrics-url)?")
    return "\n".join(lines)


def stream_text(result: StreamResult) -> str:
    """The latency statistics for a reader."""
    rows = (("latency after look-ahead", result.latency_ms), ("gap between frames", result.gap_ms))
    lines = [
        f"{result.frames} frames for {result.duration_s:.2f} s of sound, {result.late_frames} late",
        f"first frame after first audio  {result.first_frame_ms:8.1f} ms",
        f"{'':<24} {'P50':>8} {'P95':>8} {'P99':>8} {'max':>8}  ms",
    ]
    lines.extend(f"{name:<24} {row.p50:8.1f} {row.p95:8.1f} {row.p99:8.1f} {row.maximum:8.1f}" for name, row in rows)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
