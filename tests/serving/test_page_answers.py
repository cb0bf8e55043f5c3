"""The page over the bundled model answers programs as the command line does."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file

from mmchat import Assistant
from mmchat.serving import web
from mmchat.serving.backing import Backing
from mmchat.serving.page import build_page
from mmchat.serving.web import Door

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    assistant = Assistant.load()

    async def start() -> tuple[gr.Blocks, str]:
        page = build_page(Backing(lambda _: assistant))
        return page, web.serve(page, Door(port=0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        page, address = asyncio.run(start())
        client = Client(address, verbose=False)
        yield client
        client.close()
        page.close(verbose=False)


def asked(*arguments: str) -> str:
    """The answer of `mmchat ask`."""
    command = [sys.executable, "-m", "mmchat", "ask", "--json", "--no-history", "--no-server", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    text: str = json.loads(done.stdout)["answer"]
    return text


@pytest.mark.parametrize(
    ("text", "files", "options"),
    [
        ("where does a penguin live?", [], {}),
        ("tell me about a whale", [], {"temperature": 1.2, "seed": 7, "top_p": 0.9}),
        ("what is this?", ["cat.png"], {"temperature": 1.5, "seed": 3, "repetition_penalty": 1.1}),
        ("", ["sailboat.png", "question.wav"], {"max_new_tokens": 4}),
    ],
    ids=["text", "seed", "picture", "voice"],
)
def test_a_program_gets_the_answer_of_the_command_line(
    client: Client, text: str, files: list[str], options: dict[str, Any]
) -> None:
    client.reset_session()
    message = {"text": text, "files": [handle_file(str(ASSETS / file)) for file in files]}
    chat, *_ = client.predict(message, **options, api_name="/ask")
    flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    media = [word for file in files for word in ("--audio" if file.endswith(".wav") else "--image", str(ASSETS / file))]
    assert chat[-1]["content"][0]["text"].strip() == asked(*flags, *media, *([text] if text else [])).strip()
