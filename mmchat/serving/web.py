"""The page: type, drop pictures and record voice in one message; the answer streams.

The transcript lives in `gradio.State`, which belongs to one browser tab and never leaves the server. The chat is drawn
from it and never read back, so a browser can neither forge a turn nor name a file of the host.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from mmchat.assistant import Assistant
from mmchat.errors import MmchatError, UserError
from mmchat.inputs import audio, image
from mmchat.serving.transcript import (
    STOPPED,
    Draft,
    Exchange,
    Transcript,
    as_problem,
    as_typed,
    edited,
    receipt,
    to_bubbles,
    to_messages,
    upto,
)

TITLE = "mmchat"
FILE_TYPES = ["image", "audio", ".opus", ".flac", ".aiff", ".webp"]  # some systems do not know what the last ones are
REDRAW_SECONDS = 0.05
"""The chat is redrawn at most this often: redrawing costs more than a small model's token."""
ANSWERS_AT_ONCE = 16
"""Answers that are written at the same time; other tabs wait in a queue and see their place in it."""
EXAMPLES = ("where does a penguin live?", "what sound does a cow make?", "what is a hammer for?")
"""Questions for an empty chat, which the bundled model can answer."""
RETRY_TEMPERATURE = 0.7
"""Of an answer that is asked for again: the best one was there already."""
FORGET_SECONDS = 24 * 3600
"""Age at which uploads are deleted; what is still in use is younger."""

CSS = """
.gradio-container { width: 100%; max-width: 60rem; margin: 0 auto; }
#about h2, #about p { margin: 0; }
#chat .placeholder { padding: 1rem; text-align: center; }
#chat img { max-height: 12rem; width: auto; }
#chat small { opacity: 0.7; }
/* The share button that Gradio puts beside uploads would send them to a public server, and what it makes of a message
   that was edited beside them never arrives. */
#chat .message-buttons:has(.download-link) { display: none; }
"""

logger = logging.getLogger(__name__)

View = tuple[Transcript, list[dict[str, Any]], Any]


def build_page(assistant_source: Callable[[], Assistant]) -> gr.Blocks:
    """The page over an assistant.

    Args:
        assistant_source: gives the assistant; called when a tab opens and for every message, so it should keep the
            assistant that it loaded. An `MmchatError` that it raises is shown on the page.
    """

    def ask(composed: dict[str, Any], transcript: Transcript) -> Iterator[View]:
        yield from _answer(assistant_source, Draft(composed["text"], tuple(composed["files"])), transcript)

    def retry(what: gr.RetryData, transcript: Transcript) -> Iterator[View]:
        yield from _again(assistant_source, transcript, what.index, temperature=RETRY_TEMPERATURE)

    def edit(what: gr.EditData, transcript: Transcript) -> Iterator[View]:
        yield from _again(assistant_source, transcript, what.index, str(what.value))

    def example(what: gr.SelectData, transcript: Transcript) -> Iterator[View]:
        yield from _answer(assistant_source, Draft(str(what.value["text"])), transcript)

    def introduce() -> tuple[str, Any]:
        return _introduction(assistant_source)

    with gr.Blocks(
        title=TITLE,
        fill_height=True,
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(3600, FORGET_SECONDS),
    ) as page:
        transcript = gr.State(())
        about = gr.Markdown(f"## {TITLE}", elem_id="about")
        chat = gr.Chatbot(show_label=False, buttons=["copy"], editable="user", scale=1, min_height=200, elem_id="chat")
        composer = gr.MultimodalTextbox(
            placeholder="Ask, drop pictures, or record",
            label="Message",
            show_label=False,
            sources=["upload", "microphone"],
            file_count="multiple",
            file_types=FILE_TYPES,
            max_plain_text_length=1_000_000,  # a long text that is pasted stays text instead of becoming a file
            autofocus=True,
            elem_id="composer",
        )
        view = [transcript, chat, composer]
        asking = composer.submit(
            ask,
            [composer, transcript],
            view,
            show_progress_on=chat,
            concurrency_limit=ANSWERS_AT_ONCE,
            api_name="ask",
        )
        again: dict[str, Any] = {
            "show_progress_on": chat, "concurrency_limit": ANSWERS_AT_ONCE, "api_visibility": "private"
        }  # fmt: skip
        retrying = chat.retry(retry, transcript, view, **again)
        editing = chat.edit(edit, transcript, view, **again)
        trying = chat.example_select(example, transcript, view, **again)
        answering = [asking, retrying, editing, trying]
        stopping = composer.stop(None, cancels=answering, api_visibility="private")
        stopping.then(_settle, [transcript], view, api_visibility="private")
        clearing = chat.clear(None, cancels=answering, api_visibility="private")
        clearing.then(_resting, None, view, api_name="clear")
        page.load(introduce, None, [about, chat], api_name="about")
    return page


def launch(
    model: str | Path | None,
    host: str = "127.0.0.1",
    port: int = 7860,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str | None = None,
    transcriber: str | None = None,
) -> None:
    """Load a model and serve its page until interrupted; the address is said on stderr.

    Args:
        model: as for `Assistant.load`.
        host: as for `serve`.
        port: as for `serve`.
        device: as for `Assistant.load`, like the rest.
        dtype: `float32`, …
        quantize: `int8`, …
        transcriber: `base`, …

    Raises:
        CheckpointError: the model is unknown or damaged; nothing is served then.
        UserError: the port is taken or the host is not this machine's.
        KeyboardInterrupt: Ctrl-C; the server is closed.
    """
    assistant = Assistant.load(model, device=device, dtype=dtype, quantize=quantize, transcriber=transcriber)
    page = build_page(lambda: assistant)
    address = serve(page, host, port)
    sys.stderr.write(f"mmchat: the page is at {address} (Ctrl-C ends it)\n")
    try:
        while page.is_running:
            time.sleep(0.2)
    finally:
        page.close(verbose=False)


def serve(page: gr.Blocks, host: str, port: int) -> str:
    """Start serving a page in the background: no share link, no telemetry, no record of what was asked.

    Args:
        page: what `build_page` made.
        host: address of this machine to listen on; 0.0.0.0 is all of them.
        port: 0 takes a free one.

    Returns:
        The address.

    Raises:
        UserError: the port is taken or the host is not this machine's.
    """
    _, address, _ = page.launch(
        server_name=host,
        server_port=_free_port(host, port),
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        css=CSS,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        max_file_size=max(image.MAX_FILE_BYTES, audio.MAX_FILE_BYTES),
    )
    return str(address)


def _free_port(host: str, port: int) -> int:
    """The port itself if a server can listen there, any free one for 0. Gradio would not say why it cannot."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            if os.name == "posix":  # elsewhere this would take a port that another server uses
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on {host} port {port}: {why}; give another --host or --port") from error


def _answer(
    assistant_source: Callable[[], Assistant], draft: Draft, transcript: Transcript, **options: Any
) -> Iterator[View]:
    """Views of the page while one message is answered; closing this stops the work.

    After an error the transcript is what it was before, and the draft stands in the composer again.

    Args:
        assistant_source: gives the assistant.
        draft: the message.
        transcript: all before it.
        options: as for `Assistant.stream`.
    """
    try:
        exchange = Exchange(draft, draft.to_message())
        yield _working(transcript, exchange, gr.MultimodalTextbox(value=None, submit_btn=False, stop_btn=True))
        conversation = to_messages((*transcript, exchange))
        with closing(assistant_source().stream(conversation, **options)) as stream:
            for text in _paced(stream):
                exchange = replace(exchange, answer=text)
                yield _working(transcript, exchange, gr.skip())
        reply = stream.reply
        assert reply is not None, "a stream that ended has its reply"
        exchange = replace(exchange, answer=reply.text, receipt=receipt(reply))
        yield _resting((*transcript, exchange))
    except MmchatError as error:
        yield _resting(transcript, str(error), draft)
    except Exception:
        # The page must stay usable whatever went wrong; what it was is for the log, not for the visitor.
        logger.exception("an answer failed")
        yield _resting(transcript, "something went wrong on our side; the server's log says what", draft)


def _again(
    assistant_source: Callable[[], Assistant],
    transcript: Transcript,
    bubble: int | tuple[int, int],
    shown: str | None = None,
    **options: Any,
) -> Iterator[View]:
    """Views of the page while a message is answered again, or with other words; all behind it is gone.

    Args:
        assistant_source: gives the assistant.
        transcript: all of it.
        bubble: as for `upto`.
        shown: as for `edited`; None leaves the words.
        options: as for `Assistant.stream`.
    """
    try:
        earlier, draft = upto(transcript, bubble)
    except UserError as error:
        yield _resting(transcript, str(error))
        return
    yield from _answer(assistant_source, draft if shown is None else edited(draft, shown), earlier, **options)


def _paced(pieces: Iterable[str]) -> Iterator[str]:
    """The text so far, at most every `REDRAW_SECONDS`; what came since is in the next one."""
    text = ""
    drawn = float("-inf")
    for piece in pieces:
        text += piece
        if text.strip() and time.monotonic() - drawn >= REDRAW_SECONDS:
            yield text
            drawn = time.monotonic()


def _working(transcript: Transcript, exchange: Exchange, composer: Any) -> View:
    """An answer is being written; the composer may hold the next message already."""
    whole = (*transcript, exchange)
    return whole, to_bubbles(whole), composer


def _resting(transcript: Transcript = (), problem: str | None = None, draft: Draft | None = None) -> View:
    """Nothing is being written: the composer takes the next message, or the draft that could not be answered."""
    buttons = {"submit_btn": True, "stop_btn": False}
    if draft is None:
        composer = gr.MultimodalTextbox(**buttons)  # without a value, what was typed meanwhile stays
    else:
        composer = gr.MultimodalTextbox(value={"text": draft.text, "files": list(draft.files)}, **buttons)
    return transcript, to_bubbles(transcript, problem), composer


def _settle(transcript: Transcript) -> View:
    """After a stop: what was written stays; a message that got no word yet goes back into the composer."""
    if not transcript or transcript[-1].receipt:
        return _resting(transcript)
    *earlier, last = transcript
    if not last.answer:
        return _resting(tuple(earlier), draft=last.draft)
    return _resting((*earlier, replace(last, receipt=STOPPED)))


def _introduction(assistant_source: Callable[[], Assistant]) -> tuple[str, Any]:
    """The head of the page and what an empty chat says; loads the model if nothing did yet."""
    try:
        info = assistant_source().describe()
    except MmchatError as error:
        return f"## {TITLE}\n{as_problem(str(error))}", gr.skip()
    size = sum(info.parameters.values()) / 1e6
    facts = [as_typed(info.name), f"{size:.1f} million parameters", f"context {info.context} tokens"]
    if info.tokens_per_image is not None:
        facts.append(f"a picture {info.tokens_per_image}")
    if info.tokens_per_second is not None:
        facts.append(f"a second of voice {info.tokens_per_second:.0f}")
    return f"## {TITLE}\n<small>{' · '.join(facts)}</small>", gr.Chatbot(
        placeholder=info.knows, examples=[{"text": text} for text in EXAMPLES]
    )
