"""Kept conversations as files: Markdown for people, or rows of a dataset folder for training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mmchat.errors import HistoryError
from mmchat.history.store import Conversation, Turn, encoded
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, Part, TextPart

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
        model = "mmchat" if turn.reply is None else turn.reply["model"]
        lines += [f"**{_SPEAKERS.get(turn.message.role, model)}**", ""]
        for part in turn.message.content:
            lines += [_in_markdown(part, media), ""]
    return "\n".join(lines)


def write_folder(folder: Path, conversations: Sequence[tuple[Conversation, Sequence[Turn]]], *, markdown: bool) -> None:
    """Write conversations and their media: a Markdown file each, or a `dialogues.jsonl` that `mmchat train` reads.

    Args:
        folder: it must not be there yet, or be empty.
        conversations: with their turns.
        markdown: the form.

    Raises:
        HistoryError: the folder is in use or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise HistoryError(f"{folder} is in use: name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for conversation, turns in conversations:
            messages = [turn.message for turn in turns]
            for part in (part for message in messages for part in message.media):
                path = folder / file_name(part)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(encoded(part))
            if markdown:
                text = to_markdown(conversation, turns, media=True)
                (folder / f"{conversation.id}.md").write_text(text, encoding="utf-8")
            rows.append(json.dumps({"messages": list(map(_row, messages))}, ensure_ascii=False) + "\n")
        if not markdown:
            (folder / "dialogues.jsonl").write_text("".join(rows), encoding="utf-8")
    except OSError as error:
        raise HistoryError(f"{folder}: cannot be written: {error.strerror}") from error


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
