"""The server's log, line by line: Triton's own lines, and whatever its models print."""

import json
import re
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

LEVELS = ("debug", "info", "warning", "error")

_TRITON = re.compile(r"([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d)\.(\d+) (\d+) ([\w./-]+):(\d+)\] ?(.*)")
_SESSION = re.compile(r"\bsession=([\w.:?-]+)")
_LEVEL_OF = {"I": "info", "W": "warning", "E": "error", "F": "error"}
_EXPECTED = re.compile(
    r"CudaDriverHelper has not been initialized|Failed to initialize NVML|DCGM unable to start|no pinned memory pool"
    r"|Unable to allocate pinned system memory"
)
"""What Triton reports as an error on every machine without a GPU."""


@dataclass(frozen=True, slots=True)
class Record:
    """Attributes:
    time: ISO 8601, UTC.
    level: one of LEVELS.
    source: Triton's source file, or `output` for a line that a model printed.
    message: the text.
    """

    time: str
    level: str
    source: str
    message: str

    def as_text(self) -> str:
        return f"{self.time[11:23]} {self.level:7} {self.message}"

    @property
    def session(self) -> str | None:
        """The session that the line is about."""
        match = _SESSION.search(self.message)
        return match and match[1]

    def as_json(self) -> str:
        about = {"session": self.session} if self.session else {}
        return json.dumps(asdict(self) | about, ensure_ascii=False)


def parse(line: str) -> Record | None:
    """One line of output as a record; None for tables and blank lines."""
    line = line.rstrip()
    if not line or line[0] in "+|":
        return None
    match = _TRITON.match(line)
    now = datetime.now(timezone.utc)
    if match is None:
        level = "debug" if _EXPECTED.search(line) else "info"
        return Record(now.isoformat(timespec="milliseconds"), level, "output", line)
    letter, month, day, clock, fraction, _, source, number, message = match.groups()
    message = _unquote(message)
    if not message:
        return None
    level = "debug" if _EXPECTED.search(message) else _LEVEL_OF[letter]
    return Record(f"{now.year}-{month}-{day}T{clock}.{fraction[:3]}+00:00", level, f"{source}:{number}", message)


def _unquote(message: str) -> str:
    if len(message) >= 2 and message[0] == message[-1] == '"':
        try:
            return json.loads(message).strip()
        except json.JSONDecodeError:
            return message[1:-1].strip()
    return message.strip()


class Log:
    """Passes records on to a sink and keeps the latest for error messages.

    Args:
        sink: called with each record; None drops them.
        level: records below it are kept but not passed on.
    """

    def __init__(self, sink: Callable[[Record], None] | None = None, level: str = "info", keep: int = 400):
        self._sink = sink
        self._least = LEVELS.index(level)
        self.records: deque[Record] = deque(maxlen=keep)

    def line(self, line: str) -> Record | None:
        record = parse(line)
        if record is not None:
            self.add(record)
        return record

    def say(self, level: str, message: str) -> None:
        """Adds a line of the launcher's own."""
        self.add(Record(datetime.now(timezone.utc).isoformat(timespec="milliseconds"), level, "avatar_server", message))

    def add(self, record: Record) -> None:
        self.records.append(record)
        if self._sink is not None and LEVELS.index(record.level) >= self._least:
            self._sink(record)


def to_stderr(style: str) -> Callable[[Record], None]:
    """A sink that prints to standard error; `style` is `plain` or `json`."""

    def sink(record: Record) -> None:
        # One write: several threads log.
        sys.stderr.write((record.as_json() if style == "json" else record.as_text()) + "\n")
        sys.stderr.flush()

    return sink
