"""Starts tritonserver, waits until it is ready, watches it, and stops it so that nothing is left behind."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import avatar
from avatar_server import checks, command, processes, repository
from avatar_server.assembly import assemble
from avatar_server.config import ServerConfig
from avatar_server.errors import ServerDied, StartFailed
from avatar_server.interpreter import probe
from avatar_server.logs import Log, Record

POLL_S = 0.1
WATCH_S = 0.5
KILL_AFTER_S = 5.0
"""Time between the end of the exit timeout and SIGKILL."""

_LOADED = re.compile(r"successfully loaded '([^']+)'")
_FAILED = re.compile(r"failed to load '([^']+)' version \d+: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Progress:
    """Attributes:
    loaded: names of the models that are ready.
    total: number of models.
    """

    loaded: tuple[str, ...]
    total: int


def start_server(
    config: ServerConfig | None = None,
    log: Log | None = None,
    progress: Callable[[Progress], None] | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> "RunningServer":
    """Starts a server and returns once all its models are ready.

    Args:
        log: takes the server's log; by default it is only kept for error messages.
        progress: called when a model has loaded.
        is_cancelled: asked while the models load; true gives up.

    Raises:
        EnvironmentFault: something that can be checked beforehand is wrong.
        StartFailed: a model did not load, the server ended, or the time was up.
    """
    config = config or ServerConfig()
    checks.require(checks.check_all(config))
    config = command.with_free_ports(config)
    log = log or Log()
    total = len(repository.read(config.model_repository, config.models))
    server = RunningServer(config, log)
    try:
        server.wait_ready(progress or (lambda _: None), total, is_cancelled)
    except BaseException:
        server.stop()
        raise
    return server


class RunningServer:
    """A server process; a context manager that stops it.

    Attributes:
        config: with the ports that were taken.
        pid: of tritonserver.
        failure: why the server cannot serve any more, None while it can.
    """

    def __init__(self, config: ServerConfig, log: Log):
        self.config = config
        self.failure: ServerDied | None = None
        self._log = log
        self._regions: set[str] = set()
        self._stubs: list[processes.Stub] = []
        self._loaded: list[str] = []
        self._faults: dict[str, str] = {}
        self._stopping = threading.Event()
        interpreter = probe(config.python)
        packages = (Path(avatar.__file__).resolve().parent,)
        backends = assemble(interpreter, config.backends_dir, packages, config.cache_dir)
        self._process = subprocess.Popen(
            command.arguments(config, interpreter, backends),
            env=command.environment(config, interpreter),
            # The stubs search their working directory first: they find the packages there, and nothing of the caller's.
            cwd=backends / "python",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A Ctrl-C is for the launcher, which then stops the server in its own way.
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read_output, name="tritonserver-log", daemon=True)
        self._reader.start()
        self._watcher: threading.Thread | None = None

    @property
    def grpc_address(self) -> str:
        return _reached(self.config.grpc_address or self.config.address, self.config.grpc_port)

    @property
    def http_address(self) -> str:
        return _reached(self.config.plain_address, self.config.http_port)

    @property
    def metrics_address(self) -> str:
        return _reached(self.config.plain_address, self.config.metrics_port)

    @property
    def stubs(self) -> tuple[processes.Stub, ...]:
        """The models' processes, as they were when the server became ready."""
        return tuple(self._stubs)

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def wait_ready(self, progress: Callable[[Progress], None], total: int, is_cancelled: Callable[[], bool]) -> None:
        """Blocks until every model has loaded. Part of `start_server`."""
        deadline_s = time.monotonic() + self.config.start_timeout_s
        shown = -1
        while not self._is_ready():
            self._regions |= processes.shm_regions(self.pid)
            if self._process.poll() is not None:
                self._reader.join(timeout=2)
                raise StartFailed(self._why_it_ended())
            if is_cancelled():
                raise StartFailed("the start was cancelled")
            if time.monotonic() > deadline_s:
                waiting = f"{len(self._loaded)} of {total} models loaded"
                raise StartFailed(
                    f"the server must be ready within {self.config.start_timeout_s:g} s, got {waiting}; "
                    f"pass a longer --start-timeout, or see its log:\n{self._tail()}"
                )
            if len(self._loaded) != shown:
                shown = len(self._loaded)
                progress(Progress(tuple(self._loaded), total))
            time.sleep(POLL_S)
        if shown != total:
            progress(Progress(tuple(self._loaded), total))
        self._regions |= processes.shm_regions(self.pid)
        self._stubs = processes.stubs(self.pid)
        self._watcher = threading.Thread(target=self._watch, name="tritonserver-watch", daemon=True)
        self._watcher.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Blocks until the server has failed or ended, at most `timeout_s`; returns whether it has."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while self.failure is None and self._process.poll() is None:
            if deadline_s is not None and time.monotonic() > deadline_s:
                return False
            time.sleep(POLL_S)
        return True

    def check(self) -> None:
        """Raises:
        ServerDied: the server or one of its models' processes has ended.
        """
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Ends the server; running requests get `stop_timeout_s`. Leaves no process and no shared memory."""
        self._stopping.set()
        if self._process.poll() is None:
            self._regions |= processes.shm_regions(self.pid)
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.config.stop_timeout_s + KILL_AFTER_S)
        with contextlib.suppress(ProcessLookupError):
            # The server's group: stubs that outlived it go too.
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=2)
        processes.remove_regions(self._regions)
        self._regions.clear()

    # ------------------------------------------------------------------ inside

    def _read_output(self) -> None:
        for line in self._process.stdout:
            record = self._log.line(line)
            if record is not None:
                self._note(record)
        self._process.stdout.close()

    def _note(self, record: Record) -> None:
        if match := _LOADED.search(record.message):
            self._loaded.append(match[1])
        elif match := _FAILED.search(record.message):
            self._faults[match[1]] = _first_line(match[2])

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.http_address}/v2/health/ready", timeout=2) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def _watch(self) -> None:
        """A dead stub leaves every health check of the server green and is never restarted: it is watched from here."""
        while not self._stopping.wait(WATCH_S):
            if self._process.poll() is not None:
                self._fail(f"tritonserver ended by itself with exit code {self._process.returncode}")
                return
            dead = [stub.instance for stub in self._stubs if not processes.is_alive(stub.pid)]
            if dead:
                self._fail(f"the process of model {dead[0]} ended by itself (out of memory?)")
                return

    def _fail(self, what: str) -> None:
        if self._stopping.is_set():
            return
        self.failure = ServerDied(f"{what}; start the server again. Its last words:\n{self._tail(8)}")
        self._log.say("error", what)

    def _why_it_ended(self) -> str:
        if self._faults:
            return "\n".join(f"model {name} did not load: {reason}" for name, reason in self._faults.items())
        return f"tritonserver ended with exit code {self._process.returncode} before it was ready:\n{self._tail()}"

    def _tail(self, count: int = 12) -> str:
        records = [record for record in self._log.records if record.level != "debug"]
        return "\n".join(f"  {record.as_text()}" for record in records[-count:])


def _first_line(text: str) -> str:
    return text.removeprefix("Internal: ").split("\n\nAt:")[0].split("\n")[0].strip()


def _reached(address: str, port: int) -> str:
    """How this machine reaches what listens there."""
    return f"{ {'0.0.0.0': '127.0.0.1', '::': '[::1]'}.get(address, address) }:{port}"
