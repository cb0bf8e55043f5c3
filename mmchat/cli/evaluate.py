"""`mmchat eval`: how many questions of a dataset a model answers rightly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mmchat.cli import console, options
from mmchat.errors import UserError


def _in_a_folder(path: Path | None) -> Path | None:
    """Refuse a file that could not be written, before an hour of questions is asked."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="One split of a dataset folder, DIR/test.")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Ask at most N questions of each kind, spread over the file.")
]
Kinds = Annotated[list[str] | None, typer.Option("--kind", metavar="K", help="Only this kind; may be repeated.")]
File = Annotated[str, typer.Option("--file", metavar="NAME", help="The file of the split to ask from.")]
Blind = Annotated[bool, typer.Option(help="Ask again with the media removed, and exchanged for other media.")]
Guesses = Annotated[int, typer.Option(min=0, metavar="N", help="Look for the answer among the N likeliest, too.")]
Html = Annotated[
    Path | None,
    typer.Option(metavar="FILE", dir_okay=False, callback=_in_a_folder, help="Write a page with the wrong answers."),
]
Wrong = Annotated[int, typer.Option("--wrong", min=0, metavar="N", help="Show at most N wrong answers.")]


def evaluate(
    dataset: Dataset,
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    transcriber: options.Transcriber = None,
    limit: Limit = None,
    kinds: Kinds = None,
    file: File = "dialogues.jsonl",
    blind: Blind = True,
    guesses: Guesses = 0,
    html: Html = None,
    wrong: Wrong = 10,
) -> None:
    """Score a model on the questions of a dataset; the last line is JSON.

    Right answers stand beside what the words alone give away: the same questions without their pictures and clips, with
    those of another row, and the commonest answer to all questions of a kind.
    """
    try:
        from mmchat.evaluation.page import to_html
        from mmchat.evaluation.report import to_text
        from mmchat.evaluation.run import evaluate as score
    except ModuleNotFoundError as error:
        raise UserError(f"mmchat eval needs {error.name}: run pip install 'mmchat[eval]'") from error
    assistant = console.load_assistant(model, device, dtype, quantize, transcriber)
    with console.counting() as progress:
        result = score(
            assistant,
            dataset,
            file=file,
            kinds=tuple(kinds or ()),
            limit=limit,
            blind=blind,
            n_guesses=guesses,
            show_wrong=wrong,
            progress=partial(progress, "questions"),
        )
    for outcome in result.wrong:
        question = outcome.question
        accepted = ", ".join(question.accept)
        console.note(f"line {question.row}, {question.label}: {outcome.answer!r} has none of {accepted}")
    if html is not None:
        html.write_text(to_html(result), encoding="utf-8")
    typer.echo(to_text(result))
    typer.echo(result.to_json())
