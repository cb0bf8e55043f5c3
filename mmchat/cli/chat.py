"""`mmchat chat`: a conversation at a prompt."""

from __future__ import annotations

from textwrap import shorten

from mmchat.cli import console, options
from mmchat.cli.keeping import Keeper
from mmchat.cli.line import LineReader
from mmchat.cli.repl import COMMANDS, Repl


def chat(
    system: options.System = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    repetition_penalty: options.RepetitionPenalty = None,
    seed: options.Seed = None,
    max_new_tokens: options.MaxNewTokens = None,
    prompt_lookup: options.PromptLookup = None,
    stop: options.Stop = None,
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    transcriber: options.Transcriber = None,
    no_server: options.NoServer = False,
    go_on: options.Continue = False,
    no_history: options.NoHistory = False,
) -> None:
    """Talk at a prompt, about pictures and voice too.

    At the prompt, /help lists what can be typed; Ctrl-C stops an answer, Ctrl-D leaves.
    """
    from mmchat.config import GenerationOptions

    how = GenerationOptions.create(
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
        seed=seed,
        max_new_tokens=max_new_tokens,
        prompt_lookup=prompt_lookup,
        stop=stop,
    )
    keeper, earlier = Keeper.opened(keep=not no_history, go_on=go_on, system=system)
    assistant = console.reach_assistant(model, device, dtype, quantize, transcriber, no_server=no_server)
    reader = LineReader(COMMANDS)
    if reader.interactive:
        console.note(f"{assistant.name}: /help lists the commands, Ctrl-D leaves")
    if earlier:
        count = "1 message" if len(earlier) == 1 else f"{len(earlier)} messages"
        console.note(f'going on behind {count}, the last: "{shorten(earlier[-1].text, 60, placeholder=" ...")}"')
    Repl(assistant, how, keeper, earlier).run(reader)
