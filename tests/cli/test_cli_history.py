"""Conversations that are kept, gone on with, shown and written out: whole transcripts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fake_assistant import FakeAssistant, Run, Screen

from mmchat.cli import keeping
from mmchat.errors import FailureError, HistoryError
from mmchat.history.store import Feedback, History
from mmchat.inputs.messages import Message

WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "history.db"


def texts(kept: Path, conversation: int = 1) -> list[str]:
    history = History(kept)
    found = [f"{message.role}: {message.text}" for message in history.messages(conversation)]
    history.close()
    return found


def asked(run: Run, fake: FakeAssistant, question: str, answer: str, *options: str) -> Screen:
    fake.says(answer)
    return run("ask", *options, question)


# Keeping


def test_questions_and_answers_are_kept(run: Run, fake: FakeAssistant, kept: Path) -> None:
    asked(run, fake, "what is a cat?", "an animal")
    asked(run, fake, "and a dog?", "one too", "--no-stream")
    assert texts(kept, 1) == ["user: what is a cat?", "assistant: an animal"]
    assert texts(kept, 2) == ["user: and a dog?", "assistant: one too"]


def test_a_question_goes_on_with_what_was_said_last(run: Run, fake: FakeAssistant, kept: Path, cat: Path) -> None:
    """With its pictures; the receipt names what is new alone."""
    fake.says("a cat", "on sofas", "yes")
    run("ask", "--image", str(cat), "what is this?")
    screen = run("ask", "--continue", "where is it found?")
    assert screen == Screen(0, "on sofas\n", "")
    assert [message.role for message in fake.asked[-1].conversation] == ["user", "assistant", "user"]
    assert fake.asked[-1].conversation[0] == fake.asked[0].conversation[0]
    run("ask", "-c", "sure?")
    assert texts(kept) == [
        "user: what is this?", "assistant: a cat", "user: where is it found?", "assistant: on sofas", "user: sure?",
        "assistant: yes",
    ]  # fmt: skip


def test_a_system_prompt_goes_on_with_its_conversation(
    run: Run, fake: FakeAssistant, kept: Path, tmp_path: Path
) -> None:
    """Until another is given, and it is shown and written out with the conversation."""
    asked(run, fake, "what is a cat?", "animal", "--system", "One word.")
    asked(run, fake, "and a dog?", "animal", "--continue")
    asked(run, fake, "and a rose?", "a plant", "--continue", "--system", "Two words.")
    fake.says("plant")
    run("chat", "--continue", typed=["and a tree?"])
    told = [each.system for each in fake.asked]
    assert told == ["One word.", "One word.", "Two words.", "Two words."]
    assert {message.role for message in fake.asked[-1].conversation} == {"user", "assistant"}
    assert texts(kept)[0] == "system: Two words."
    assert run("history", "show", "1").out.splitlines()[4:7] == ["**System**", "", "Two words."]
    run("history", "export", "rows", "1", "--form", "jsonl")
    (row,) = (tmp_path / "rows" / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    assert [message["role"] for message in json.loads(row)["messages"]][:3] == ["system", "user", "assistant"]
    asked(run, fake, "what is a cat?", "an animal")
    assert texts(kept, 2) == ["user: what is a cat?", "assistant: an animal"]


def test_nothing_is_kept_where_that_is_asked_for(run: Run, fake: FakeAssistant, kept: Path) -> None:
    asked(run, fake, "a secret", "hush", "--no-history")
    assert not kept.exists()
    asked(run, fake, "no secret", "good")
    asked(run, fake, "but this", "hush", "--continue", "--no-history")
    assert len(fake.asked[-1].conversation) == 3
    assert texts(kept) == ["user: no secret", "assistant: good"]


def test_there_is_nothing_to_go_on_with(run: Run, fake: FakeAssistant) -> None:
    screen = asked(run, fake, "and?", "and what", "--continue")
    assert screen == Screen(2, "", "mmchat: there is no conversation to go on with\n")


def test_a_history_that_cannot_be_opened_costs_no_answer(run: Run, fake: FakeAssistant, kept: Path) -> None:
    kept.parent.mkdir()
    kept.write_bytes(b"no database" * 100)
    screen = asked(run, fake, "what is a cat?", "an animal")
    assert (screen.code, screen.out) == (0, "an animal\n")
    assert screen.err.startswith(f"nothing is kept: {kept}: the history cannot be opened: ")
    assert asked(run, fake, "and?", "and what", "--continue").code == 2


def test_a_history_that_fails_in_the_middle_costs_no_answer(
    run: Run, fake: FakeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise HistoryError("the disk is full")

    monkeypatch.setattr(History, "write", full)
    screen = asked(run, fake, "what is a cat?", "an animal with whiskers")
    assert (screen.code, screen.out) == (0, "an animal with whiskers\n")
    assert screen.err == "nothing more is kept: the disk is full\n", "said once"


# A conversation at the prompt


def test_a_chat_is_kept_as_it_was_left(run: Run, fake: FakeAssistant, kept: Path) -> None:
    """What was taken back is gone; after /clear there is another conversation."""
    fake.says("one", "two", "three")
    run("chat", piped="first\nsecond\n/undo\n/clear\nthird\n")
    assert texts(kept, 1) == ["user: first", "assistant: one"]
    assert texts(kept, 2) == ["user: third", "assistant: three"]


def test_a_chat_goes_on_with_the_latest(run: Run, fake: FakeAssistant, kept: Path) -> None:
    fake.says("one", "two", "three")
    run("chat", piped="first\n")
    screen = run("chat", "--continue", piped="second\n/undo\n/undo\nthird\n")
    assert screen.out == "two\nthree\n"
    assert screen.err.splitlines()[0] == 'going on behind 2 messages, the last: "one"'
    assert [message.text for message in fake.asked[1].conversation] == ["first", "one", "second"]
    assert texts(kept) == ["user: third", "assistant: three"]


def test_a_message_that_failed_is_kept_once(run: Run, fake: FakeAssistant, kept: Path) -> None:
    """It is sent again by an empty line."""
    fake.says("before", ["half", FailureError("broken")], KeyboardInterrupt(), "whole")
    run("chat", piped="earlier\nquestion\n\n\n")
    assert texts(kept) == ["user: earlier", "assistant: before", "user: question", "assistant: whole"]


def test_an_answer_that_was_stopped_is_kept_so_far(run: Run, fake: FakeAssistant, kept: Path) -> None:
    fake.says(["half", KeyboardInterrupt()], "next")
    run("chat", piped="question\nmore\n")
    assert texts(kept) == ["user: question", "assistant: half", "user: more", "assistant: next"]


# What was kept


@pytest.fixture
def two(run: Run, fake: FakeAssistant, cat: Path, question: Path) -> None:
    fake.says("a cat", "an animal")
    run("ask", "--image", str(cat), "--audio", str(question), "what is this?")
    run("ask", "what is a dog?")


@pytest.mark.usefixtures("two")
def test_the_list(run: Run) -> None:
    screen = run("history", "list")
    assert (screen.code, screen.err) == (0, "")
    assert re.fullmatch(
        rf"    2  {WHEN}  2 messages    what is a dog\?\n    1  {WHEN}  2 messages    what is this\?\n", screen.out
    )
    assert run("history", "search", "DOG").out.count("\n") == 1
    assert run("history", "search", "horse") == Screen(0, "", "no conversation has 'horse' in it\n")


def test_an_empty_list(run: Run) -> None:
    assert run("history", "list") == Screen(0, "", "nothing was kept yet\n")


@pytest.mark.usefixtures("two")
def test_a_conversation_is_shown(run: Run) -> None:
    screen = run("history", "show", "1")
    assert (screen.code, screen.err) == (0, "")
    assert re.fullmatch(
        rf"# what is this\?\n\n{WHEN}\n\n\*\*You\*\*\n\n\[cat\.png\]\n\n\[question\.wav, 2\.1 s\]\n\nwhat is this\?\n\n"
        r"\*\*fake\*\*\n\na cat\n",
        screen.out,
    )
    assert run("history", "show", "9") == Screen(2, "", "mmchat: there is no conversation 9\n")


@pytest.mark.usefixtures("two")
def test_a_title_can_be_changed(run: Run) -> None:
    assert run("history", "rename", "1", "my cat").code == 0
    assert run("history", "list").out.splitlines()[1].endswith("my cat")


@pytest.mark.usefixtures("two")
def test_conversations_are_deleted(run: Run) -> None:
    assert run("history", "delete") == Screen(2, "", "mmchat: say which conversations: their numbers, or --all\n")
    assert run("history", "delete", "1", "9") == Screen(2, "", "mmchat: there is no conversation 9\n")
    assert run("history", "list").out.count("\n") == 2, "all of them or none"
    assert run("history", "delete", "1", "1") == Screen(0, "", "1 deleted\n")
    assert run("history", "delete", "--all") == Screen(0, "", "1 deleted\n")
    assert run("history", "list").out == ""


@pytest.mark.usefixtures("two")
def test_an_export_for_training_reads_back_to_the_pixel(run: Run, fake: FakeAssistant, tmp_path: Path) -> None:
    assert run("history", "export", "rows", "--all", "--form", "jsonl") == Screen(0, "", "2 written to rows\n")
    lines = (tmp_path / "rows" / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    messages = [Message.from_dict(value, tmp_path / "rows") for value in json.loads(lines[1])["messages"]]
    first = fake.asked[0].conversation[0]
    assert [part.digest for part in messages[0].media] == [part.digest for part in first.media]
    assert (messages[0].text, messages[1]) == ("what is this?", Message.assistant("a cat"))


@pytest.mark.usefixtures("two")
def test_an_export_for_people_links_its_media(run: Run, tmp_path: Path) -> None:
    assert run("history", "export", "out", "1").code == 0
    text = (tmp_path / "out" / "1.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((.+?)\)", text)
    assert len(linked) == 2
    assert all((tmp_path / "out" / name).is_file() for name in linked)
    assert run("history", "export", "out", "2") == Screen(2, "", "mmchat: out is in use: name another folder\n")


@pytest.mark.usefixtures("two")
def test_what_was_thought_of_answers_is_exported_to_train_on(run: Run, kept: Path, tmp_path: Path) -> None:
    """A correction is a pair, so is each answer that was not chosen; a thumb is a rating."""
    history = History(kept)
    question, answer = history.turns(1)
    thought = Feedback(liked=False, correction="a dog", rejected=("a cow",))
    history.judge(1, answer.id, thought)
    history.close()
    assert run("history", "export", "liked", "--all", "--feedback") == Screen(0, "", "2 written to liked\n")

    def rows(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / "liked" / name).read_text(encoding="utf-8").splitlines()]

    def text(message: dict[str, Any]) -> str:
        return Message.from_dict(message, tmp_path / "liked").text

    pairs, (rating,) = rows("preferences.jsonl"), rows("ratings.jsonl")
    told = [tuple(text(row[side][0]) for side in ("chosen", "rejected")) for row in pairs]
    assert told == [("a dog", "a cow"), ("a dog", answer.message.text)]
    for row in (*pairs, rating):
        (prompt,) = (Message.from_dict(message, tmp_path / "liked") for message in row["prompt"])
        assert [part.digest for part in prompt.media] == [part.digest for part in question.message.media]
    assert (text(rating["completion"][0]), rating["label"]) == (answer.message.text, False)


@pytest.mark.usefixtures("two")
def test_what_visitors_of_a_shared_page_said_is_exported_when_it_is_asked_for(
    run: Run, kept: Path, tmp_path: Path
) -> None:
    history = History(kept)
    history.add(history.begin("visitor"), Message.user("what is a hammer for?"))
    history.close()
    assert run("history", "export", "mine", "--all").err == "2 written to mine\n"
    assert run("history", "export", "out", "--everyone").err == "3 written to out\n"
    assert "what is a hammer for?" in (tmp_path / "out" / "3.md").read_text(encoding="utf-8")
    assert run("history", "export", "more", "--everyone", "--all") == Screen(
        2, "", "mmchat: --everyone is all there is: leave the numbers and --all out\n"
    )


def test_only_what_is_wanted_is_opened(kept: Path) -> None:
    assert keeping.Keeper.opened(keep=False, go_on=False, system=None) == (keeping.Keeper(), [])
    assert not kept.exists()
