"""requirements.lock holds what pyproject.toml asks for, each release with its hashes."""

import re
import sys
from importlib import metadata

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENTRY = re.compile(r"^([\w.-]+)==(\S+?)(?: ; (.+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def locked() -> dict[str, str]:
    """Name -> version, of what this Python installs."""
    entries = ENTRY.findall((PROJECT / "requirements.lock").read_text())
    return {
        canonicalize_name(name): version
        for name, version, marker, _ in entries
        if not marker or Marker(marker).evaluate()
    }


def test_every_line_has_hashes():
    text = (PROJECT / "requirements.lock").read_text()
    assert len(ENTRY.findall(text)) == len(re.findall(r"^[\w.-]+==", text, re.MULTILINE)) > 20
    assert "http" not in re.sub(r"^[\w.-]*http[\w.-]*==|via [^\n]*|^ *# +[\w-]+$", "", text, flags=re.MULTILINE)


def test_what_the_project_asks_for_is_locked():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    versions = locked()
    for text in project["dependencies"]:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate():
            version = versions[canonicalize_name(wanted.name)]
            assert wanted.specifier.contains(version), f"{text}: locked is {version}; run `make lock`"


def test_what_they_ask_for_is_locked():
    """The lock is closed: nothing comes in unpinned behind it."""
    versions = locked()
    missing = set()
    for name in versions:
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if metadata.version(name) != versions[name]:
            continue
        for text in requirements:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                missing |= {canonicalize_name(wanted.name)} - versions.keys()
    assert missing <= {"pip", "setuptools", "wheel"}
