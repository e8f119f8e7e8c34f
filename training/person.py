"""A person as a specification: what `training/people/<name>.toml` says about face, hair, skin, clothes and picture."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from training.head.clothes import Neckline
from training.head.hair import HairCut

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PEOPLE = Path(__file__).parent / "people"
T = TypeVar("T")


@dataclass(frozen=True)
class Portrait:
    """The avatar's camera.

    Attributes:
        fov_deg: vertical field of view.
        position, target: metres, head space.
    """

    fov_deg: float = 16.5
    position: tuple[float, float, float] = (0.0, 0.002, 1.27)
    target: tuple[float, float, float] = (0.0, 0.002, 0.07)


@dataclass(frozen=True)
class Person:
    """One person.

    Attributes:
        name: of the avatar's folder.
        summary: who it is, in words.
        morphs: MakeHuman target below the wheel's `mpfb2/targets/` to its weight; `{side}` stands for both sides.
        cut: outline and volume of the hair.
        neckline: where the clothes begin.
        portrait: the camera.
        look: tables for the dataclasses of `training.scene.figure.Look`, by their names there.
        background_seed: of the room behind the head.
    """

    name: str
    summary: str
    morphs: dict[str, float]
    cut: HairCut = HairCut()
    neckline: Neckline = Neckline()
    portrait: Portrait = Portrait()
    look: dict[str, Any] = field(default_factory=dict)
    background_seed: int = 1

    @staticmethod
    def load(name: str) -> Person:
        """Reads `training/people/<name>.toml`.

        Raises:
            ValueError: there is no such person, or a key is unknown.
        """
        path = PEOPLE / f"{name}.toml"
        if not path.exists():
            known = sorted(file.stem for file in PEOPLE.glob("*.toml"))
            raise ValueError(f"a person must be one of {known}, got {name!r}; add {path.name} to {PEOPLE.name}/")
        return from_table(Person, {"name": name, **tomllib.loads(path.read_text())})


def from_table(kind: type[T], table: dict[str, Any]) -> T:
    """A frozen dataclass from a table of a TOML file; lists become tuples, nested dataclasses are followed.

    Raises:
        ValueError: a key is not an attribute.
    """
    known = {item.name: item for item in dataclasses.fields(kind)}
    foreign = sorted(set(table) - set(known))
    if foreign:
        raise ValueError(f"{kind.__name__} must have keys among {sorted(known)}, got {foreign}")
    nested = {"cut": HairCut, "neckline": Neckline, "portrait": Portrait} if kind is Person else {}
    return kind(**{key: from_table(nested[key], value) if key in nested else _frozen(value)
                   for key, value in table.items()})  # fmt: skip


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
