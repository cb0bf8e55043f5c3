"""`mmchat chat`: whole transcripts, as they stand on the screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_assistant import FakeAssistant, Run, Screen
from PIL import Image

from mmchat.cli.line import LineReader, named_file, named_files
from mmchat.cli.repl import COMMANDS
from mmchat.errors import ContextError
from mmchat.inputs.messages import Message

HELLO = "fake: /help lists the commands, Ctrl-D leaves\n"


def texts(messages: list[Message]) -> list[str]:
    return [f"{message.role}: {message.text}" for message in messages]


def test_conversation_at_a_terminal(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("This is a cat.", "It is grey.")
    screen = run("chat", typed=["/image cat.png", "what is this?", "", "what colour is it?"])
    assert screen.out == (
        "> /image cat.png\n> what is this?\nThis is a cat.\n> \n> what colour is it?\nIt is grey.\n> \n"
    )
    assert screen.err == (f"{HELLO}cat.png is attached: type a message, or Enter to send\ncat.png → 9 tokens\n")
    assert screen.code == 0
    assert texts(fake.asked[1].conversation) == [
        "user: what is this?",
        "assistant: This is a cat.",
        "user: what colour is it?",
    ]


def test_piped_conversation_prints_the_answers_alone(fake: FakeAssistant, run: Run) -> None:
    fake.says("Hello.", "Goodbye.")
    assert run("chat", piped="hello\n\n  goodbye  \n/exit\nnever read\n") == Screen(0, "Hello.\nGoodbye.\n", "")
    assert fake.asked[1].last == ["goodbye"]


def test_options_hold_for_every_answer(fake: FakeAssistant, run: Run) -> None:
    fake.says("One.", "Two.")
    run("chat", "--system", "Be brief.", "--seed", "0", "--stop", "END", "--model", "m", piped="a\nb\n")
    assert fake.loaded == [("m", "auto", "auto", None, None)]
    assert {asked.system for asked in fake.asked} == {"Be brief."}
    assert [asked.options for asked in fake.asked] == [{"seed": 0, "stop": ("END",)}] * 2


def test_several_attachments_keep_their_order(fake: FakeAssistant, run: Run, cat: Path, question: Path) -> None:
    fake.says("Both are cats.")
    run("chat", piped="/image cat.png\n/audio question.wav\n/image cat.png\nsame?\n")
    assert fake.asked[0].last == ["cat.png", "question.wav", "cat.png", "same?"]


def test_empty_line_sends_a_spoken_question(fake: FakeAssistant, run: Run, question: Path) -> None:
    fake.says("I hear you.")
    assert run("chat", piped="/audio question.wav\n\n") == Screen(
        0,
        "I hear you.\n",
        "question.wav is attached: type a message, or Enter to send\nquestion.wav 2.1 s → 13 tokens\n",
    )


def test_receipt_names_only_what_is_new(fake: FakeAssistant, run: Run, cat: Path, question: Path) -> None:
    fake.says("A cat.", "Grey.")
    err = run("chat", piped="/image cat.png\nwhat?\n/audio question.wav\n\n").err
    assert err.count("cat.png → 9 tokens") == 1
    assert err.endswith("question.wav 2.1 s → 13 tokens\n")


def test_undo_takes_back_what_waits_and_then_exchanges(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("A cat.", "Grey.", "A cat.")
    screen = run(
        "chat",
        piped="/image cat.png\nwhat is this?\nwhat colour?\n/image cat.png\n/undo\n/undo\n/undo\n/undo\nagain?\n",
    )
    assert screen.out == "A cat.\nGrey.\nA cat.\n"
    attached = "cat.png is attached: type a message, or Enter to send\n"
    assert screen.err == (
        f"{attached}cat.png → 9 tokens\n{attached}"
        "taken back: cat.png\n"
        'taken back: "what colour?"\n'
        'taken back: cat.png, "what is this?"\n'
        "mmchat: there is nothing to take back\n"
    )
    assert texts(fake.asked[2].conversation) == ["user: again?"]


def test_clear_begins_anew(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("A cat.", "I see nothing.")
    run("chat", piped="/image cat.png\nwhat?\n/image cat.png\n/clear\nwhat?\n")
    assert fake.asked[1].last == ["what?"]
    assert len(fake.asked[1].conversation) == 1


def test_failed_message_is_kept_and_sent_again_by_an_empty_line(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("Hi.", ContextError("it does not fit"), "A cat.")
    screen = run("chat", piped="hello\n/image cat.png\nwhat is this?\n\n")
    assert screen.out == "Hi.\nA cat.\n"
    assert "mmchat: it does not fit\n" in screen.err
    assert fake.asked[2].last == fake.asked[1].last == ["cat.png", "what is this?"]
    assert texts(fake.asked[2].conversation) == ["user: hello", "assistant: Hi.", "user: what is this?"]


def test_new_text_replaces_the_one_that_failed(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says(ContextError("it does not fit"), "Hi.")
    run("chat", piped="/image cat.png\ntoo long\nshort\n")
    assert fake.asked[1].last == ["cat.png", "short"]


def test_error_in_the_middle_of_an_answer_loses_nothing(fake: FakeAssistant, run: Run) -> None:
    fake.says(["Once", RuntimeError("out of memory")], "Once upon a time.")
    screen = run("chat", piped="a story\n\n")
    assert screen.out == "Once\nOnce upon a time.\n"
    hint = "(set MMCHAT_DEBUG=1 to see where)"
    assert screen.err == f"mmchat: internal error: RuntimeError: out of memory {hint}\n"
    assert texts(fake.asked[1].conversation) == ["user: a story"]


def test_control_c_stops_the_answer_and_not_the_program(fake: FakeAssistant, run: Run) -> None:
    fake.says(["Once", "upon", KeyboardInterrupt()], "A time.")
    screen = run("chat", typed=["a story", "go on"])
    assert screen.out == "> a story\nOnce upon\n> go on\nA time.\n> \n"
    assert screen.err == f"{HELLO}stopped\n"
    assert texts(fake.asked[1].conversation) == ["user: a story", "assistant: Once upon", "user: go on"]


@pytest.mark.parametrize("answer", [KeyboardInterrupt(), [KeyboardInterrupt()], [""]])
def test_message_without_an_answer_is_kept(fake: FakeAssistant, run: Run, answer: list[str]) -> None:
    fake.says(answer, "Here I am.")
    screen = run("chat", piped="are you there?\n\n")
    assert screen.out == "Here I am.\n"
    assert screen.err == "no answer; Enter sends the message again, /undo drops it\n"
    assert texts(fake.asked[1].conversation) == ["user: are you there?"]


def test_control_c_at_the_prompt_says_how_to_leave(fake: FakeAssistant, run: Run) -> None:
    screen = run("chat", typed=[KeyboardInterrupt(), "/exit"])
    assert screen == Screen(0, "> > /exit\n", f"{HELLO}\nCtrl-D or /exit leaves\n")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/imgae cat.png", "unknown command /imgae: /help lists the commands"),
        ("/image", "/image needs a file: /image FILE"),
        ("/image nope.png", "nope.png: no such file"),
        ("/audio .", ".: this is a folder; give a clip"),
        ("/undo twice", "/undo takes nothing behind it"),
        ("/undo", "there is nothing to take back"),
        ("/save talk.json", "there is nothing to save yet"),
    ],
)
def test_mistakes_are_one_line(fake: FakeAssistant, run: Run, line: str, complaint: str) -> None:
    assert run("chat", piped=f"{line}\n") == Screen(0, "", f"mmchat: {complaint}\n")


def test_failed_attachment_leaves_the_others(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("A cat.")
    run("chat", piped="/image cat.png\n/image nope.png\nwhat?\n")
    assert fake.asked[0].last == ["cat.png", "what?"]


def test_attachment_that_was_never_sent_is_mentioned(fake: FakeAssistant, run: Run, cat: Path) -> None:
    assert run("chat", piped="/image cat.png\n").err.endswith("not sent: cat.png\n")


def test_save_writes_messages_that_can_be_read_again(fake: FakeAssistant, run: Run, cat: Path) -> None:
    fake.says("A cat.")
    screen = run("chat", "--system", "Be brief.", piped="/image cat.png\nwhat?\n/save 'my talk.json'\n")
    assert screen.err.endswith("saved in my talk.json\n")
    saved = json.loads(cat.with_name("my talk.json").read_text(encoding="utf-8"))
    messages = [Message.from_dict(message) for message in saved["messages"]]
    assert texts(messages) == ["system: Be brief.", "user: what?", "assistant: A cat."]
    assert messages[1].media[0].digest == fake.asked[0].conversation[0].media[0].digest


def test_save_never_overwrites(fake: FakeAssistant, run: Run, tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text("precious")
    fake.says("Hi.")
    screen = run("chat", piped="hello\n/save talk.json\n/save nowhere/talk.json\n")
    assert screen.err == (
        "mmchat: talk.json exists already: save under another name\n"
        "mmchat: nowhere/talk.json: cannot be written: No such file or directory\n"
    )
    assert (tmp_path / "talk.json").read_text() == "precious"


def test_help_lists_every_command(fake: FakeAssistant, run: Run) -> None:
    assert run("chat", piped="/help\n") == Screen(
        0,
        "",
        "/image FILE  attach a picture to the next message\n"
        "/audio FILE  attach a clip; Enter alone sends it\n"
        "/undo        take back what waits to be sent, or else the last exchange\n"
        "/clear       begin a new conversation\n"
        "/save FILE   write the conversation as JSON\n"
        "/help        show this list\n"
        "/exit        leave; so does Ctrl-D\n"
        "anything else is sent, with what is attached; Ctrl-C stops an answer\n",
    )


def test_file_names_with_spaces_and_quotes(
    fake: FakeAssistant, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("my cat.png", "dog's.png", "a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    fake.says("Nice.")
    lines = ["my cat.png", '"my cat.png"', r"my\ cat.png", "dog's.png", "~/a.png", "a.png 'b.png'"]
    run("chat", piped="".join(f"/image {line}\n" for line in lines) + "\n")
    assert fake.asked[0].last == ["my cat.png"] * 3 + ["dog's.png", "a.png", "a.png", "b.png"]


def test_file_that_is_not_there_keeps_the_name_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_files("my cat.png") == [Path("my cat.png")]
    assert named_files("'my cat.png'") == [Path("my cat.png")]
    assert named_file("my talk.json") == Path("my talk.json")
    assert named_file("~nobody-here/talk.json") == Path("~nobody-here/talk.json")


def test_tab_completes_commands_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my pictures").mkdir()
    for name in ("my cat.png", "dog.png", ".hidden.png", "my pictures/cup.png"):
        (tmp_path / name).touch()
    reader = LineReader(COMMANDS)
    assert reader.completions("/i") == ["/image "]
    assert reader.completions("hello") == []
    assert reader.completions("/image my") == ["/image my cat.png", "/image my pictures/"]
    assert reader.completions("/image my pictures/") == ["/image my pictures/cup.png"]
    assert reader.completions("/image .h") == ["/image .hidden.png"]
    assert reader.completions("/image nowhere/") == []
    assert "/image .hidden.png" not in reader.completions("/image ")
