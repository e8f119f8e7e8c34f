"""Prints what would keep the server from running."""

import json
import sys
from dataclasses import asdict

from avatar_server import processes
from avatar_server.checks import Finding, check_all
from avatar_server.config import ServerConfig


def examine(config: ServerConfig) -> list[Finding]:
    """All checks, and a note of shared memory that killed servers left."""
    findings = check_all(config)
    stale = processes.stale_regions()
    if stale:
        size = sum(stale.values()) / 2**20
        findings.append(
            Finding(
                "stale memory",
                True,
                f"{len(stale)} regions ({size:.0f} MiB) of killed servers in /dev/shm; `avatar doctor --clean` "
                "removes them",
            )
        )
    return findings


def report(findings: list[Finding], as_json: bool) -> int:
    """Prints the findings to standard output; returns the exit code: 0 if all are well, else 3."""
    healthy = all(finding.ok for finding in findings)
    if as_json:
        json.dump({"ok": healthy, "checks": [asdict(finding) for finding in findings]}, sys.stdout, indent=2)
        print()
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name:{width}}  {finding.detail}")
    return 0 if healthy else 3
