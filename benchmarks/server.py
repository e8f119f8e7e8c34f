"""What the whole pipeline costs on this machine: frames a second, milliseconds of each stage, CPU time and memory.

`python -m benchmarks.server` starts the real server, renders a clip over gRPC twice, without and with an MP4 written
beside it, and prints for each: frames, seconds, frames a second over all and in the steady state, the first frame's
delay, the gaps between frames, the milliseconds of each stage, and the CPU time that each process spent on a frame.

CPU time a frame is the figure to compare: on a machine that other work keeps busy it moves far less than the frame
rate does. How much of the cores other work took is printed too.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from avatar_client import AvatarClient, timings
from avatar_client.media import AudioFile
from avatar_client.render import CHUNK_S, FLOW
from avatar_client.types import SessionOptions
from avatar_client.video import VideoWriter
from avatar_server import RunningServer, ServerConfig, start_server

from avatar.engine import PRECISIONS

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
STEADY_FROM_S = 1.0
"""Frames that come later than this after the first count as steady."""

MEMORY_EVERY_S = 5.0
"""To add up the pages of all processes takes 15 ms, which the client is charged for."""


@dataclass
class Run:
    """One render.

    Attributes:
        arrivals_s: when each frame came, seconds after the first audio was sent; first: of the same clock, its start.
        elapsed_s: from the first audio to the last frame, for an MP4 to the finished file.
        cpu_ms: CPU time by process.
        stages: of `timings`.
        other_cores: cores that other work kept busy.
    """

    arrivals_s: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0
    cpu_ms: dict[str, float] = field(default_factory=dict)
    stages: timings.Snapshot = field(default_factory=dict)
    other_cores: float = 0.0

    def lines(self) -> Iterator[str]:
        count, arrivals = len(self.arrivals_s), np.array(self.arrivals_s)
        steady = arrivals[arrivals > arrivals[0] + STEADY_FROM_S]
        gaps_ms = 1000 * np.diff(arrivals)
        yield (
            f"{count} frames in {self.elapsed_s:.2f} s: {count / self.elapsed_s:.1f} frames a second over all, "
            f"{(len(steady) - 1) / (steady[-1] - steady[0]):.1f} steady; other work kept {self.other_cores:.2f} cores"
        )
        yield (
            f"first frame after {1000 * arrivals[0]:.0f} ms; between frames P50 {np.percentile(gaps_ms, 50):.1f} ms, "
            f"P95 {np.percentile(gaps_ms, 95):.1f}, P99 {np.percentile(gaps_ms, 99):.1f}, longest {gaps_ms.max():.1f}"
        )
        yield "a call:   " + "  ".join(f"{name} {stage.mean_ms:.1f} ms" for name, stage in self.stages.items())
        total_ms = sum(self.cpu_ms.values())
        yield f"CPU a frame {total_ms / count:.1f} ms:  " + "  ".join(
            f"{name} {spent_ms / count:.1f}" for name, spent_ms in self.cpu_ms.items()
        )


def processes(server: RunningServer) -> dict[str, int]:
    """Process ids by name: the models' without their instance numbers, the server and this client."""
    stubs = {stub.instance.removesuffix("_0_0"): stub.pid for stub in server.stubs}
    order = [name for name in (*timings.STAGES, "avatar") if name in stubs]
    rest = sorted(set(stubs) - set(order))
    return {name: stubs[name] for name in (*order, *rest)} | {"tritonserver": server.pid, "client": os.getpid()}


def cpu_ms(pid: int) -> float:
    """User and system time of a process and all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_MS


def machine_cpu_ms() -> float:
    """Time that all cores together were busy."""
    user, nice, system, _, _, irq, soft_irq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + soft_irq + steal) * TICK_MS


def proportional_kib(pid: int) -> int:
    """Memory of a process, pages shared with others by equal parts."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


class MemoryWatch:
    """Peak memory of the server's processes together, looked at now and then on a thread of its own."""

    def __init__(self, pids: list[int]):
        self.peak_mib = 0.0
        self._pids, self._over = pids, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            self.peak_mib = max(self.peak_mib, sum(map(proportional_kib, self._pids)) / 1024)
            if self._over.wait(MEMORY_EVERY_S):
                return

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def accounted(run: Run, server: RunningServer) -> Iterator[None]:
    """Adds to `run` what the processes spend meanwhile."""
    pids = processes(server)
    before, machine_before_ms, begin_s = (
        {name: cpu_ms(pid) for name, pid in pids.items()},
        machine_cpu_ms(),
        time.time(),
    )
    yield
    run.cpu_ms = {name: cpu_ms(pid) - before[name] for name, pid in pids.items()}
    others_ms = machine_cpu_ms() - machine_before_ms - sum(run.cpu_ms.values())
    run.other_cores = max(0.0, others_ms / 1000 / (time.time() - begin_s))


def render(server: RunningServer, source: str, options: SessionOptions, video: VideoWriter | None) -> Run:
    """Sends a whole file as fast as the server takes it."""
    run = Run()
    metrics_url = f"http://{server.metrics_address}/metrics"
    with AudioFile(source) as audio, AvatarClient(server.grpc_address) as client:
        before = timings.snapshot(client, metrics_url)
        with (
            accounted(run, server),
            client.open_session(options, flow=FLOW, sample_rate_hz=audio.sample_rate_hz) as session,
        ):
            chunks = list(audio.chunks(CHUNK_S))
            begin_s = time.monotonic()
            for frame in session.stream(chunks):
                run.arrivals_s.append(frame.received_s - begin_s)
                if video is not None:
                    video.write(frame)
            if video is not None:
                video.close()
            run.elapsed_s = time.monotonic() - begin_s
        run.stages = timings.difference(before, timings.snapshot(client, metrics_url))
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", default="examples/hello.wav")
    parser.add_argument("--avatar", default="default")
    parser.add_argument("--precision", choices=PRECISIONS, help="of the networks (default: the CPU's own)")
    parser.add_argument("--model-repository", type=Path, default=ServerConfig().model_repository, help="what to serve")
    parser.add_argument("--repeat", type=int, default=1, help="renders of each kind")
    parser.add_argument("--kind", choices=("frames", "mp4"), nargs="*", default=["frames", "mp4"])
    options = parser.parse_args()
    session = SessionOptions(outputs=("image", "audio"), avatar=options.avatar)
    config = ServerConfig(
        model_repository=options.model_repository, grpc_port=0, http_port=0, metrics_port=0, stop_timeout_s=3.0,
        precision=options.precision,
    )  # fmt: skip
    begin_s = time.monotonic()
    with start_server(config) as server, tempfile.TemporaryDirectory() as folder:
        ready_s = time.monotonic() - begin_s
        print(f"networks in {options.precision or 'the precision of the CPU'}, ready after {ready_s:.1f} s")
        memory = MemoryWatch([pid for name, pid in processes(server).items() if name != "client"])
        for _ in range(options.repeat):
            for kind in options.kind:
                video = None
                if kind == "mp4":
                    with AudioFile(options.audio) as audio:
                        video = VideoWriter(Path(folder) / "out.mp4", session.fps, audio.sample_rate_hz)
                print(f"\n{'frames alone' if video is None else 'with an MP4 written'}")
                for line in render(server, options.audio, session, video).lines():
                    print(line)
                sys.stdout.flush()
        memory.stop()
        print(f"\nserver's peak memory {memory.peak_mib:.0f} MiB")


if __name__ == "__main__":
    main()
