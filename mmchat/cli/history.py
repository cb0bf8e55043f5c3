"""`mmchat history`: the conversations that were kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmchat.cli import console
from mmchat.errors import HistoryError, UserError

if TYPE_CHECKING:
    from mmchat.history.store import Conversation, History

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="Of the conversation, as mmchat history list says.")]
Numbers = Annotated[list[int] | None, typer.Argument(metavar="[NUMBER]...", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All conversations.")]


class Form(str, Enum):
    """What a conversation is exported as."""

    MARKDOWN = "markdown"
    JSONL = "jsonl"


def list_() -> None:
    """List the conversations, the latest first."""
    _list(_history().conversations(), "nothing was kept yet")


def search(text: Annotated[str, typer.Argument(metavar="TEXT", help="In a title or a message, in any case.")]) -> None:
    """List the conversations in which something was said."""
    _list(_history().conversations(search=text), f"no conversation has {text!r} in it")


def show(number: Number) -> None:
    """Print a conversation."""
    from mmchat.history.export import to_markdown

    history = _history()
    console.say(to_markdown(history.conversation(number), history.turns(number)))


def rename(number: Number, title: Annotated[str, typer.Argument(metavar="TITLE")]) -> None:
    """Give a conversation another title."""
    _history().rename(number, title)


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write; it must not exist.")],
    numbers: Numbers = None,
    everything: All = False,
    everyone: Annotated[
        bool, typer.Option("--everyone", help="All conversations, those of the visitors of a shared page too.")
    ] = False,
    form: Annotated[Form, typer.Option("--form", help="For people, or rows that mmchat train reads.")] = Form.MARKDOWN,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="What was thought of the answers, as preferences to train on.")
    ] = False,
) -> None:
    """Write conversations and their media as files."""
    from mmchat.history.export import write_folder

    history = _history()
    if everyone and (numbers or everything):
        raise UserError("--everyone is all there is: leave the numbers and --all out")
    if everyone:
        owned = [(each, owner) for owner in history.owners() for each in history.conversations(owner)]
        if not owned:
            raise HistoryError("nothing was kept yet")
    else:
        owned = [(history.conversation(number), "") for number in _chosen(history, numbers, everything)]
    conversations = [(each, history.turns(each.id, owner)) for each, owner in owned]
    write_folder(folder, conversations, "feedback" if feedback else form.value)
    console.note(f"{len(conversations)} written to {folder}")


def delete(numbers: Numbers = None, everything: All = False) -> None:
    """Forget conversations, and the pictures and clips that stand in no other."""
    history = _history()
    chosen = _chosen(history, numbers, everything)
    for number in chosen:
        history.conversation(number)  # all of them or none
    for number in chosen:
        history.delete(number)
    console.note(f"{len(chosen)} deleted")


def _history() -> History:
    from mmchat.history.store import History, default_path

    return History(default_path())


def _chosen(history: History, numbers: Sequence[int] | None, everything: bool) -> list[int]:
    """Conversations by number, each once, or all."""
    if bool(numbers) == everything:
        raise UserError("say which conversations: their numbers, or --all")
    chosen = list(dict.fromkeys(numbers or [each.id for each in history.conversations()]))
    if not chosen:
        raise HistoryError("nothing was kept yet")
    return chosen


def _list(found: Sequence[Conversation], otherwise: str) -> None:
    for each in found:
        changed = datetime.fromtimestamp(each.changed)
        count = "1 message" if each.messages == 1 else f"{each.messages} messages"
        console.line(f"{each.id:>5}  {changed:%Y-%m-%d %H:%M}  {count:<12}  {each.title}")
    if not found:
        console.note(otherwise)
