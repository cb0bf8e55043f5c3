"""Conversations that were kept: what comes back is what was said, and nothing that was acknowledged is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmchat.errors import HistoryError
from mmchat.generation.reply import MediaReceipt, Reply, Timing, Usage
from mmchat.history import schema
from mmchat.history.store import Feedback, History, Turn, default_path
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart, load_image
from mmchat.inputs.messages import Message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    history = History(path)
    yield history
    history.close()


def picture(seed: int = 0) -> ImagePart:
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 47, 3), dtype=np.uint8)
    return ImagePart(Image.fromarray(pixels), f"picture{seed}.png", "first frame of 3")


def clip() -> AudioPart:
    return AudioPart(np.random.default_rng(1).normal(0, 0.1, 3000).astype(np.float32), "voice.wav")


def said(history: History, *texts: str) -> int:
    conversation = history.begin()
    for index, text in enumerate(texts):
        history.add(conversation, Message.user(text) if index % 2 == 0 else Message.assistant(text))
    return conversation


REPLY = Reply(
    text="a cat",
    media=(MediaReceipt("image", "cat.png", 16),),
    usage=Usage(20, 2),
    timing=Timing(0.5, 0.1, 0.2),
    finish_reason="stop",
    seed=7,
    model="toy",
)


# What was said


def test_messages_come_back_to_the_pixel_and_the_sample(history: History, path: Path) -> None:
    messages = [
        Message.system("be brief"),
        Message.user("what is this? \u2028 ' \" %_", picture(), clip(), "and this?", picture(1), picture()),
        Message.assistant("two pictures"),
        Message.user(clip()),
    ]
    conversation = history.begin()
    for message in messages:
        history.add(conversation, message)
    assert history.messages(conversation) == messages
    history.close()
    assert History(path).messages(conversation) == messages


def test_an_answer_grows_and_is_whole_in_the_end(history: History) -> None:
    conversation = said(history, "what is this?")
    answer = history.begin_answer(conversation)
    assert [turn.message.text for turn in history.turns(conversation)] == ["what is this?"], "not a word of it yet"
    history.write(answer, "a c")
    assert [turn.reply for turn in history.turns(conversation)] == [None, None]
    history.write(answer, "a cat", REPLY)
    turn = history.turns(conversation)[-1]
    assert turn.message == Message.assistant("a cat")
    assert turn.reply == REPLY


def test_media_is_kept_once_and_no_longer_than_it_is_needed(history: History, path: Path) -> None:
    def kept() -> int:
        with sqlite3.connect(path) as database:
            (count,) = database.execute("SELECT count(*) FROM media").fetchone()
        database.close()
        return int(count)

    first, second = history.begin(), history.begin()
    history.add(first, Message.user("one", picture(), picture(), clip()))
    history.add(second, Message.user("the same", picture()))
    assert kept() == 2
    history.delete(first)
    assert kept() == 1
    assert history.messages(second) == [Message.user("the same", picture())]
    history.delete(second)
    assert kept() == 0


def test_where_a_photograph_was_taken_is_not_kept(history: History, path: Path, tmp_path: Path) -> None:
    photograph = Image.new("RGB", (20, 20), "red")
    exif = Image.Exif()
    exif[0x010E] = "taken at the secret place"
    photograph.save(tmp_path / "photo.jpg", exif=exif)
    assert b"secret place" in (tmp_path / "photo.jpg").read_bytes()
    part = load_image(tmp_path / "photo.jpg")
    part.image.info["comment"] = "secret place"
    history.add(history.begin(), Message.user(part))
    history.close()
    assert b"secret place" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


# Lists


def test_the_list_has_the_latest_first_and_titles_of_first_messages(history: History) -> None:
    history.begin()  # nothing was said yet: not shown
    first = said(history, "what  is\na cat?", "an animal")
    second = history.begin()
    history.add(second, Message.user(picture(), clip()))
    third = said(history, "x" * 100)
    history.add(first, Message.user("and a dog?"))
    found = history.conversations()
    assert [each.id for each in found] == [first, third, second]
    assert [each.title for each in found] == ["what is a cat?", "x" * 59 + "…", "picture0.png, voice.wav"]
    assert [each.messages for each in found] == [3, 1, 1]
    assert history.latest() == first


def test_search_finds_titles_and_messages(history: History) -> None:
    cat = said(history, "what is this?", "a Cat, 100% sure")
    dog = said(history, "a dog_house?", "yes")
    assert [each.id for each in history.conversations(search="cat")] == [cat]
    assert [each.id for each in history.conversations(search="100%")] == [cat]
    assert [each.id for each in history.conversations(search="g_h")] == [dog]
    assert [each.id for each in history.conversations(search="_")] == [dog]
    assert history.conversations(search="\\") == []
    history.rename(dog, " kennels ")
    assert [each.title for each in history.conversations(search="KENNEL")] == ["kennels"]


def test_a_message_can_be_asked_again(history: History) -> None:
    conversation = said(history, "one", "two", "three", "four")
    third = history.turns(conversation)[2].id
    history.cut(conversation, third)
    history.add(conversation, Message.user("other"))
    assert [message.text for message in history.messages(conversation)] == ["one", "two", "other"]


def test_an_answer_without_a_word_is_none(history: History) -> None:
    """As when the program ended before the first word was there."""
    conversation = said(history, "what is this?")
    answer = history.begin_answer(conversation)
    history.write(answer, " ")
    assert history.messages(conversation) == [Message.user("what is this?")]


def test_the_newest_message_is_the_last_that_says_something(history: History) -> None:
    number = history.begin("one")
    assert history.newest(number, "one") == 0
    assert history.newest(number) is history.newest(number + 1) is None, "somebody else's, or not there"
    question = history.add(number, Message.user(picture()))
    answer = history.begin_answer(number)
    assert history.newest(number, "one") == question
    history.write(answer, " ")
    assert history.newest(number, "one") == question == history.turns(number, "one")[-1].id
    history.write(answer, "a dot")
    assert history.newest(number, "one") == answer == history.turns(number, "one")[-1].id


def test_what_is_thought_of_an_answer_is_kept_with_it(history: History) -> None:
    conversation = said(history, "what is this?")
    answer = history.begin_answer(conversation)
    history.write(answer, "a cat", REPLY)
    assert history.turns(conversation)[-1].feedback == Feedback()
    thought = Feedback(liked=False, correction="a dog", rejected=("a cow", "a hen"))
    history.judge(conversation, answer, thought)
    assert history.turns(conversation)[-1].feedback == thought
    history.judge(conversation, answer, Feedback(liked=True))
    assert history.turns(conversation)[-1].feedback == Feedback(liked=True)
    question = history.turns(conversation)[0].id
    with pytest.raises(HistoryError, match=f"conversation {conversation} has no answer {question}$"):
        history.judge(conversation, question, thought)
    with pytest.raises(HistoryError, match=f"there is no conversation {conversation}$"):
        history.judge(conversation, answer, thought, owner="somebody else")


def test_settings_are_kept_with_a_conversation(history: History) -> None:
    conversation = said(history, "what is this?")
    assert history.settings(conversation) == {}
    history.set_settings(conversation, {"temperature": 0.5, "system": "be brief"})
    assert history.settings(conversation) == {"temperature": 0.5, "system": "be brief"}
    assert history.messages(conversation)[0] == Message.system("be brief")
    history.set_system(conversation, "be long")
    assert history.settings(conversation) == {"temperature": 0.5, "system": "be long"}
    assert history.settings(said(history, "hello")) == {}
    for each in (history.settings, lambda number, owner: history.set_settings(number, {}, owner)):
        with pytest.raises(HistoryError, match=f"there is no conversation {conversation}$"):
            each(conversation, "somebody else")


def test_a_file_of_the_release_before_is_brought_to_this_one(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(schema._SCHEMA)
        database.execute("INSERT INTO conversation (owner, title, created, changed) VALUES ('', 'old', 1, 1)")
        row = (1, "assistant", '[{"type": "text", "text": "a cat"}]', "a cat", 1)
        database.execute("INSERT INTO message (conversation, role, content, text, created) VALUES (?, ?, ?, ?, ?)", row)
        database.execute("PRAGMA user_version = 1")
        database.commit()
    for _ in range(2):
        history = History(path)
        assert history.turns(1) == [Turn(1, Message.assistant("a cat"), None, Feedback())]
        assert history.settings(1) == {}
        history.close()


def test_nobody_sees_what_is_somebody_elses(history: History) -> None:
    mine, yours = history.begin("me"), history.begin("you")
    history.add(mine, Message.user("mine"))
    history.add(yours, Message.user("yours"))
    assert [each.title for each in history.conversations("me")] == ["mine"]
    assert history.latest("you") == yours
    assert history.conversations("me", search="yours") == []
    for forbidden in (
        lambda: history.turns(yours, "me"),
        lambda: history.rename(yours, "x", "me"),
        lambda: history.delete(yours, "me"),
        lambda: history.cut(yours, 0, "me"),
    ):
        with pytest.raises(HistoryError, match=f"^there is no conversation {yours}$"):
            forbidden()
    assert history.messages(yours, "you") == [Message.user("yours")]


def test_what_is_not_there_is_said(history: History) -> None:
    with pytest.raises(HistoryError, match=r"^there is no conversation 9$"):
        history.add(9, Message.user("x"))
    with pytest.raises(HistoryError, match=r"^there is no conversation 9$"):
        history.begin_answer(9)
    with pytest.raises(HistoryError, match=r"^there is no message 9$"):
        history.write(9, "x")
    with pytest.raises(HistoryError, match=r"^a title needs a character$"):
        history.rename(said(history, "x"), " ")


# The file


def test_the_file_is_the_persons_own(history: History, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0
    assert default_path().name == "history.db"


def test_a_file_of_a_later_release_is_left_alone(path: Path) -> None:
    History(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(HistoryError, match="is the history of a later release: upgrade mmchat, or move it away"):
        History(path)


def test_a_file_that_is_no_history_is_said(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(HistoryError, match="the history cannot be opened: "):
        History(path)
    with pytest.raises(HistoryError, match="the history cannot be opened: "):
        History(path / "below")


def test_threads_and_programs_write_at_once(history: History, path: Path) -> None:
    """Each with a conversation of its own; every message is there in its order."""
    other = History(path)

    def talk(mine: History, conversation: int) -> None:
        for number in range(30):
            mine.add(conversation, Message.user(str(number)))

    conversations = [history.begin() for _ in range(4)]
    threads = [
        threading.Thread(target=talk, args=(mine, conversation))
        for mine, conversation in zip((history, history, other, other), conversations, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for conversation in conversations:
        assert [message.text for message in other.messages(conversation)] == [str(number) for number in range(30)]
    other.close()


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from mmchat.history.store import History
from mmchat.inputs.messages import Message

def talk(path, pipe):
    history = History(path)
    conversation = history.begin()
    for question in range(10**6):
        history.add(conversation, Message.user(f"question {question}"))
        os.write(pipe, f"sent {question}\\n".encode())
        answer = history.begin_answer(conversation)
        for words in range(1, 20):
            history.write(answer, "word " * words)
            os.write(pipe, f"shown {question} {words}\\n".encode())

random.seed(0)
told = 0
for attempt in range(50):
    path = Path(sys.argv[1]) / f"{attempt}.db"
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            talk(path, writing)
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(random.uniform(0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        lines = [line.split() for line in pipe if line.endswith("\\n")]
    history = History(path)
    texts = [message.text for message in history.messages(history.latest())] if history.latest() else []
    sent = [int(line[1]) for line in lines if line[0] == "sent"]
    shown = {int(line[1]): int(line[2]) for line in lines if line[0] == "shown"}
    assert texts[0::2][: len(sent)] == [f"question {number}" for number in sent], (attempt, texts[0::2], sent)
    answers = texts[1::2]
    for number, words in shown.items():
        assert answers[number].split()[:words] == ["word"] * words, (attempt, number, words)
    history.close()
    told += len(lines)
print(told)
"""


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Fifty times, at random moments."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 500, "it was killed before anything was said"
