"""Live sessions against the real server, paced in real time: latency, jitter, interrupts, refusal, drift, memory.

    python -m benchmarks.live                          # one session of 60 s, raw 512x512
    python -m benchmarks.live --sessions 2 --seconds 600 --encoding jpeg
    python -m benchmarks.live --hour                   # one hour of sound as fast as it goes, without pictures
    python -m benchmarks.live --server host:8001       # a running server; memory only of one started here
    make live                                          # all of it one after the other, into build/live.jsonl

Exit code 1 if a bar is missed.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import av
import grpc.aio
import numpy as np

from benchmarks.wire import OPTIONS, WireSession

PROJECT = Path(__file__).resolve().parent.parent
OUTPUTS = ("INDEX", "PTS", "AUDIO_OUT", "STATE")
INTERRUPTED = 2
EASE_FRAMES = 5
LATE_MS = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; see the command's help."""

    seconds: float = 60.0
    sessions: int = 1
    fps: int = 30
    size: int = 512
    encoding: str = "raw"
    live: bool = True
    chunk_ms: int = 20
    lookahead_ms: int = 200
    interrupts: int = 10
    rate_hz: int = 16_000
    speech: np.ndarray = field(default=None, repr=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (*OUTPUTS, "FRAME" if self.encoding == "raw" else "PACKET")

    @property
    def parameters(self) -> dict:
        return {
            "sample_rate": self.rate_hz, "fps": self.fps, "size": self.size, "encoding": self.encoding,
            "live": self.live, "lookahead_ms": self.lookahead_ms,
        }  # fmt: skip

    def sound(self, start: int, count: int) -> np.ndarray:
        """Speech without an end: [count] int16 from sample `start`."""
        return np.take(self.speech, np.arange(start, start + count), mode="wrap")


@dataclass(frozen=True, slots=True)
class Paced:
    """One paced session.

    Attributes:
        first_frame_ms: from the first chunk sent to the first frame received, look-ahead included.
        latency_ms: [frames] from the sending of the audio up to a frame's time and look-ahead to its arrival; negative
            where the server was early. The end of the audio stands for the look-ahead of the frames that lack it, but
            a player shows them one by one all the same.
        gap_ms: [frames - 1] between arrivals.
        late: frames whose latency is above LATE_MS: later than a player with so much in store needs them.
        dropped: frames without a picture.
        skew_frames: largest distance of a frame's time from that of the sound delivered with it and before it.
        drift_ms: how much the median latency of the last fifth is above that of the first.
    """

    frames: int
    expected: int
    first_frame_ms: float
    latency_ms: np.ndarray
    gap_ms: np.ndarray
    late: int
    dropped: int
    skew_frames: float
    drift_ms: float


@dataclass(frozen=True, slots=True)
class Interrupts:
    """Attributes, one value for each interrupt:
    stale: frames of older audio that arrived after the event was sent.
    rest_frames: frames from the first new one to rest.
    rest_ms: from the event to the frame at rest.
    """

    stale: list[int]
    rest_frames: list[int]
    rest_ms: list[float]


async def paced(channel, plan: Plan, seconds: float) -> Paced:
    """Sends speech as a microphone would and takes the frames."""
    session = WireSession(channel, plan.outputs, plan.parameters)
    session.send(start=True)
    await session.until(lambda: session.finals() == 1)
    step = plan.rate_hz * plan.chunk_ms // 1000
    chunks = round(seconds * plan.rate_hz / step)
    start_s = time.monotonic()
    for k in range(chunks):
        await asyncio.sleep(max(0.0, start_s + (k + 1) * plan.chunk_ms / 1000 - time.monotonic()))
        session.send(plan.sound(k * step, step))
    session.send(end=True)
    await session.finish()
    return _evaluate(session, plan, chunks)


def _evaluate(session: WireSession, plan: Plan, chunks: int) -> Paced:
    _raise_errors(session)
    frames = sorted((a for a in session.arrivals if a.index is not None), key=lambda a: a.index)
    if [a.index for a in frames] != list(range(len(frames))):
        raise RuntimeError("frames are missing or came twice")
    # Frames that overtook others are of use only once those are there.
    at_s = np.maximum.accumulate([a.at_s for a in frames])
    pts_s = np.array([a.pts_s for a in frames])
    sent_s = np.array(session.sent_at_s[1:])
    chunk_s = plan.chunk_ms / 1000
    needed = np.ceil((pts_s + plan.lookahead_ms / 1000) / chunk_s - 1e-6).astype(int)
    due_s = sent_s[np.minimum(needed - 1, chunks)]
    for k in np.flatnonzero(needed > chunks)[1:]:
        due_s[k] = max(due_s[k], due_s[k - 1] + 1 / plan.fps)
    latency_ms = 1000 * (at_s - due_s)
    samples = np.cumsum([0] + [a.samples for a in frames])[:-1]
    late = np.count_nonzero(latency_ms > LATE_MS)
    fifth = max(1, len(frames) // 5)
    return Paced(
        frames=len(frames),
        expected=round(chunks * chunk_s * plan.fps),
        first_frame_ms=1000 * (at_s[0] - sent_s[0]),
        latency_ms=latency_ms,
        gap_ms=1000 * np.diff(at_s),
        late=int(late),
        dropped=sum(not a.has_picture for a in frames),
        skew_frames=float(np.abs(samples / plan.rate_hz - pts_s).max() * plan.fps),
        drift_ms=float(np.median(latency_ms[-fifth:]) - np.median(latency_ms[:fifth])),
    )


async def interrupts(channel, plan: Plan) -> Interrupts:
    """Speaks a second of a sentence that is sent faster than real time, interrupts it, and again."""
    session = WireSession(channel, plan.outputs, plan.parameters)
    session.send(start=True)
    await session.until(lambda: session.finals() == 1)
    result = Interrupts([], [], [])
    step = plan.rate_hz // 10
    for turn in range(plan.interrupts):
        start_s = time.monotonic()
        # Text-to-speech runs ahead of what is heard by 0.4 s.
        for k in range(14):
            await asyncio.sleep(max(0.0, start_s + k * 0.1 - 0.4 - time.monotonic()))
            session.send(plan.sound(turn * plan.rate_hz + k * step, step))
        event = session.send(parameters={"event": "interrupt"})
        event_s = session.sent_at_s[event]
        await session.until(lambda event=event: any(a.is_final and a.request == event for a in session.arrivals))
        after = [a for a in session.arrivals if a.index is not None and a.at_s > event_s]
        rest = [a for a in after if a.request == event]
        result.stale.append(sum(a.request < event for a in after))
        result.rest_frames.append(len(rest))
        result.rest_ms.append(1000 * (rest[-1].at_s - event_s))
        if {a.state for a in rest} != {INTERRUPTED}:
            raise RuntimeError(f"frames after an interrupt must come to rest, got states {[a.state for a in rest]}")
    session.send(end=True)
    await session.finish()
    _raise_errors(session)
    return result


async def refusal_ms(channel, plan: Plan) -> tuple[float, str]:
    """How long a session too many waits for its refusal, and the server's words."""
    session = WireSession(channel, plan.outputs, plan.parameters)
    session.send(start=True)
    await session.finish()
    if session.code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise RuntimeError(
            f"a session too many must be refused with RESOURCE_EXHAUSTED, got {session.code} {session.details!r}"
        )
    return 1000 * (session.ended_at_s - session.sent_at_s[0]), session.details


async def hour(channel, plan: Plan, seconds: float) -> Paced:
    """Sound as fast as the server takes it, at most 2 s ahead; no pictures."""
    session = WireSession(channel, (*OUTPUTS, "BLENDSHAPES"), plan.parameters)
    session.send(start=True)
    step = plan.rate_hz // 5
    for k in range(round(seconds * 5)):
        await session.until(lambda k=k: session.finals() > k - 10)
        session.send(plan.sound(k * step, step))
    session.send(end=True)
    await session.finish()
    return _evaluate(session, Plan(**{**_fields(plan), "chunk_ms": 200}), round(seconds * 5))


def _fields(plan: Plan) -> dict:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


def _raise_errors(session: WireSession) -> None:
    errors = [a.error for a in session.arrivals if a.error]
    if errors or session.code is not grpc.StatusCode.OK:
        raise RuntimeError(f"the session failed: {errors[:1] or session.details}")


# ---------------------------------------------------------------------- memory


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a server's processes: proportional set size, and the bytes of its regions under /dev/shm, both MiB."""

    pss_mib: float
    shm_mib: float


def memory(server) -> Memory | None:
    """None for a server that was not started here."""
    if server is None:
        return None
    from avatar_server import processes

    pids = [server.pid, *(stub.pid for stub in server.stubs)]
    pss_kb = sum(int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]) for pid in pids)
    regions = processes.shm_regions(server.pid)
    return Memory(pss_kb / 1024, sum((processes.SHM / name).stat().st_size for name in regions) / 2**20)


async def watched(server, work, every_s: float = 5.0) -> tuple[list, list[Memory]]:
    """Runs the coroutines together; samples the server's memory meanwhile."""
    samples = []

    async def watch():
        while True:
            # The kernel walks through a gigabyte of pages for it, 35 ms, in which frames arrive.
            samples.append(await asyncio.to_thread(memory, server))
            await asyncio.sleep(every_s)

    watcher = asyncio.create_task(watch())
    try:
        results = await asyncio.gather(*work)
    finally:
        watcher.cancel()
    return results, [sample for sample in samples if sample is not None]


def growth_percent(values: list[float]) -> float:
    """From the median of the second fifth, when everything has been used once, to that of the last fifth."""
    fifth = max(1, len(values) // 5)
    early, last = np.median(values[fifth : 2 * fifth] or values), np.median(values[-fifth:])
    return float(100 * (last / early - 1))


# ---------------------------------------------------------------------- report


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, and the bar that it must not exceed, None where there is none."""

    name: str
    value: float
    unit: str
    bar: float | None = None

    @property
    def ok(self) -> bool:
        return self.bar is None or self.value <= self.bar

    def as_text(self) -> str:
        verdict = "" if self.bar is None else f"   bar {self.bar:g}  {'ok' if self.ok else 'MISSED'}"
        return f"{self.name:<46} {self.value:9.2f} {self.unit:<8}{verdict}"


def lines_of_paced(results: list[Paced], plan: Plan) -> list[Line]:
    latency = np.concatenate([r.latency_ms for r in results])
    gaps = np.concatenate([r.gap_ms for r in results])
    frames = sum(r.frames for r in results)
    first_bar = 350 if plan.lookahead_ms == 200 else 150 + plan.lookahead_ms
    lines = [
        Line("frames", frames, ""),
        Line("frames missing", sum(r.expected - r.frames for r in results), "", len(results)),
        Line("first frame after first audio, worst session", max(r.first_frame_ms for r in results), "ms", first_bar),
    ]
    bars = {50: None, 95: 40, 99: 80}
    lines += [Line(f"latency after look-ahead P{p}", np.percentile(latency, p), "ms", bars[p]) for p in bars]
    lines += [Line(f"gap between frames P{p}", np.percentile(gaps, p), "ms") for p in bars]
    return [
        *lines,
        Line("gap between frames, standard deviation", gaps.std(), "ms"),
        Line(f"frames later than {LATE_MS} ms", 100 * sum(r.late for r in results) / frames, "%", 0.1),
        Line("frames without picture", 100 * sum(r.dropped for r in results) / frames, "%", 0.1),
        Line("A/V skew", max(r.skew_frames for r in results), "frames", 1),
        Line("drift of the latency", max(r.drift_ms for r in results), "ms", 1000 / plan.fps),
    ]


def lines_of_memory(samples: list[Memory]) -> list[Line]:
    if len(samples) < 5:
        return []
    return [
        Line("server memory (PSS) at the end", samples[-1].pss_mib, "MiB", 3000),
        Line("server memory growth", growth_percent([s.pss_mib for s in samples]), "%", 1),
        Line("/dev/shm at the end", samples[-1].shm_mib, "MiB"),
        Line("/dev/shm growth", growth_percent([s.shm_mib for s in samples]), "%", 0),
    ]


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured.

    Attributes:
        address: where clients reach it.
        server: None where it was not started here.
        made_fps: frames a second that the machine makes, where the server was started here.
        is_full: whether one more than the planned sessions is one too many.
    """

    address: str
    server: object | None = None
    made_fps: float | None = None
    is_full: bool = False

    def lines(self, plan: Plan) -> list[Line]:
        if self.made_fps is None:
            return []
        from avatar_server.capacity import Capacity

        admitted = Capacity.measured(self.made_fps).sessions(plan.fps)
        return [
            Line("frames a second that the machine makes", self.made_fps, ""),
            Line(f"live sessions at {plan.fps} FPS that it carries", admitted, ""),
        ]


async def measure(target: Target, plan: Plan) -> list[Line]:
    """All figures of paced sessions."""
    async with grpc.aio.insecure_channel(target.address, OPTIONS) as channel:
        await paced(channel, plan, 2.0)  # warm
        work = [paced(channel, plan, plan.seconds) for _ in range(plan.sessions)]
        refusals = []

        async def refuse():
            await asyncio.sleep(min(2.0, plan.seconds / 2))
            for _ in range(10):
                refusals.append((await refusal_ms(channel, plan))[0])

        results, samples = await watched(target.server, work + ([refuse()] if target.is_full else []))
        lines = lines_of_paced(results[: plan.sessions], plan)
        if refusals:
            lines.append(Line("refusal of one session too many, worst of 10", max(refusals), "ms", 50))
        if plan.interrupts:
            cut = await interrupts(channel, plan)
            lines += [
                Line("frames of old audio after an interrupt, worst", max(cut.stale), "frames", 2),
                Line("frames to rest, worst", max(cut.rest_frames), "frames", EASE_FRAMES),
                Line("interrupt to rest, median", float(np.median(cut.rest_ms)), "ms"),
                Line("interrupt to rest, worst", max(cut.rest_ms), "ms"),
            ]
    return target.lines(plan) + lines + lines_of_memory(samples)


async def measure_hour(target: Target, plan: Plan) -> list[Line]:
    """Drift and memory over a long session without pictures."""
    async with grpc.aio.insecure_channel(target.address, OPTIONS) as channel:
        started_s = time.monotonic()
        (result,), samples = await watched(target.server, [hour(channel, plan, plan.seconds)])
        elapsed_s = time.monotonic() - started_s
    return [
        Line("sound", plan.seconds, "s"),
        Line("times real time", plan.seconds / elapsed_s, ""),
        Line("frames", result.frames, ""),
        Line("frames missing", result.expected - result.frames, "", 1),
        Line("A/V skew", result.skew_frames, "frames", 1),
        *lines_of_memory(samples),
    ]


@contextmanager
def serving(address: str | None, plan: Plan, live_fps: float | None = None):
    """The target at `address`, or a server started here behind the gateway that `avatar serve` puts before it.

    The gateway runs in a process of its own, as for a user. Without `live_fps` it admits the planned sessions and no
    live one more, whatever the machine carries.
    """
    if address:
        yield Target(address)
        return
    from avatar_server import ServerConfig, speed, start_server
    from avatar_server.gateway import GatewayConfig

    if live_fps is None:
        live_fps = plan.sessions * plan.fps
    places = plan.sessions + plan.live
    is_full = not plan.live or 0 < live_fps < (plan.sessions + 1) * plan.fps
    config = ServerConfig(grpc_port=0, http_port=0, metrics_port=0, max_sessions=places, stop_timeout_s=3)
    with start_server(config) as server:
        made_fps = speed.measure(server.grpc_address)
        with _gateway(GatewayConfig("127.0.0.1:0", server.grpc_address, live_fps=live_fps)) as front:
            yield Target(front, server, made_fps, is_full)


@contextmanager
def _gateway(config):
    """Its address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run_gateway, args=(config, theirs))
    process.start()
    theirs.close()
    try:
        yield f"127.0.0.1:{ours.recv()}"
    finally:
        ours.close()
        process.join(timeout=10)


def _run_gateway(config, pipe) -> None:
    from avatar_server.gateway import Gateway

    with Gateway(config) as gateway:
        pipe.send(gateway.port)
        with suppress(EOFError):
            pipe.recv()


def speech_of(path: Path, rate_hz: int) -> np.ndarray:
    """A sound file as [N] int16 mono at `rate_hz`."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", rate_hz)
        frames = [*container.decode(audio=0), None]
        return np.concatenate([part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", metavar="HOST:PORT", help="a running server; without it one is started")
    parser.add_argument("--seconds", type=float, help="length of a session (default 60; 3600 with --hour)")
    parser.add_argument("--sessions", type=int, default=1, help="at once")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--encoding", choices=("raw", "jpeg", "h264"), default="raw")
    parser.add_argument(
        "--live",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let the server pace the frames and leave out pictures that come too late; never with --hour",
    )
    parser.add_argument(
        "--live-fps",
        type=float,
        metavar="N",
        help="as of `avatar serve`: frames a second of all live sessions (default: those of --sessions, none more)",
    )
    parser.add_argument("--chunk-ms", type=int, default=20)
    parser.add_argument("--lookahead-ms", type=int, default=200)
    parser.add_argument("--interrupts", type=int, default=10)
    parser.add_argument("--audio", type=Path, default=PROJECT / "examples" / "hello.wav")
    parser.add_argument("--hour", action="store_true", help="sound as fast as it goes, without pictures")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--store", type=Path, metavar="FILE", help="also append the figures to FILE, one JSON a line")
    arguments = parser.parse_args(argv)
    plan = Plan(
        seconds=arguments.seconds or (3600 if arguments.hour else 60), sessions=arguments.sessions, fps=arguments.fps,
        size=arguments.size, encoding=arguments.encoding, live=arguments.live and not arguments.hour,
        chunk_ms=arguments.chunk_ms, lookahead_ms=arguments.lookahead_ms, interrupts=arguments.interrupts,
        speech=speech_of(arguments.audio, 16_000),
    )  # fmt: skip
    with serving(arguments.server, plan, arguments.live_fps) as target:
        lines = asyncio.run((measure_hour if arguments.hour else measure)(target, plan))
    figures = [{**asdict(line), "value": float(line.value), "ok": bool(line.ok)} for line in lines]
    print(json.dumps(figures) if arguments.json else "\n".join(line.as_text() for line in lines), flush=True)
    if arguments.store is not None:
        arguments.store.parent.mkdir(parents=True, exist_ok=True)
        with arguments.store.open("a") as file:
            record = {"at": time.strftime("%FT%TZ", time.gmtime()), "arguments": argv or sys.argv[1:]}
            print(json.dumps({**record, "load": os.getloadavg()[1], "figures": figures}), file=file)
    return 0 if all(line.ok for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
