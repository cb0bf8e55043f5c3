"""`mmchat ask`: one question, one answer or several."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmchat.cli import console, options
from mmchat.cli.keeping import Keeper
from mmchat.cli.media import media_in_order
from mmchat.cli.piped import piped_text
from mmchat.errors import MessageError

if TYPE_CHECKING:
    from mmchat.assistant import Assistant
    from mmchat.config import GenerationOptions
    from mmchat.generation.reply import Reply
    from mmchat.inputs.messages import Message
    from mmchat.serving.remote import RemoteAssistant

Text = Annotated[
    str | None,
    typer.Argument(metavar="TEXT", help="The question; - or nothing reads standard input.", show_default=False),
]
Images = Annotated[
    list[Path] | None,
    typer.Option("--image", "-i", metavar="FILE", help="A picture; may be repeated, and mixed with --audio."),
]
Audios = Annotated[
    list[Path] | None,
    typer.Option("--audio", "-a", metavar="FILE", help="A clip of voice; a spoken question needs no text."),
]
Number = Annotated[int | None, typer.Option("-n", min=1, metavar="N", help="Give N answers, numbered.")]
NoStream = Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is complete.")]


def ask(
    ctx: typer.Context,
    text: Text = None,
    image: Images = None,
    audio: Audios = None,
    system: options.System = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    repetition_penalty: options.RepetitionPenalty = None,
    seed: options.Seed = None,
    max_new_tokens: options.MaxNewTokens = None,
    stop: options.Stop = None,
    prompt_lookup: options.PromptLookup = None,
    n: Number = None,
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    transcriber: options.Transcriber = None,
    no_server: options.NoServer = False,
    go_on: options.Continue = False,
    no_history: options.NoHistory = False,
    as_json: options.Json = False,
    no_stream: NoStream = False,
) -> None:
    """Ask one question, about pictures and voice too.

    Pictures and clips come before the text, in the order given: mmchat ask -i cat.png "describe this"
    """
    from mmchat.config import GenerationOptions

    message = _message(ctx, text, image, audio)
    how = GenerationOptions.create(
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
        seed=seed,
        max_new_tokens=max_new_tokens,
        stop=stop,
        prompt_lookup=prompt_lookup,
    )
    assistant = console.reach_assistant(model, device, dtype, quantize, transcriber, no_server=no_server)
    keeper, earlier = Keeper.opened(keep=not no_history, go_on=go_on, system=system)
    conversation = [*earlier, message]
    if n is None and not as_json and not no_stream:
        replies = [_stream(assistant, conversation, keeper, how)]
    else:
        given = how.model_dump(exclude_unset=True)
        with console.working("answering"):
            replies = assistant.replies(conversation, 1 if n is None else n, system=keeper.system, **given)
        keeper.asked(message)
        keeper.answered(replies[0])
        console.say(_as_json(replies, several=n is not None) if as_json else _as_text(replies, several=n is not None))
    if not as_json:
        new = len(message.media)
        console.show_receipt(replies[0], how, replies[0].media[len(replies[0].media) - new :])


def _message(ctx: typer.Context, text: str | None, image: list[Path] | None, audio: list[Path] | None) -> Message:
    """The user turn, checked before anything heavy is loaded."""
    from mmchat.inputs.messages import Message, TextPart

    media = media_in_order(ctx, image, audio)
    words = piped_text(patient=text == "-" or not media) if text is None or text == "-" else text
    if words.strip():
        return Message("user", (*media, TextPart(words)))
    if media:
        return Message("user", media)
    raise MessageError("there is nothing to answer: give a text, --image FILE or --audio FILE")


def _stream(
    assistant: Assistant | RemoteAssistant,
    conversation: list[Message],
    keeper: Keeper,
    how: GenerationOptions,
) -> Reply:
    """Print the answer piece by piece; Ctrl-C and errors leave the terminal at the start of a line."""
    with console.working("reading"):
        stream = assistant.stream(conversation, system=keeper.system, **how.model_dump(exclude_unset=True))
    begun = False
    keeper.asked(conversation[-1])
    try:
        for piece in stream:
            keeper.said(piece)
            console.say(piece)
            begun = begun or piece != ""
    finally:
        stream.close()
        if begun:
            typer.echo()
    assert stream.reply is not None, "the stream has ended"
    keeper.answered(stream.reply)
    return stream.reply


def _as_text(replies: list[Reply], *, several: bool) -> str:
    if not several:
        return f"{replies[0].text}\n"
    return "".join(f"{number}. {reply.text}\n" for number, reply in enumerate(replies, 1))


def _as_json(replies: list[Reply], *, several: bool) -> str:
    """One object; with `-n`, the answers and why each ended are lists, and the seed is that of the first."""
    first, last = replies[0], replies[-1]
    answers = [reply.text for reply in replies]
    reasons = [reply.finish_reason for reply in replies]
    completion_tokens = sum(reply.usage.completion_tokens for reply in replies)
    value = {
        "answer": answers if several else answers[0],
        "finish_reason": reasons if several else reasons[0],
        "media": [asdict(receipt) for receipt in first.media],
        "usage": asdict(replace(first.usage, completion_tokens=completion_tokens)),
        "timing": asdict(replace(first.timing, total_s=last.timing.total_s)),
        "model": first.model,
        "seed": first.seed,
    }
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
