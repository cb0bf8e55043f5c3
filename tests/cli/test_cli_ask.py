"""`mmchat ask`: whole transcripts against the fake assistant."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from fake_assistant import FakeAssistant, Run, Screen
from PIL import Image

from mmchat.cli import console, main, piped
from mmchat.errors import CheckpointError, ContextError


def test_answer_goes_to_stdout_and_receipt_to_stderr(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("This is a cat.")
    assert run("ask", "--image", "cat.png", "describe this") == Screen(0, "This is a cat.\n", "cat.png → 9 tokens\n")
    assert fake.asked[0].last == ["cat.png", "describe this"]


def test_media_keep_the_order_of_the_command_line(fake: FakeAssistant, run: Run, cat: Path, question: Path) -> None:
    for name in ("a.png", "c.png"):
        cat.with_name(name).write_bytes(cat.read_bytes())
    question.rename(question.with_name("b.wav"))
    fake.says("Yes.", "Yes.", "Yes.")
    run("ask", "-i", "a.png", "-a", "b.wav", "-i", "c.png", "same?")
    run("ask", "same?", "--audio=b.wav", "-ic.png", "--image", "a.png")
    run("ask", "-i", "c.png", "same?", "-i", "a.png", "-a", "b.wav")
    assert [asked.last for asked in fake.asked] == [
        ["a.png", "b.wav", "c.png", "same?"],
        ["b.wav", "c.png", "a.png", "same?"],
        ["c.png", "a.png", "b.wav", "same?"],
    ]


def test_spoken_question_needs_no_text(fake: FakeAssistant, run: Run, cat: Path, question: Path) -> None:
    fake.says("It is a cat.")
    screen = run("ask", "-i", "cat.png", "-a", "question.wav")
    assert screen == Screen(0, "It is a cat.\n", "cat.png → 9 tokens\nquestion.wav 2.1 s → 13 tokens\n")


def test_note_about_a_picture_is_shown(fake: FakeAssistant, run: Run, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (20 * index, 0, 0)) for index in range(12)]
    frames[0].save(tmp_path / "cat.gif", save_all=True, append_images=frames[1:])
    fake.says("A cat.")
    assert run("ask", "-i", "cat.gif") == Screen(0, "A cat.\n", "cat.gif → 9 tokens (first frame of 12)\n")


@pytest.mark.parametrize("arguments", [("ask",), ("ask", "-")])
def test_text_comes_from_standard_input(fake: FakeAssistant, run: Run, arguments: tuple[str, ...]) -> None:
    fake.says("Hello.")
    assert run(*arguments, piped="hello\n") == Screen(0, "Hello.\n", "")
    assert fake.asked[0].last == ["hello"]


def test_piped_text_joins_the_picture(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("A cat.")
    run("ask", "-i", "cat.png", piped="what is this?\n")
    assert fake.asked[0].last == ["cat.png", "what is this?"]


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_piped_bytes_that_are_no_text_are_refused(fake: FakeAssistant, run: Run, errors: str) -> None:
    picture = io.TextIOWrapper(io.BytesIO(b"\x89PNG\xff\xfe"), encoding="utf-8", errors=errors)
    line = "mmchat: standard input is not text; give a picture with --image, a clip with --audio\n"
    assert run("ask", piped=picture) == Screen(2, "", line)
    assert fake.loaded == []


def test_given_text_leaves_standard_input_alone(fake: FakeAssistant, run: Run) -> None:
    fake.says("Hello.")
    run("ask", "hello", piped="goodbye")
    assert fake.asked[0].last == ["hello"]


def test_pipe_that_nobody_writes_to_does_not_hang(
    fake: FakeAssistant, run: Run, cat: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service manager may leave standard input an open pipe for ever; with a picture there is enough to answer."""
    monkeypatch.setattr(piped, "PATIENCE", 0.01)
    reader, writer = os.pipe()
    fake.says("A cat.")
    with os.fdopen(reader) as left_open:
        monkeypatch.setattr(sys, "stdin", left_open)
        code = main(["ask", "-i", str(cat)])
    os.close(writer)
    assert Screen(code, *capsys.readouterr()) == Screen(
        0,
        "A cat.\n",
        "nothing came on standard input within 0.01 s: answering without it\ncat.png → 9 tokens\n",
    )


@pytest.mark.parametrize("arguments", [("ask",), ("ask", "-"), ("ask", ""), ("ask", "  ", "--system", "Be brief.")])
def test_nothing_to_answer_is_one_line(fake: FakeAssistant, run: Run, arguments: tuple[str, ...]) -> None:
    line = "mmchat: there is nothing to answer: give a text, --image FILE or --audio FILE\n"
    assert run(*arguments) == Screen(2, "", line)
    assert run(*arguments, typed=["never read"]) == Screen(2, "", line)
    assert fake.loaded == []


def test_bad_media_answers_before_the_model_loads(fake: FakeAssistant, run: Run, tmp_path: Path) -> None:
    assert run("ask", "-i", "nope.png", "hi") == Screen(2, "", "mmchat: nope.png: no such file\n")
    (tmp_path / "text.wav").write_text("not a sound")
    screen = run("ask", "-a", "text.wav")
    assert (screen.code, screen.out, screen.err.count("\n")) == (2, "", 1)
    assert screen.err.startswith("mmchat: text.wav: ")
    assert fake.loaded == []


def test_file_name_cannot_break_the_line(fake: FakeAssistant, run: Run) -> None:
    assert run("ask", "-i", "a\nb\x1b[31m.png") == Screen(2, "", "mmchat: a\\nb\\x1b[31m.png: no such file\n")


def test_every_option_reaches_the_assistant(fake: FakeAssistant, run: Run) -> None:
    fake.says("Hi.")
    run(
        *("ask", "hi", "--system", "Be brief.", "--temperature", "0.7", "--top-p", "0.9", "--top-k", "40"),
        *(
            "--repetition-penalty",
            "1.2",
            "--seed",
            "0",
            "--max-new-tokens",
            "12",
            "--prompt-lookup",
            "4",
            "--stop",
            "END",
            "--stop",
            ".",
        ),
        *("--model", "folder", "--device", "cpu"),
    )
    assert fake.loaded == [("folder", "cpu", "auto", None, None)]
    assert fake.asked[0].system == "Be brief."
    assert fake.asked[0].options == {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "repetition_penalty": 1.2,
        "seed": 0,
        "max_new_tokens": 12,
        "prompt_lookup": 4,
        "stop": ("END", "."),
    }


def test_options_that_were_not_given_are_left_to_the_assistant(fake: FakeAssistant, run: Run) -> None:
    fake.says("Hi.", "Hi.")
    run("ask", "hi")
    run("ask", "hi", "--temperature", "0")
    assert [asked.options for asked in fake.asked] == [{}, {"temperature": 0.0}]


def test_option_out_of_range_answers_before_the_model_loads(fake: FakeAssistant, run: Run) -> None:
    screen = run("ask", "hi", "--temperature", "-1")
    assert (screen.code, screen.out) == (2, "")
    assert screen.err.startswith("mmchat: temperature: ")
    assert fake.loaded == []


def test_several_answers_are_numbered(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("A cat.", "A kitten.")
    screen = run("ask", "-i", "cat.png", "what?", "-n", "2", "--seed", "3", "--temperature", "1")
    assert screen == Screen(0, "1. A cat.\n2. A kitten.\n", "cat.png → 9 tokens\n")


def test_fresh_seed_is_reported(fake: FakeAssistant, run: Run) -> None:
    fake.says("Hi.", "Hi.", "Hi.")
    assert run("ask", "hi", "--temperature", "0.5").err == "seed 7\n"
    assert run("ask", "hi", "--temperature", "0.5", "--seed", "3").err == ""
    assert run("ask", "hi").err == ""


def test_answer_that_was_cut_is_said_to_be(fake: FakeAssistant, run: Run) -> None:
    fake.finish_reason = "length"
    fake.says("one two three", "one two three")
    assert run("ask", "count", "--max-new-tokens", "3").err == ("cut after 3 tokens: --max-new-tokens allows more\n")
    assert run("ask", "count", "--max-new-tokens", "4").err == "cut after 3 tokens: the context is full\n"


def test_json_is_one_object(fake: FakeAssistant, run: Run, cat: Path, question: Path) -> None:
    fake.says("A cat.")
    screen = run("ask", "--json", "-i", "cat.png", "-a", "question.wav", "--seed", "5")
    assert (screen.code, screen.err) == (0, "")
    assert json.loads(screen.out) == {
        "answer": "A cat.",
        "finish_reason": "stop",
        "media": [
            {"kind": "image", "name": "cat.png", "tokens": 9, "seconds": None, "note": None},
            {"kind": "audio", "name": "question.wav", "tokens": 13, "seconds": 2.1, "note": None},
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 2},
        "timing": {"load_s": 0.5, "first_token_s": 0.25, "total_s": 1.0},
        "model": "fake",
        "seed": 5,
    }


def test_json_with_a_number_holds_a_list(fake: FakeAssistant, run: Run) -> None:
    fake.says("One.", "Two.", "One.")
    several = json.loads(run("ask", "--json", "-n", "2", "count").out)
    assert (several["answer"], several["finish_reason"]) == (["One.", "Two."], ["stop", "stop"])
    assert several["usage"] == {"prompt_tokens": 20, "completion_tokens": 2}
    assert json.loads(run("ask", "--json", "-n", "1", "count").out)["answer"] == ["One."]


def test_no_stream_prints_the_same(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("This is a cat.", "This is a cat.")
    assert run("ask", "-i", "cat.png", "--no-stream") == run("ask", "-i", "cat.png")


def test_errors_of_the_assistant_are_one_line(fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.says(ContextError("600 tokens do not fit the context of 512"))
    assert run("ask", "hi") == Screen(2, "", "mmchat: 600 tokens do not fit the context of 512\n")

    def missing(*_: str | None) -> FakeAssistant:
        raise CheckpointError("nope is no model")

    monkeypatch.setattr(console, "load_assistant", missing)
    assert run("ask", "hi") == Screen(2, "", "mmchat: nope is no model\n")


def test_control_c_ends_the_line_and_the_command(fake: FakeAssistant, run: Run) -> None:
    fake.says(["Once upon", KeyboardInterrupt()])
    assert run("ask", "tell me a story") == Screen(130, "Once upon\n", "")


def test_unexpected_error_is_one_line_with_a_hint(
    fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.says(RuntimeError("out of\nmemory"), RuntimeError("out of memory"))
    hint = " (set MMCHAT_DEBUG=1 to see where)"
    assert run("ask", "hi") == Screen(1, "", f"mmchat: internal error: RuntimeError: out of\\nmemory{hint}\n")
    monkeypatch.setenv("MMCHAT_DEBUG", "1")
    screen = run("ask", "hi")
    assert screen.err.startswith("Traceback (most recent call last):\n")
    assert screen.err.endswith("\nmmchat: internal error: RuntimeError: out of memory\n")


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (("ask", "--imag", "cat.png"), "mmchat: no such option: --imag"),
        (("ask", "hi", "--seed", "soon"), "mmchat: invalid value for '--seed'"),
        (("ask", "hi", "-n", "0"), "mmchat: invalid value for '-n'"),
        (("ask", "--image"), "mmchat: option '--image' requires an argument"),
        (("ask", "two", "texts"), "mmchat: got unexpected extra argument"),
        (("aks", "hi"), "mmchat: no such command 'aks'"),
    ],
)
def test_wrong_usage_is_one_line(fake: FakeAssistant, run: Run, arguments: tuple[str, ...], start: str) -> None:
    screen = run(*arguments)
    assert (screen.code, screen.out, screen.err.count("\n")) == (2, "", 1)
    assert screen.err.startswith(start)
    assert "--help)" in screen.err


def test_answer_cannot_command_the_terminal(fake: FakeAssistant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "red\x1b[31m\ttwo\nlines"
    fake.says([answer], [answer])
    assert run("ask", "hi").out == f"{answer}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("ask", "hi").out == "red\\x1b[31m\ttwo\nlines\n"
