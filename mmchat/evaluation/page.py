"""The report as one HTML file that needs nothing else: tables, and wrong answers with their pictures and players."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mmchat.evaluation.report import LEGEND, tables, totals
from mmchat.evaluation.scores import Evaluation, Outcome
from mmchat.evaluation.table import Table
from mmchat.inputs.audio import SAMPLE_RATE
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, Part, TextPart

_MAX_SIDE = 768


def to_html(result: Evaluation) -> str:
    """The page; what models and datasets say is shown as text and never read as markup."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = tables(result)
    return environment.get_template("page.html.jinja").render(
        model=result.model,
        dataset=result.dataset,
        asked=result.total.asked,
        figures=_headline(result),
        tables=found,
        legend=_legend(found),
        cases=[_case(outcome) for outcome in result.wrong],
    )


def _headline(result: Evaluation) -> dict[str, str]:
    shares = {"accepted": result.total.accepted, "exact": result.total.exact}
    return {name: f"{share.value:.1%}" for name, share in shares.items() if share is not None} | totals(result)


def _legend(found: list[Table]) -> dict[str, str]:
    """Of the columns that are there."""
    shown = {name for table in found for name in table.header}
    return {name: meaning for name, meaning in LEGEND.items() if name in shown}


def _case(outcome: Outcome) -> dict[str, Any]:
    question = outcome.question
    return {
        "row": question.row,
        "label": question.label,
        "style": question.style,
        "turns": [_turn(message) for message in question.messages],
        "answer": outcome.answer,
        "reference": question.reference,
        "accept": question.accept,
        "transcripts": question.transcripts,
    }


def _turn(message: Message) -> dict[str, Any]:
    return {"role": message.role, "parts": [_part(part) for part in message.content]}


def _part(part: Part) -> dict[str, str]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    buffer = io.BytesIO()
    if isinstance(part, ImagePart):
        picture = part.image.copy()
        picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
        picture.save(buffer, "WEBP", quality=85)
        return {"type": "image", "name": part.name, "uri": _data_uri("image/webp", buffer)}
    soundfile.write(buffer, part.waveform, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return {"type": "audio", "name": part.name, "uri": _data_uri("audio/wav", buffer)}


def _data_uri(media_type: str, buffer: io.BytesIO) -> str:
    return f"data:{media_type};base64,{base64.b64encode(buffer.getvalue()).decode()}"
