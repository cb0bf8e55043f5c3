"""`mmchat eval`: how many questions of a dataset a model answers rightly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmchat.cli import console, options

if TYPE_CHECKING:
    from mmchat.evaluation import Evaluation

Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="One split of a dataset folder, DIR/test.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Ask at most N questions of each kind.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", metavar="K", help="Only this kind; may be repeated.")]
File = Annotated[str, typer.Option("--file", metavar="NAME", help="The file of the split to ask from.")]
Wrong = Annotated[int, typer.Option("--wrong", min=0, metavar="N", help="Show the first N wrong answers.")]


def evaluate(
    dataset: Dataset,
    model: options.Model = None,
    device: options.Device = "auto",
    limit: Limit = None,
    kinds: Kinds = None,
    file: File = "dialogues.jsonl",
    wrong: Wrong = 10,
) -> None:
    """Score a model on the questions of a dataset; the last line is JSON.

    "blind" is the score when each picture or clip is exchanged for another: what the words alone give away.
    """
    assistant = console.load_assistant(model, device)
    from mmchat.evaluation import evaluate as score

    with console.counting() as progress:
        result = score(
            assistant,
            dataset,
            file=file,
            kinds=tuple(kinds or ()),
            limit=limit,
            show_wrong=wrong,
            progress=partial(progress, "questions"),
        )
    for row in result.wrong:
        console.note(f"row {row['row']}, {row['kind']}: {row['answer']!r} has none of {', '.join(row['accept'])}")
    _show_table(result)
    typer.echo(result.to_json())


def _show_table(result: Evaluation) -> None:
    width = max(len("kind"), *(len(score.kind) for score in result.scores))
    typer.echo(f"{'kind':<{width}}   asked   right   blind")
    for score in result.scores:
        blind = "" if score.blind is None else f"{score.blind:8.1%}"
        typer.echo(f"{score.kind:<{width}} {score.asked:>7}{score.accuracy:>8.1%}{blind}")
