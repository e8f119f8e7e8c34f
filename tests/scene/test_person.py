"""Specifications of people."""

import sys
from pathlib import Path

import numpy as np
import pytest

from training.head.hair import CENTER, HairCut
from training.head.manifest import avatar_toml
from training.person import PEOPLE, Person, from_table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAMES = sorted(path.stem for path in PEOPLE.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_everybody_is_complete(name):
    person = Person.load(name)
    assert person.name == name and person.summary
    macro = [morph for morph in person.morphs if morph.startswith("macrodetails/") and "universal" not in morph]
    assert sum(person.morphs[morph] for morph in macro) == pytest.approx(1, abs=1e-6)
    assert person.cut.parting_x_m == person.look.get("hair", {}).get("parting_x_m", person.cut.parting_x_m)


def test_an_unknown_person_is_refused_by_name():
    with pytest.raises(ValueError, match="nobody"):
        Person.load("nobody")


def test_an_unknown_key_is_refused_by_name():
    with pytest.raises(ValueError, match="fringe"):
        from_table(Person, {"name": "x", "summary": "", "morphs": {}, "cut": {"fringe": 1.0}})


@pytest.mark.parametrize("name", [path.parent.name for path in sorted(Path("avatars").glob("*/avatar.toml"))])
def test_the_avatar_file_states_license_sources_and_camera(name):
    person = Person.load(name)
    written = tomllib.loads(avatar_toml(person))
    assert written["license"] == "CC0-1.0"
    assert all(source["license"] == "CC0-1.0" and source["what"] for source in written["sources"])
    assert written["camera"]["fov_deg"] == person.portrait.fov_deg
    shipped = tomllib.loads(Path(f"avatars/{name}/avatar.toml").read_text())
    assert shipped == written


def test_hair_hangs_below_the_hairline_only_where_a_drape_says_so():
    cut = HairCut(hairline=((0, 0.09), (180, 0.09)), drape=((-60, 0.05), (-20, 0.07)))

    def at(azimuth_deg, height_m):
        turn = np.deg2rad(azimuth_deg)
        return np.array([[0.08 * np.sin(turn), height_m, CENTER[2] + 0.08 * np.cos(turn)]])

    assert cut.above_hairline_m(at(-40, 0.07)) == pytest.approx(-0.02)
    assert cut.above_drape_m(at(-40, 0.07)) == pytest.approx(0.01)
    assert cut.above_drape_m(at(40, 0.07)) == pytest.approx(-0.02)
    assert cut.above_drape_m(at(-90, 0.07)) == pytest.approx(-0.02)
