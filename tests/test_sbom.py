"""The bill of materials names what serving installs, and none of it has a licence that binds who builds on it."""

import json
import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT
from tests.test_lock import locked

PERMISSIVE = re.compile(r"Apache|BSD|MIT|ISC|PSF|Python|Zlib|Unlicense|0BSD|ZPL|LLVM-exception", re.IGNORECASE)
UNSAID = {"nvidia-pytriton": "Apache-2.0", "protobuf": "BSD-3-Clause", "python-rapidjson": "MIT"}
"""Licences that stand in a file of the package, not in its metadata."""

PER_FILE = {"certifi": "MPL-2.0", "tqdm": "MPL-2.0", "soxr": "LGPL-2.1"}
"""Bind only who changes these packages themselves."""


@pytest.fixture(scope="module")
def components(tmp_path_factory) -> dict[str, dict]:
    path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    command = [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable, "--of", "JSON", "-o", str(path)]
    subprocess.run([*command, "--pyproject", str(PROJECT / "pyproject.toml")], check=True, capture_output=True)
    bill = json.loads(path.read_text())
    assert bill["bomFormat"] == "CycloneDX" and bill["metadata"]["component"]["name"] == "avatar-server"
    return {canonicalize_name(component["name"]): component for component in bill["components"]}


def test_all_that_is_installed_for_serving_is_in_it(components):
    installed = {canonicalize_name(one.name): one.version for one in metadata.distributions()}
    serving = {name: installed[name] for name in locked() if name in installed}
    assert len(serving) > 20
    assert {name: components[name]["version"] for name in serving} == serving
    purls = {name: canonicalize_name(re.match(r"pkg:pypi/([^@]+)@", components[name]["purl"])[1]) for name in serving}
    assert purls == {name: name for name in serving}


def test_no_licence_of_it_is_a_trap(components):
    for name in locked():
        if name not in components:
            continue
        said = [entry.get("expression") or _name(entry["license"]) for entry in components[name].get("licenses", [])]
        licence = " AND ".join(said) or UNSAID.get(name, "none")
        parts = [part.strip("() ") for part in re.split(r" AND ", licence)]
        bound = [part for part in parts if not PERMISSIVE.search(part) or "GPL" in part]
        if name in PER_FILE:
            assert all(PER_FILE[name].partition("-")[0] in part or "Mozilla" in part for part in bound), licence
        else:
            assert not bound, f"{name} is under {licence}"


def _name(licence: dict) -> str:
    return licence.get("id") or licence["name"]
