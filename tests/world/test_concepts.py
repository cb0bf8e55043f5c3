"""The files of things: what is read, what is refused, and what holds for the world that mmchat ships."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from mmchat.errors import ConfigError
from mmchat.world.concepts import COLOURS, load_things, read_things

CAT = """
- name: cat
  article: a
  synonyms: [kitty]
  icons: [cat, cat-face]
  category: animal
  colours: [grey, orange]
  place: lives in homes and gardens
  use: catches mice
  part: whiskers
  sound: meows
  facts:
    - A cat can see well in the dark.
    - A cat sleeps for most of the day.
"""
SUN = """
- name: sun
  article: the
  icons: [sun]
  category: thing in the sky
  colours: [yellow]
  place: shines in the sky
  use: gives light
  facts: [The sun is a star., The sun is very hot.]
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_things_of_all_files_are_read_and_sorted_by_name(tmp_path: Path) -> None:
    cat, sun = read_things(write(tmp_path, sky=SUN, animal=CAT))
    assert (cat.name, sun.name) == ("cat", "sun")
    assert cat.names == ("cat", "kitty")
    assert cat.plural == "cats"
    assert sun.part is None


def test_a_thing_phrases_its_name_with_its_article(tmp_path: Path) -> None:
    rain = SUN.replace("name: sun", "name: rain\n  plural: rain").replace("the", '""', 1).replace("[sun]", "[rain]")
    cat, rained, sun = read_things(write(tmp_path, sky=SUN, animal=CAT, weather=rain))
    assert [thing.phrase for thing in (cat, rained, sun)] == ["a cat", "rain", "the sun"]
    assert [thing.capitalised for thing in (cat, rained, sun)] == ["A cat", "Rain", "The sun"]
    assert rained.plural == "rain"


def test_a_thing_is_frozen(tmp_path: Path) -> None:
    (cat,) = read_things(write(tmp_path, animal=CAT))
    with pytest.raises(ValidationError):
        cat.name = "dog"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sound: meows", "noise: meows", "animal.yaml: cat: noise: Extra inputs are not permitted"),
        ("  place: lives in homes and gardens\n", "", "animal.yaml: cat: place: Field required"),
        ("[grey, orange]", "[grey, mauve]", "animal.yaml: cat: colours.1: Input should be 'red', "),
        ("[grey, orange]", "[]", "animal.yaml: cat: colours: "),
        ("article: a", "article: one", "animal.yaml: cat: article: Input should be 'a', 'an', 'the' or ''"),
        ("- name: cat\n  article", "- article", "animal.yaml: thing number 1: name: Field required"),
        ("use: catches mice", "use: catches mice.", "animal.yaml: cat: use: String should match"),
        ("in the dark.", "in the dark", "animal.yaml: cat: facts.0: String should match"),
        ("- name: cat", "name: [cat", "animal.yaml: cannot be read as YAML: "),
    ],
)
def test_a_malformed_thing_is_one_line_that_names_file_thing_and_field(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in CAT
    with pytest.raises(ConfigError) as caught:
        read_things(write(tmp_path, animal=CAT.replace(old, new)))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (CAT, "pet.yaml: cat: the name is taken by a thing in animal.yaml"),
        (SUN.replace("[sun]", "[cat-face]"), "pet.yaml: sun: icon cat-face is drawn as cat already"),
        (
            SUN.replace("article: the", "article: the\n  synonyms: [cat]"),
            "pet.yaml: sun: synonym cat is the name of a thing",
        ),
        ("name: sun", "pet.yaml: must be a list of things"),
    ],
)
def test_things_that_cannot_be_told_apart_are_refused(tmp_path: Path, second: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_things(write(tmp_path, animal=CAT, pet=second))
    assert str(caught.value) == message


def test_a_folder_without_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no things"):
        read_things(tmp_path)


def test_the_world_holds_at_least_600_things_of_many_categories() -> None:
    things = load_things()
    assert len(things) >= 600
    assert len({thing.category for thing in things}) >= 25
    assert load_things() is things


def test_background_colours_are_well_apart() -> None:
    for first, second in itertools.combinations(COLOURS.values(), 2):
        assert math.dist(first, second) > 80
