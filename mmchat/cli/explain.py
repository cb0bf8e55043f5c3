"""`mmchat explain`: what of a picture or clip an answer depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmchat.cli import console, options
from mmchat.cli.ask import Audios, Images
from mmchat.cli.media import media_in_order
from mmchat.errors import OptionError, UserError

Text = Annotated[str, typer.Argument(metavar="[TEXT]", help="The question.", show_default=False)]
Out = Annotated[Path, typer.Option(metavar="FILE", help="The picture to write: .png, .jpg or .webp.")]
Answer = Annotated[str | None, typer.Option(metavar="TEXT", help="Explain this answer instead of the model's own.")]
Word = Annotated[str | None, typer.Option(metavar="TEXT", help="A word of the answer, instead of all of it.")]
Grid = Annotated[int, typer.Option(min=2, max=32, metavar="N", help="Hide a picture in N by N parts.")]


def explain(
    ctx: typer.Context,
    text: Text = "",
    image: Images = None,
    audio: Audios = None,
    out: Out = Path("explained.png"),
    answer: Answer = None,
    word: Word = None,
    grid: Grid = 8,
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
) -> None:
    """Draw what of a picture or clip an answer depends on: its parts are hidden one by one; beside it, attention.

    For example: mmchat explain -i cat.png "what is this?" --word cat --out map.png
    """
    from PIL import Image

    from mmchat.explain.attention import attention
    from mmchat.explain.drawing import draw
    from mmchat.explain.occlusion import explain as explained
    from mmchat.inputs.messages import Message, TextPart

    Image.init()
    if out.suffix.lower() not in Image.EXTENSION:
        raise OptionError(f"{out}: no picture ends in {out.suffix!r}: use .png, .jpg or .webp")
    media = media_in_order(ctx, image, audio)
    question = [Message("user", (*media, *([TextPart(text)] if text.strip() else [])))]
    assistant = console.load_assistant(model, device, dtype, quantize, None)
    said = assistant.reply(question).text if answer is None else answer
    with console.counting() as progress:
        heats = explained(
            assistant, question, said, word=word, grid=grid, progress=lambda done, total: progress("parts", done, total)
        )
    try:
        attended = attention(assistant, question, said, word=word)
    except OptionError as error:
        console.note(str(error))
        attended = []
    try:
        draw(heats, attended).save(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from error
    console.say(f"{said}\n")
    for heat in heats:
        console.note(f"{heat.part.name}: hiding its best part costs {max(float(heat.values.max()), 0):.2f} nats")
    console.note(f"{out}: red is what the answer depends on; a part that another one repeats stays pale")
    if attended:
        console.note("blue is where the decoder looks while it answers, which may be of no use to it")
