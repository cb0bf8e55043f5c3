"""From the ids of an answer to its text in pieces, and the whole in the end."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass

from mmchat.generation.reply import MediaReceipt, Reply, Timing, Usage
from mmchat.generation.running import Answer
from mmchat.generation.text import TextStream


@dataclass(frozen=True)
class Asked:
    """What is known of an answer before its first token."""

    model: str
    receipts: tuple[MediaReceipt, ...]
    prompt_tokens: int
    load_s: float
    began: float
    """When it was asked, by `time.perf_counter`."""
    seed: int


def told(asked: Asked, ids: Answer, text: TextStream) -> Generator[str, None, Reply]:
    """The pieces of an answer; closing this ends its ids."""
    pieces: list[str] = []
    count = 0
    first_token: float | None = None
    try:
        for token in ids:
            count += 1
            first_token = time.perf_counter() if first_token is None else first_token
            pieces.append(text.push(token))
            if pieces[-1]:
                yield pieces[-1]
            if text.stopped:
                break
    finally:
        ids.close()
    finish = "stop" if text.stopped else ids.finish_reason
    assert finish is not None, "its ids have ended"
    pieces.append(text.flush())
    if pieces[-1]:
        yield pieces[-1]
    now = time.perf_counter()
    return Reply(
        text="".join(pieces),
        media=asked.receipts,
        usage=Usage(asked.prompt_tokens, count),
        timing=Timing(asked.load_s, (now if first_token is None else first_token) - asked.began, now - asked.began),
        finish_reason=finish,
        seed=asked.seed,
        model=asked.model,
    )
