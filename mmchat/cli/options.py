"""The options that several commands share, each written once."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="A folder, one of mmchat models, or owner/name on the hub; else the bundled model."
    ),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps ...")]
Dtype = Annotated[str, typer.Option(metavar="TYPE", help="auto, float32, bfloat16 or float16.")]
Quantize = Annotated[
    str | None, typer.Option(metavar="TYPE", help="Weights of the decoder as int8 or, on a GPU, int4: less memory.")
]
Transcriber = Annotated[
    str | None,
    typer.Option(metavar="WHISPER", help="For a model that cannot hear: base, small ... or a file of openai-whisper."),
]
NoServer = Annotated[bool, typer.Option("--no-server", help="Load the model here, even where mmchat serve has it.")]
Continue = Annotated[bool, typer.Option("--continue", "-c", help="Go on with the latest conversation.")]
NoHistory = Annotated[bool, typer.Option("--no-history", help="Keep nothing of this conversation.")]
System = Annotated[str | None, typer.Option(metavar="TEXT", help="A system prompt, put before the conversation.")]
Temperature = Annotated[float | None, typer.Option(metavar="T", help="0 is greedy; higher is freer.  [default: 0]")]
TopP = Annotated[
    float | None, typer.Option(metavar="P", help="Draw from the likeliest tokens that hold this share together.")
]
TopK = Annotated[int | None, typer.Option(metavar="K", help="Draw from the K likeliest tokens; 0 from all.")]
RepetitionPenalty = Annotated[
    float | None, typer.Option(metavar="R", help="Above 1, what was said becomes less likely.")
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="The same seed gives the same answer again.")]
MaxNewTokens = Annotated[int | None, typer.Option(metavar="N", help="The longest answer, in tokens.")]
PromptLookup = Annotated[
    int | None, typer.Option(metavar="N", help="Guess N tokens ahead from what was said: the same answer, sooner.")
]
Stop = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="End the answer before this text; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
