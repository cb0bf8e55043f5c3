"""The things that the bundled model knows, read from `things/<category>.yaml`, and the background colours.

A thing holds words only: its names, which icons draw it, and phrases that complete a sentence about it
("A cat" + `place`, "A cat" + `use`, "A cat has" + `part`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from mmchat.errors import ConfigError

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (210, 36, 40),
    "orange": (255, 140, 20),
    "yellow": (255, 226, 70),
    "green": (52, 160, 64),
    "turquoise": (64, 208, 200),
    "blue": (40, 84, 216),
    "purple": (126, 48, 168),
    "pink": (255, 150, 196),
    "brown": (120, 74, 36),
    "black": (18, 18, 20),
    "grey": (140, 140, 144),
    "white": (252, 252, 252),
}
"""Background colours by name, as RGB of 0..255, far enough apart to be told from each other."""

ThingColour = Literal[
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey", "gold"
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9' -]*[a-z0-9]$")]
Phrase = Annotated[str, StringConstraints(pattern=r"^[ -~]*[^ .!?]$", min_length=2)]
Sentence = Annotated[str, StringConstraints(pattern=r"^[A-Z][ -~]+[.]$")]
IconName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]

THINGS_FOLDER = Path(__file__).parent / "things"


class Thing(BaseModel):
    """One concrete thing of the world; frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    plural: Name
    """Defaults to `name` + "s"; a thing without a plural repeats its name."""
    article: Literal["a", "an", "the", ""]
    synonyms: tuple[Name, ...] = ()
    icons: tuple[IconName, ...] = Field(min_length=1)
    """Icon names that all draw this thing; the first is the main one."""
    category: Name
    colours: tuple[ThingColour, ...] = Field(min_length=1, max_length=3)
    place: Phrase
    use: Phrase
    part: Phrase | None = None
    sound: Phrase | None = None
    facts: tuple[Sentence, ...] = Field(min_length=2, max_length=3)

    @model_validator(mode="before")
    @classmethod
    def _default_plural(cls, value: Any) -> Any:
        if isinstance(value, dict) and "plural" not in value and "name" in value:
            return {**value, "plural": f"{value['name']}s"}
        return value

    @property
    def phrase(self) -> str:
        """The name as it stands inside a sentence: "a cat", "the sun", "rain"."""
        return f"{self.article} {self.name}".strip()

    @property
    def capitalised(self) -> str:
        """`phrase` as it begins a sentence: "A cat", "The sun", "Rain"."""
        return self.phrase[0].upper() + self.phrase[1:]

    @property
    def names(self) -> tuple[str, ...]:
        """Every right name: `name` first, then the synonyms."""
        return (self.name, *self.synonyms)


@cache
def load_things() -> tuple[Thing, ...]:
    """All things of the world, sorted by name; read once.

    Raises:
        ConfigError: see `read_things`.
    """
    return read_things(THINGS_FOLDER)


def read_things(folder: Path) -> tuple[Thing, ...]:
    """The things of all `*.yaml` files in `folder`, sorted by name.

    Raises:
        ConfigError: the folder holds no things, a file is not a list of things, a field is missing,
            unknown or malformed, or two things share a name or an icon; one line names file and thing.
    """
    things: list[Thing] = []
    origin: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        for thing in _read_file(path):
            if thing.name in origin:
                raise ConfigError(f"{path.name}: {thing.name}: the name is taken by a thing in {origin[thing.name]}")
            origin[thing.name] = path.name
            things.append(thing)
    if not things:
        raise ConfigError(f"{folder} holds no things: expected lists of things in *.yaml files")
    _check_icons(things, origin)
    _check_synonyms(things, origin)
    return tuple(sorted(things, key=lambda thing: thing.name))


def _read_file(path: Path) -> list[Thing]:
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path.name}: cannot be read as YAML: {reason}") from error
    if not isinstance(entries, list):
        raise ConfigError(f"{path.name}: must be a list of things")
    return [_read_entry(path, position, entry) for position, entry in enumerate(entries, start=1)]


def _read_entry(path: Path, position: int, entry: Any) -> Thing:
    try:
        return Thing.model_validate(entry)
    except ValidationError as error:
        name = entry["name"] if isinstance(entry, dict) and "name" in entry else f"thing number {position}"
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"]) or "entry"
        raise ConfigError(f"{path.name}: {name}: {field}: {first['msg']}") from error


def _check_icons(things: list[Thing], origin: dict[str, str]) -> None:
    owner: dict[str, Thing] = {}
    for thing in things:
        for icon in thing.icons:
            if icon in owner:
                raise ConfigError(
                    f"{origin[thing.name]}: {thing.name}: icon {icon} is drawn as {owner[icon].name} already"
                )
            owner[icon] = thing


def _check_synonyms(things: list[Thing], origin: dict[str, str]) -> None:
    """A synonym that is another thing's name would let a wrong answer pass as a right one."""
    for thing in things:
        for synonym in thing.synonyms:
            if synonym in origin:
                raise ConfigError(f"{origin[thing.name]}: {thing.name}: synonym {synonym} is the name of a thing")
