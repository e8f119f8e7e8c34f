"""Thousands of short sessions, most of them faulty, against one server: state is freed, memory stays, the server too.

    python -m benchmarks.faults --sessions 10000       # starts a server and its gateway
    python -m benchmarks.faults --server host:8001     # a running one; memory and open sessions are not looked at

Exit code 1 if a bar is missed.
"""

import argparse
import asyncio
import math
import random
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from benchmarks.live import Line, Memory, memory

METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
RATE_HZ = 16_000
FPS = 30
PATIENCE_S = 60.0
STILL_S = 4.0
"""Memory that has not fallen for so long will not fall."""

CLEAR = {
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip


def request(session: str, number: int, samples: int = 1600, *, start=False, end=False, output="BLENDSHAPES", **extra):
    """One request; `extra` are parameters."""
    message = service_pb2.ModelInferRequest(model_name="avatar", id=str(number))
    message.parameters["sequence_id"].string_param = session
    message.parameters["sequence_start"].bool_param = start
    message.parameters["sequence_end"].bool_param = end
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in extra.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(value)]
        setattr(message.parameters[name], kind, value)
    message.inputs.add(name="AUDIO", datatype="INT16", shape=[1, samples])
    message.raw_input_contents.append(bytes(2 * samples))
    for name in ("INDEX", output):
        message.outputs.add(name=name)
    return message


def whole(session: str, **extra):
    return request(session, 0, start=True, end=True, **extra)


def wrong_type(session: str):
    message = whole(session)
    message.inputs[0].datatype = "FP32"
    return [message]


def wrong_shape(session: str):
    message = whole(session)
    message.inputs[0].shape[:] = [2, 800]
    return [message]


def short_of_bytes(session: str):
    message = whole(session)
    message.raw_input_contents[0] = message.raw_input_contents[0][:-7]
    return [message]


def no_input(session: str):
    message = whole(session)
    del message.inputs[:]
    del message.raw_input_contents[:]
    return [message]


def unknown_output(session: str):
    message = whole(session)
    message.outputs.add(name="SMELL")
    return [message]


BAD_REQUESTS = {
    "no start": lambda session: [request(session, 0, end=True)],
    "wrong type": wrong_type,
    "wrong shape": wrong_shape,
    "short of bytes": short_of_bytes,
    "no input": no_input,
    "unknown output": unknown_output,
    "unknown parameter": lambda session: [whole(session, colour="red")],
    "rate out of range": lambda session: [whole(session, sample_rate=1)],
    "not a number": lambda session: [whole(session, emotion_intensity=math.nan)],
    "infinite rate": lambda session: [whole(session, sample_rate=math.inf)],
    "avatar outside": lambda session: [whole(session, avatar="../../etc")],
    "unknown avatar": lambda session: [whole(session, avatar="nobody")],
    "late parameter": lambda session: [request(session, 0, start=True), request(session, 1, end=True, fps=25)],
    "a minute and more": lambda session: [request(session, 0, 61 * RATE_HZ, start=True, end=True)],
    "huge": lambda session: [request(session, 0, 8 << 20, start=True, end=True)],
    "garbage": lambda session: [random.Random(session).randbytes(300)],
    "other model": lambda session: [_renamed(whole(session), "enhancer")],
}
"""What is answered with an error."""


def _renamed(message, model: str):
    message.model_name = model
    return message


@dataclass
class Tally:
    """What came of the sessions.

    Attributes:
        kinds: how many of each kind there were.
        well: well-behaved sessions; well_failed: of them those that did not get all their frames.
        unclear: bad ones that were not answered with a reason, as text.
    """

    kinds: Counter = field(default_factory=Counter)
    well: int = 0
    well_failed: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


class Soak:
    """Runs sessions of all kinds, several at once."""

    def __init__(self, address: str, seed: int = 0):
        self.address = address
        self.tally = Tally()
        self._random = random.Random(seed)
        self._half_open: list = []

    async def run(self, count: int, at_once: int = 3, progress: Callable[[int], None] = lambda done: None) -> None:
        """Runs `count` sessions in `at_once` lanes; tells `progress` how far it is, ten times."""
        remaining = iter(range(count))

        async def lane():
            channel = self._channel()
            for number in remaining:
                # A new connection now and then: clients come and go.
                if number % 25 == 0:
                    await channel.close()
                    channel = self._channel()
                await self._one(channel, number)
                if (number + 1) % max(1, count // 10) == 0:
                    await asyncio.to_thread(progress, number + 1)
            await channel.close()

        await asyncio.gather(*(lane() for _ in range(at_once)))
        for writer in self._half_open:
            writer.close()

    def _channel(self) -> grpc.aio.Channel:
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        return grpc.aio.insecure_channel(self.address, options)

    async def _one(self, channel, number: int) -> None:
        session = f"soak-{number}"
        kind = self._random.choice(["well"] * 6 + ["gone"] * 5 + [*BAD_REQUESTS])
        if kind == "gone":
            kind = self._random.choice(["cancelled", "vanished", "half-open", "ended with words left", "interrupted"])
        self.tally.kinds[kind] += 1
        if kind == "well":
            await self._well(channel, session)
        elif kind in BAD_REQUESTS:
            await self._bad(channel, session, kind)
        elif kind == "half-open":
            await self._half_open_connection()
        elif kind == "interrupted":
            await self._interrupted(channel, session)
        else:
            await self._gone(channel, session, kind)

    def _call(self, channel):
        encode = lambda message: message if isinstance(message, bytes) else message.SerializeToString()  # noqa: E731
        decode = service_pb2.ModelStreamInferResponse.FromString
        return channel.stream_stream(METHOD, encode, decode)(timeout=PATIENCE_S)

    async def _answers(self, channel, messages) -> tuple[list, list[str], grpc.StatusCode]:
        """Frames' responses, errors inside the stream and its own, and its status."""
        call = self._call(channel)
        frames, errors, finals, unsent = [], [], 0, messages[1:]
        try:
            await call.write(messages[0])
            # The stream stays open until all is answered, as Triton wants it.
            while finals < len(messages) and (answer := await call.read()) is not grpc.aio.EOF:
                # Only now: gRPC's asyncio client loses the status of a stream that is refused while it writes, and says
                # "Internal error from Core" instead (github.com/grpc/grpc/issues/36066).
                for message in unsent:
                    await call.write(message)
                unsent = []
                if answer.error_message:
                    errors.append(answer.error_message)
                    break
                finals += answer.infer_response.parameters["triton_final_response"].bool_param
                if answer.infer_response.outputs:
                    frames.append(answer.infer_response)
            await call.done_writing()
            await asyncio.wait_for(_rest(call), 10)
            code = await call.code()
        except (grpc.aio.AioRpcError, asyncio.TimeoutError, asyncio.InvalidStateError):
            code = await call.code()
        if code is not grpc.StatusCode.OK:
            errors.append(await call.details() or "")
        return frames, errors, code

    async def _well(self, channel, session: str) -> None:
        self.tally.well += 1
        chunks = self._random.randint(1, 4)
        output = self._random.choice(["FRAME", "BLENDSHAPES", "BLENDSHAPES"])
        messages = [
            request(session, i, start=i == 0, end=i == chunks - 1, output=output) for i in range(chunks)
        ]  # fmt: skip
        for patience in range(200):
            frames, errors, code = await self._answers(channel, messages)
            if code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                break
            # Places of clients that are just gone may not be free yet.
            await asyncio.sleep(0.01 * (patience + 1))
        if errors or len(frames) != 3 * chunks:
            self.tally.well_failed.append(f"{len(frames)} of {3 * chunks} frames, {code.name} {errors[:1]}")

    async def _bad(self, channel, session: str, kind: str) -> None:
        for _ in range(200):
            _, errors, code = await self._answers(channel, BAD_REQUESTS[kind](session))
            if not any("sessions at once" in error for error in errors):
                break
            await asyncio.sleep(0.05)
        is_clear = errors and len(errors[0]) > 20 and "Traceback" not in errors[0]
        if not is_clear or (code is not grpc.StatusCode.OK and code not in CLEAR):
            self.tally.unclear.append(f"{kind}: {code.name} {errors[:1]}")

    async def _gone(self, channel, session: str, kind: str) -> None:
        own = self._channel() if kind == "vanished" else channel
        call = self._call(own)
        try:
            await call.write(request(session, 0, 16_000, start=True, output="FRAME"))
            for _ in range(self._random.randint(0, 5)):
                await asyncio.wait_for(call.read(), 10)
            if kind == "ended with words left":
                await call.write(request(session, 1, 160_000, end=True, output="FRAME"))
        except (grpc.aio.AioRpcError, asyncio.TimeoutError, asyncio.InvalidStateError):
            pass
        call.cancel()
        if kind == "vanished":
            await own.close()

    async def _interrupted(self, channel, session: str) -> None:
        messages = [
            request(session, 0, 16_000, start=True),
            request(session, 1, 0, event="interrupt"),
            request(session, 2, 0, event="interrupt"),
            request(session, 3, 0, end=True, event="close"),
        ]
        _, errors, _ = await self._answers(channel, messages)
        # The request under way may learn that its session was closed.
        unclear = [e for e in errors if "ended" not in e and "at once" not in e and "not open" not in e]
        self.tally.unclear += [f"interrupted: {error}" for error in unclear]

    async def _half_open_connection(self) -> None:
        host, _, port = self.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[: self._random.randint(0, 24)])
        self._half_open.append(writer)
        if len(self._half_open) > 50:
            self._half_open.pop(0).transport.abort()


async def _rest(call) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Attributes:
    tally: what came of the sessions.
    before, after: the server's memory, None for one that was not started here.
    left_open: sessions open when all were over.
    seconds: how long it took.
    """

    tally: Tally
    before: Memory | None
    after: Memory | None
    left_open: float
    seconds: float

    def lines(self) -> list[Line]:
        tally = self.tally
        lines = [
            Line("sessions", sum(tally.kinds.values()), ""),
            Line("seconds", self.seconds, "s"),
            Line("well-behaved ones that failed", 100 * len(tally.well_failed) / max(1, tally.well), "%", 0.5),
            Line("bad ones without a clear error", len(tally.unclear), "", 0),
            Line("sessions left open", self.left_open, "", 0),
        ]
        if self.before is not None:
            lines += [
                Line("server memory (PSS) before", self.before.pss_mib, "MiB"),
                Line("server memory growth", 100 * (self.after.pss_mib / self.before.pss_mib - 1), "%", 1),
                Line("/dev/shm growth", self.after.shm_mib - self.before.shm_mib, "MiB", 0),
            ]
        return lines


def soak(address: str, server, count: int, seed: int = 0, at_once: int = 3) -> Outcome:
    """Runs `count` sessions; the first tenth of them, at least 400, warms what grows once."""
    asyncio.run(Soak(address, seed + 1).run(max(400, count // 10), at_once))
    _settled(server)
    before = memory(server)
    started_s = time.monotonic()
    run = Soak(address, seed)

    def progress(done: int) -> None:
        pss = "" if before is None else f", server {memory(server).pss_mib - before.pss_mib:+.1f} MiB"
        print(f"{done} of {count} sessions, {time.monotonic() - started_s:.0f} s{pss}", file=sys.stderr, flush=True)

    asyncio.run(run.run(count, at_once, progress))
    seconds = time.monotonic() - started_s
    left_open = _settled(server)
    return Outcome(run.tally, before, memory(server), left_open, seconds)


def _settled(server) -> float:
    """Sessions open once those of clients that are gone have had the time to end, and their frames have been freed."""
    active = 0.0
    deadline_s = time.monotonic() + 15
    while server is not None and time.monotonic() < deadline_s:
        with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        active = next(float(line.split()[-1]) for line in lines if line.startswith("avatar_sessions_active"))
        if not active:
            break
        time.sleep(0.2)
    # The gateway still takes in what was made for clients that are gone.
    least_mib, fell_s = math.inf, time.monotonic()
    while server is not None and time.monotonic() < min(deadline_s, fell_s + STILL_S):
        if (now_mib := memory(server).pss_mib) < least_mib - 1:
            least_mib, fell_s = now_mib, time.monotonic()
        time.sleep(0.5)
    return active


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", metavar="HOST:PORT", help="a running server; without it one is started")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if arguments.server:
        outcome = soak(arguments.server, None, arguments.sessions, arguments.seed)
    else:
        from avatar_server import ServerConfig, start_server
        from avatar_server.gateway import Gateway, GatewayConfig

        config = ServerConfig(grpc_port=0, http_port=0, metrics_port=0, max_sessions=4, stop_timeout_s=3)
        with (
            start_server(config) as server,
            Gateway(GatewayConfig(address="127.0.0.1:0", upstream=server.grpc_address)) as gateway,
        ):
            try:
                outcome = soak(f"127.0.0.1:{gateway.port}", server, arguments.sessions, arguments.seed)
            finally:
                # A server that died tells why; what its clients met says nothing beside that.
                server.check()
    print("\n".join(f"{kind:<28} {number:6}" for kind, number in sorted(outcome.tally.kinds.items())))
    print("\n".join(line.as_text() for line in outcome.lines()))
    for text in (*outcome.tally.well_failed[:5], *outcome.tally.unclear[:10]):
        print(" ", text)
    return 0 if all(line.ok for line in outcome.lines()) else 1


if __name__ == "__main__":
    sys.exit(main())
