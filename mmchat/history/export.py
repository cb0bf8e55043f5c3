"""Kept conversations as files: Markdown for people, or rows of a dataset folder for training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from mmchat.errors import HistoryError
from mmchat.history.store import Conversation, Turn
from mmchat.history.values import encoded
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, Part, TextPart

Form = Literal["markdown", "jsonl", "feedback"]
"""A Markdown file each, for people; `dialogues.jsonl`, which `mmchat train` reads; or `preferences.jsonl` and
`ratings.jsonl`, for training on what people thought of the answers."""

_SPEAKERS = {"user": "You", "system": "System"}


def to_markdown(conversation: Conversation, turns: Sequence[Turn], media: bool = False) -> str:
    """A conversation as Markdown.

    Args:
        conversation: whose title stands above.
        turns: what was said.
        media: show pictures and link clips, as files of `write_folder`; otherwise their names.
    """
    lines = [f"# {conversation.title}", "", f"{datetime.fromtimestamp(conversation.changed):%Y-%m-%d %H:%M}", ""]
    for turn in turns:
        model = "mmchat" if turn.reply is None else turn.reply.model
        lines += [f"**{_SPEAKERS.get(turn.message.role, model)}**", ""]
        for part in turn.message.content:
            lines += [_in_markdown(part, media), ""]
    return "\n".join(lines)


def write_folder(folder: Path, conversations: Sequence[tuple[Conversation, Sequence[Turn]]], form: Form) -> None:
    """Write conversations and their media.

    Args:
        folder: it must not be there yet, or be empty.
        conversations: with their turns.
        form: what is written of them.

    Raises:
        HistoryError: the folder is in use or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise HistoryError(f"{folder} is in use: name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        for _, turns in conversations:
            _write_media(folder, turns)
        match form:
            case "markdown":
                for conversation, turns in conversations:
                    text = to_markdown(conversation, turns, media=True)
                    (folder / f"{conversation.id}.md").write_text(text, encoding="utf-8")
            case "jsonl":
                rows = [{"messages": [_row(turn.message) for turn in turns]} for _, turns in conversations]
                _write_rows(folder / "dialogues.jsonl", rows)
            case "feedback":
                _write_rows(folder / "preferences.jsonl", [row for _, turns in conversations for row in _pairs(turns)])
                _write_rows(folder / "ratings.jsonl", [row for _, turns in conversations for row in _ratings(turns)])
    except OSError as error:
        raise HistoryError(f"{folder}: cannot be written: {error.strerror}") from error


def _write_media(folder: Path, turns: Sequence[Turn]) -> None:
    for part in (part for turn in turns for part in turn.message.media):
        path = folder / file_name(part)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(part))


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _pairs(turns: Sequence[Turn]) -> Iterator[dict[str, Any]]:
    """For each answer that another was better than, or that was better than others, a pair as TRL's DPO reads it."""
    for place, turn in enumerate(turns):
        answer, thought = turn.message.text, turn.feedback
        best = thought.correction or answer
        worse = [*thought.rejected, *([answer] if thought.correction else [])]
        for rejected in worse:
            prompt = [_row(earlier.message) for earlier in turns[:place]]
            yield {"prompt": prompt, "chosen": [_said(best)], "rejected": [_said(rejected)]}


def _ratings(turns: Sequence[Turn]) -> Iterator[dict[str, Any]]:
    """For each answer with a thumb up or down, a row as TRL's KTO reads it."""
    for place, turn in enumerate(turns):
        if turn.feedback.liked is not None:
            prompt = [_row(earlier.message) for earlier in turns[:place]]
            yield {"prompt": prompt, "completion": [_said(turn.message.text)], "label": turn.feedback.liked}


def _said(text: str) -> dict[str, Any]:
    return _row(Message.assistant(text))


def file_name(part: ImagePart | AudioPart) -> str:
    """Of a picture or clip in an exported folder: the same content has the same name."""
    digest = part.digest[:20]
    return f"images/{digest}.png" if isinstance(part, ImagePart) else f"audio/{digest}.wav"


def _in_markdown(part: Part, media: bool) -> str:
    match part:
        case TextPart():
            return part.text
        case ImagePart():
            return f"![{part.name}]({file_name(part)})" if media else f"[{part.name}]"
        case AudioPart():
            named = f"{part.name}, {part.seconds:.1f} s"
            return f"[{named}]({file_name(part)})" if media else f"[{named}]"


def _row(message: Message) -> dict[str, Any]:
    """In the chat format, media by their files."""
    content = [
        {"type": "text", "text": part.text} if isinstance(part, TextPart) else _media_row(part)
        for part in message.content
    ]
    return {"role": message.role, "content": content}


def _media_row(part: ImagePart | AudioPart) -> dict[str, str]:
    kind = "image" if isinstance(part, ImagePart) else "audio"
    return {"type": kind, kind: file_name(part)}
