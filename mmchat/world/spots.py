"""Where the things of a scene stand, in words."""

from __future__ import annotations

from mmchat.world.concepts import Thing
from mmchat.world.scenes import Placed, Scene

_AXES = (
    (("on the left", "on the right"), ("to the left of", "to the right of")),
    (("at the top", "at the bottom"), ("above", "below")),
)
_NAMES_ACROSS = {1: ("",), 2: ("left", "right"), 3: ("left", "middle", "right")}
_NAMES_ALONG = {1: ("",), 2: ("top", "bottom"), 3: ("top", "middle", "bottom")}
_LINE = 0.12  # things whose centres differ by less, as a share of the side, stand in one row or column


def in_order(scene: Scene) -> tuple[Thing, ...]:
    """The things of a scene, each once: from left to right or from top to bottom, several rows as they are read."""
    if scene.layout == "some":
        rows = _lines([placed.y for placed in scene.placed])
        placed = sorted(scene.placed, key=lambda placed: (rows[placed.y], placed.x))
    else:
        axis = _axis(scene)
        placed = sorted(scene.placed, key=lambda placed: placed.y if axis else placed.x)
    return tuple(dict.fromkeys(each.thing for each in placed))


def sides(scene: Scene) -> tuple[str, str]:
    """Where the first and the second of a pair stand: "on the left", "on the right"; or top and bottom."""
    return _AXES[_axis(scene)][0]


def relations(scene: Scene) -> tuple[str, str]:
    """How the first of a pair stands to the second, and the second to the first: "to the left of", …"""
    return _AXES[_axis(scene)][1]


def spots(scene: Scene) -> list[tuple[Placed, str]]:
    """Each thing of three or more and the words for its place: "in the middle", "at the top left", …"""
    rows = _lines([placed.y for placed in scene.placed])
    columns = _lines([placed.x for placed in scene.placed])
    tall, wide = len(set(rows.values())), len(set(columns.values()))
    return [(placed, _spot(columns[placed.x], wide, rows[placed.y], tall)) for placed in scene.placed]


def _axis(scene: Scene) -> int:
    """0 where the first two things stand side by side, 1 where one is above the other."""
    if len(scene.placed) < 2:
        return 0
    first, second = scene.placed[:2]
    return int(abs(first.y - second.y) > abs(first.x - second.x))


def _lines(centres: list[float]) -> dict[float, int]:
    """The row or column of each centre, counted from 0."""
    line, before, found = -1, -1.0, {}
    for centre in sorted(centres):
        line += centre - before > _LINE
        found[centre], before = line, centre
    return found


def _spot(column: int, columns: int, row: int, rows: int) -> str:
    side = _NAMES_ACROSS[columns][column]
    height = _NAMES_ALONG[rows][row]
    if not height or not side:
        only = side or height
        return "in the middle" if only == "middle" else f"{'on' if side else 'at'} the {only}"
    if side == "middle":
        return f"at the {height} in the middle"
    return f"in the middle on the {side}" if height == "middle" else f"at the {height} {side}"
