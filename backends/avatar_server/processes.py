"""The server's processes and their shared memory, as /proc shows them."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

SHM = Path("/dev/shm")
_REGION = re.compile(r"/dev/shm/(triton_\w+_shm_region_[0-9a-f-]+)")


@dataclass(frozen=True, slots=True)
class Stub:
    """Attributes:
    pid: of the process.
    instance: Triton's name of the model instance, `enhancer_0_0`.
    """

    pid: int
    instance: str


def stubs(server_pid: int) -> list[Stub]:
    """The model processes of a server that are alive."""
    found = []
    for pid in children(server_pid):
        arguments = command(pid)
        if "triton_python_backend_stub" in arguments[0] and is_alive(pid):
            instance = next((text for text in arguments[1:] if re.fullmatch(r".+_\d+_\d+", text)), arguments[0])
            found.append(Stub(pid, instance))
    return found


def is_alive(pid: int) -> bool:
    """Whether the process exists and has not ended."""
    state = re.search(r"^State:\s+(\w)", _read(pid, "status"), re.MULTILINE)
    return bool(state) and state[1] not in "ZX"


def shm_regions(server_pid: int) -> set[str]:
    """Names under /dev/shm that the server has mapped for its model processes."""
    return set(_REGION.findall(_read(server_pid, "maps")))


def remove_regions(names: set[str]) -> int:
    """Unlinks regions that are still there; returns how many were."""
    removed = 0
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            (SHM / name).unlink()
            removed += 1
    return removed


def stale_regions() -> dict[str, int]:
    """Regions that no living process has mapped, left by servers that were killed: name -> bytes."""
    mapped = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        mapped |= set(_REGION.findall(_read(int(pid), "maps")))
    return {
        path.name: path.stat().st_size
        for path in SHM.glob("triton_*_shm_region_*")
        if path.name not in mapped and path.owner()
    }


def command(pid: int) -> list[str]:
    """Its command line; empty once it has ended."""
    return _read(pid, "cmdline").split("\0")


def children(pid: int) -> list[int]:
    """The processes that it started."""
    return [int(other) for other in os.listdir("/proc") if other.isdigit() and _parent(int(other)) == pid]


def _parent(pid: int) -> int | None:
    # The name in brackets may itself hold spaces and brackets.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else None


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
