"""Keeps a server and its gateway running: restarts a dead one, drains a stopping one."""

import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace

from avatar_server import canary, command, repository, speed
from avatar_server.capacity import Capacity
from avatar_server.config import ServerConfig
from avatar_server.errors import LaunchError, ServerDied
from avatar_server.gateway import Gateway, GatewayConfig
from avatar_server.logs import Log
from avatar_server.server import Progress, RunningServer, start_server

POLL_S = 0.2
STABLE_S = 60.0
"""A server that ran this long was well: what ends it afterwards counts as the first time."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Attributes:
    restarts: how often a server that died is started again before giving up; 0 gives up at once.
    drain_s: time that running sessions get at the end.
    canary_s: how often a server without traffic is tried with a session through all stages, and the time that the
        session gets; 0 never tries.
    """

    restarts: int = 3
    drain_s: float = 30.0
    canary_s: float = 5.0


def supervise(
    config: ServerConfig,
    gateway: GatewayConfig | None,
    policy: Policy,
    log: Log,
    stop: threading.Event,
    stop_now: threading.Event,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Runs the server until `stop` is set; then running sessions may end, unless `stop_now` is set too.

    Args:
        gateway: its configuration without `upstream`; None lets clients reach Triton itself.

    Raises:
        LaunchError: the server cannot run here, did not start, or died more often than the policy allows.
    """
    config = command.with_free_ports(config)
    if gateway is None:
        return _run(config, None, policy, log, stop, stop_now, progress)
    gateway = replace(gateway, upstream=f"127.0.0.1:{config.grpc_port}")
    with Gateway(gateway, log.say) as front:
        _run(config, front, policy, log, stop, stop_now, progress)


def _run(config, front, policy, log, stop, stop_now, progress) -> None:
    deaths = 0
    is_limited = front is None or front.config.live_fps is not None
    if front is not None and is_limited:
        log.say("info", str(front.live.capacity))
    while True:
        started_s = time.monotonic()
        if front is not None:
            front.refuse("this server is starting; retry in a moment")
        try:
            with start_server(config, log, progress, is_cancelled=stop.is_set) as server:
                # A server that is started again runs on the machine that was measured.
                is_limited = is_limited or _limit_live_sessions(server, front, log, stop)
                log.say(
                    "info",
                    f"serving gRPC {front.config.address if front else server.grpc_address}, HTTP "
                    f"{server.http_address}, metrics {server.metrics_address}",
                )
                if front is not None:
                    front.refuse(None)
                started_s = time.monotonic()
                _watch(server, policy, stop)
                _drain(server, front, policy, log, stop_now)
                return
        except ServerDied as error:
            deaths = deaths + 1 if time.monotonic() - started_s < STABLE_S else 1
            if deaths > policy.restarts:
                raise
            log.say("error", f"{error.summary}; starting it again ({deaths} of {policy.restarts})")
            if stop.wait(min(2.0 ** (deaths - 1), 30.0)):
                return
        except LaunchError:
            if stop.is_set():
                return
            raise


def _limit_live_sessions(server: RunningServer, front: Gateway, log: Log, stop: threading.Event) -> bool:
    """Measures what the machine carries; whether it is known now.

    Raises:
        ServerDied: the server ended meanwhile.
    """
    if "avatar" not in _models(server.config):
        return True
    try:
        made_fps = speed.measure(server.grpc_address, server.config.admin_key, stop.is_set)
    except speed.SpeedUnknown as error:
        server.check()
        log.say(
            "warning",
            f"how many frames this machine makes could not be measured ({error}): live sessions are limited by "
            "--max-sessions only; set --live-fps",
        )
        return False
    if made_fps is None:
        return False
    front.carry(Capacity.measured(made_fps))
    log.say("info", str(front.live.capacity))
    return True


def _watch(server: RunningServer, policy: Policy, stop: threading.Event) -> None:
    """Returns when the server is to stop.

    Raises:
        ServerDied: it cannot serve any more.
    """
    canary_s = policy.canary_s if "avatar" in _models(server.config) else 0.0
    next_try_s = time.monotonic() + canary_s
    frames = _frames(server)
    while not stop.wait(POLL_S):
        if server.failure is not None or server.wait(timeout_s=0):
            server.check()
            raise ServerDied("tritonserver ended by itself")
        if not canary_s or time.monotonic() < next_try_s:
            continue
        last, frames = frames, _frames(server)
        # Frames that flow are proof enough.
        if frames == last:
            health = canary.probe(server.grpc_address, canary_s, server.config.admin_key)
            server.check()
            if not health.ok and not stop.is_set():
                raise ServerDied(f"a session through all stages failed: {health.detail}")
            frames = _frames(server)
        next_try_s = time.monotonic() + canary_s


def _models(config: ServerConfig) -> set[str]:
    return {model.name for model in repository.read(config.model_repository, config.models)}


def _frames(server: RunningServer) -> float | None:
    try:
        with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=2) as response:
            lines = response.read().decode().splitlines()
    except OSError:
        return None
    return next((float(line.split()[-1]) for line in lines if line.startswith("avatar_frames_total")), None)


def _drain(server: RunningServer, front: Gateway | None, policy: Policy, log: Log, stop_now: threading.Event) -> None:
    """Refuses new sessions and waits for the running ones."""
    if front is None:
        # Triton itself refuses new sequences and lets running requests end: see `stop_timeout_s`.
        log.say("info", "stopping")
        return
    front.refuse("this server is shutting down; open the session on another one")
    log.say("info", f"stopping: {front.streams} streams may end within {policy.drain_s:g} s")
    deadline_s = time.monotonic() + policy.drain_s
    while front.streams and time.monotonic() < deadline_s and server.failure is None:
        if stop_now.wait(POLL_S):
            break
    if front.streams:
        log.say("warning", f"{front.streams} streams are cut off")
    front.stop()
