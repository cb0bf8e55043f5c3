"""`mmchat info`: what the model is, where it runs, what a picture and a second of voice cost."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from mmchat import __version__
from mmchat.cli import console, options

if TYPE_CHECKING:
    from mmchat.checkpoints.about import AssistantInfo

PACKAGES = ("torch", "transformers", "open_clip_torch", "openai-whisper", "gradio")


def info(
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quantize: options.Quantize = None,
    transcriber: options.Transcriber = None,
    as_json: options.Json = False,
) -> None:
    """Show what the model is, what it knows and what media cost."""
    about = console.load_assistant(model, device, dtype, quantize, transcriber).describe()
    if as_json:
        card = {**asdict(about), "path": str(about.path), "versions": versions()}
        typer.echo(json.dumps(card, ensure_ascii=False, indent=2))
        return
    for name, value in _rows(about):
        console.fact(name, value)


def versions() -> dict[str, str]:
    """Version of mmchat, of Python and of the main packages; "not installed" where one is missing."""
    from importlib.metadata import PackageNotFoundError, version  # takes as long to import as all of this package

    found = {"mmchat": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def media_costs(about: AssistantInfo) -> list[tuple[str, str]]:
    """What a picture and a second of voice take of the context, for people."""
    image, second = about.tokens_per_image, about.tokens_per_second
    unheard = "cannot be heard" if about.transcriber is None else f"written down by Whisper {about.transcriber}"
    return [
        ("a picture", "cannot be seen" if image is None else f"{image} tokens"),
        ("a second of voice", unheard if second is None else f"{second:.3g} tokens"),
    ]


def _rows(about: AssistantInfo) -> list[tuple[str, str]]:
    parts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in about.parameters.items())
    quantized = f", weights in {about.quantization}" if about.quantization else ""
    return [
        ("model", about.name),
        ("folder", str(about.path)),
        ("knows", about.knows),
        ("parameters", f"{sum(about.parameters.values()):,}: {parts}"),
        ("context", f"{about.context:,} tokens"),
        *media_costs(about),
        ("device", f"{about.device}, {about.dtype}{quantized}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions().items())),
    ]
