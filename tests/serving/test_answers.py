"""Messages answered on the page: what is shown, what is kept, and what becomes of mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmchat.assistant import ReplyStream
from mmchat.errors import BusyError, ContextError, FusionError, HistoryError, OptionError
from mmchat.history.store import Feedback, History
from mmchat.inputs.messages import Message
from mmchat.serving import answers
from mmchat.serving.backing import Backing, Models
from mmchat.serving.settings import Settings
from mmchat.serving.shelf import Shelf
from mmchat.serving.transcript import Chat, Draft, Exchange, to_bubbles
from mmchat.serving.words import CHINESE
from tests.serving.fakes import FakeAssistant

RECEIPT = "first token 0.2 s · 3 tokens, 20 a second"


@pytest.fixture
def assistant() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "history.db")
    yield history
    history.close()


@pytest.fixture
def shelf(history: History, tmp_path: Path) -> Shelf:
    return Shelf(history, "", tmp_path / "shown")


@pytest.fixture
def nowhere(tmp_path: Path) -> Shelf:
    """Where nothing is kept."""
    return Shelf(None, "", tmp_path / "shown")


def last(views: Iterator[answers.View]) -> answers.View:
    return list(views)[-1]


def asked(
    assistant: FakeAssistant, shelf: Shelf, text: str, chat: Chat | None = None, settings: Settings | None = None
) -> Chat:
    views = answers.ask(lambda: assistant, Draft(text), chat or Chat(), settings or Settings(), shelf)  # type: ignore[arg-type, return-value]
    return last(views)[0]


def done(*texts: str) -> Chat:
    return Chat(tuple(Exchange(Draft(text), Message.user(text), "yes", "first token 0.2 s") for text in texts))


def kept(history: History, number: int = 1) -> list[str]:
    return [f"{turn.message.role}: {turn.message.text}" for turn in history.turns(number)]


# Answers


def test_an_answer_is_kept_while_it_is_written(assistant: FakeAssistant, history: History, shelf: Shelf) -> None:
    seen = []
    for chat, *_ in answers.ask(lambda: assistant, Draft("hello"), Chat(), Settings(), shelf):  # type: ignore[arg-type, return-value]
        if chat.number is not None:
            seen.append(kept(history))
    assert seen[:2] == [["user: hello"], ["user: hello", "assistant: message 1:"]]
    assert seen[-1] == ["user: hello", "assistant: message 1: hello"]
    turn = history.turns(1)[-1]
    assert turn.reply is not None
    assert turn.reply.model == "fake"
    assert chat.transcript[-1].receipt == RECEIPT


def test_settings_go_to_the_assistant_and_stay_with_the_conversation(
    assistant: FakeAssistant, history: History, shelf: Shelf
) -> None:
    settings = Settings(
        system=" be brief ", temperature=0.5, top_p=0.9, repetition_penalty=1.2, seed=7, max_new_tokens=9
    )
    asked(assistant, shelf, "hello", settings=settings)
    given = {"temperature": 0.5, "top_p": 0.9, "repetition_penalty": 1.2, "seed": 7, "max_new_tokens": 9}
    assert assistant.options == [{**given, "system": "be brief"}]
    assert shelf.open(1)[1] == settings
    history.set_settings(1, {"temperature": "hot"})
    assert shelf.open(1)[1] == Settings(), "of another release"


def test_an_error_keeps_the_message_in_the_composer_and_nothing_in_the_history(
    assistant: FakeAssistant, history: History, shelf: Shelf
) -> None:
    chat = asked(assistant, shelf, "hello")
    assistant.problem = ContextError("it needs 300 tokens")
    failed, bubbles, composer, *_ = last(
        answers.ask(lambda: assistant, Draft("and?"), chat, Settings(), shelf)  # type: ignore[arg-type, return-value]
    )
    assert failed == replace(chat, failed=Draft("and?"))
    assert "it needs 300 tokens" in bubbles[-1]["content"][0]["text"]
    assert composer.constructor_args["value"] == {"text": "and?", "files": []}
    assert kept(history) == ["user: hello", "assistant: message 1: hello"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ContextError("it needs 300 tokens"), "⚠ 内容太长,请缩短消息或开始新对话:it needs 300 tokens"),
        (BusyError("64 wait"), "⚠ 请稍等再试:64 wait"),
        (FusionError("9 places, 8 features"), "⚠ 出了问题:9 places, 8 features"),
        (KeyError("nobody foresaw"), "⚠ 我们这边出了问题,详情见服务器日志"),
    ],
)
def test_an_error_says_in_the_language_of_the_page_what_to_do(
    assistant: FakeAssistant, shelf: Shelf, error: Exception, told: str
) -> None:
    assistant.problem = error
    views = answers.ask(lambda: assistant, Draft("hello"), Chat(phrases=CHINESE), Settings(), shelf)  # type: ignore[arg-type, return-value]
    assert last(views)[1][-1]["content"] == [{"type": "text", "text": told}]


def test_what_fails_leaves_nothing_behind(assistant: FakeAssistant, history: History, shelf: Shelf) -> None:
    """The message goes back into the composer, and is asked again in the same conversation."""
    assistant.problem = KeyError("nobody foresaw")
    chat = asked(assistant, shelf, "hello")
    assert chat == Chat(number=1, failed=Draft("hello"))
    assert shelf.list() == []
    assistant.problem = None
    asked(assistant, shelf, "hello", chat)
    assert kept(history) == ["user: hello", "assistant: message 1: hello"]


def test_a_history_that_cannot_be_written_costs_no_answer(
    assistant: FakeAssistant, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise HistoryError("the disk is full")

    monkeypatch.setattr(history, "write", full)
    notes: list[str] = []
    shelf = Shelf(history, "", tmp_path, notes.append)
    chat = asked(assistant, shelf, "hello")
    assert chat.transcript[-1].answer == "message 1: hello"
    assert notes == ["nothing more is kept: the disk is full"]
    monkeypatch.setattr(history, "begin_answer", full)
    for text in ("and?", "then?"):  # each message has a shelf of its own
        chat = asked(assistant, Shelf(history, "", tmp_path, notes.append), text, chat)
    assert [each.answer for each in chat.transcript[1:]] == ["message 3: and?", "message 5: then?"]


def test_without_a_history_nothing_is_kept_and_all_is_answered(assistant: FakeAssistant, nowhere: Shelf) -> None:
    chat = asked(assistant, nowhere, "hello")
    assert (chat.number, chat.transcript[-1].answer) == (None, "message 1: hello")
    assert nowhere.list() == []
    with pytest.raises(HistoryError, match=r"there is no conversation 1$"):
        nowhere.open(1)


# Stopping


def settled(chat: Chat, shelf: Shelf) -> tuple[Chat, Any]:
    settled, _, composer, *_ = answers.settle(chat, shelf)
    return settled, composer.constructor_args.get("value")


def test_a_stopped_answer_stays_as_far_as_it_came(nowhere: Shelf) -> None:
    begun = Exchange(Draft("hello"), Message.user("hello"), "message")
    assert settled(Chat((begun,)), nowhere) == (Chat((replace(begun, receipt="stopped"),)), None)


def test_a_message_stopped_before_the_first_word_goes_back_into_the_composer(
    assistant: FakeAssistant, history: History, shelf: Shelf
) -> None:
    before = asked(assistant, shelf, "hello")
    views = answers.ask(lambda: assistant, Draft("and?", ()), before, Settings(), shelf)  # type: ignore[arg-type, return-value]
    (waiting, *_), _ = next(views), views.close()  # type: ignore[attr-defined, func-returns-value]
    assert kept(history)[-1] == "user: and?"
    assert settled(waiting, shelf) == (before, {"text": "and?", "files": []})
    assert kept(history)[-1] == "assistant: message 1: hello"


def test_stopping_what_has_ended_changes_nothing(nowhere: Shelf) -> None:
    assert settled(done("hello"), nowhere) == (done("hello"), None)
    assert settled(Chat(), nowhere) == (Chat(), None)


# Asking again


def again(
    assistant: FakeAssistant, bubble: Any, chat: Chat, shelf: Shelf, shown: str | None = None, **settings: Any
) -> answers.View:
    return last(answers.ask_again(lambda: assistant, bubble, chat, Settings(**settings), shelf, shown))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("bubble", [2, 3, (2, 0)])
def test_an_answer_can_be_had_again(assistant: FakeAssistant, nowhere: Shelf, bubble: Any) -> None:
    """As asked for below the answer or its question; another one, neither the best again nor the seed's."""
    chat, *_ = again(assistant, bubble, done("one", "two"), nowhere, seed=7)
    assert [(each.draft.text, each.answer) for each in chat.transcript] == [("one", "yes"), ("two", "message 3: two")]
    assert (assistant.options[0]["temperature"], assistant.options[0]["seed"]) == (0.7, None)
    again(assistant, bubble, done("one", "two"), nowhere, temperature=1.5)
    assert assistant.options[1]["temperature"] == 1.5


def test_an_edited_message_goes_on_from_there(assistant: FakeAssistant, history: History, shelf: Shelf) -> None:
    """What was shown as typed is typed again: `*` stands on the page as an entity. What came behind it is forgotten."""
    chat = asked(assistant, shelf, "two", asked(assistant, shelf, "one"))
    chat, *_ = again(assistant, 0, chat, shelf, "three &#42; 2 &lt; 7")
    assert [each.answer for each in chat.transcript] == ["message 1: three * 2 < 7"]
    assert kept(history) == ["user: three * 2 < 7", "assistant: message 1: three * 2 < 7"]


def test_settings_stay_as_they_are_when_an_answer_is_had_again(assistant: FakeAssistant, shelf: Shelf) -> None:
    """That it is drawn by other ones is for this once."""
    chat = asked(assistant, shelf, "hello", settings=Settings(seed=7))
    again(assistant, 1, chat, shelf, seed=7)
    assert shelf.open(1)[1] == Settings(seed=7)


def test_an_answer_is_had_again_when_the_uploads_are_gone(
    assistant: FakeAssistant, history: History, shelf: Shelf, tmp_path: Path
) -> None:
    """Uploads are deleted after a day; once the question was cut before its files were found to be missing."""
    picture = tmp_path / "cat.png"
    Image.new("RGB", (8, 8)).save(picture)
    views = answers.ask(lambda: assistant, Draft("this?", (str(picture),)), Chat(), Settings(), shelf)  # type: ignore[arg-type, return-value]
    chat = last(views)[0]
    picture.unlink()
    chat, *_ = again(assistant, 0, chat, shelf, "what is this?")
    assert chat.transcript[0].answer == "message 1: what is this?"
    assert len(assistant.asked[-1][0].media) == 1
    assert kept(history) == ["user: what is this?", "assistant: message 1: what is this?"]


@pytest.mark.parametrize("shown", [None, "three"])
def test_an_error_of_another_answer_costs_nothing(
    assistant: FakeAssistant, history: History, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, shown: str | None
) -> None:
    """Not the old answer, nor what was said since; other words stand in the composer."""
    chat = asked(assistant, shelf, "two", asked(assistant, shelf, "one"))
    before = kept(history)

    def stream(*_: Any, **__: Any) -> ReplyStream:
        raise ContextError("it needs 300 tokens")

    monkeypatch.setattr(assistant, "stream", stream)
    failed, bubbles, composer, *_ = again(assistant, 0, chat, shelf, shown)
    assert failed.transcript == chat.transcript
    assert "it needs 300 tokens" in bubbles[-1]["content"][0]["text"]
    words = None if shown is None else {"text": shown, "files": []}
    assert composer.constructor_args.get("value") == words
    assert kept(history) == before


def test_stopping_another_answer_before_its_first_word_takes_the_message_back(
    assistant: FakeAssistant, history: History, shelf: Shelf
) -> None:
    before = asked(assistant, shelf, "one")
    chat = asked(assistant, shelf, "two", before)
    views = answers.ask_again(lambda: assistant, 2, chat, Settings(), shelf)  # type: ignore[arg-type, return-value]
    (waiting, *_), _ = next(views), views.close()  # type: ignore[attr-defined, func-returns-value]
    assert settled(waiting, shelf) == (before, {"text": "two", "files": []})
    assert kept(history) == ["user: one", "assistant: message 1: one"]


def test_what_an_error_answered_is_what_is_asked_again(
    assistant: FakeAssistant, history: History, shelf: Shelf
) -> None:
    """Gradio's button asks the last message of the person again: once that was the one before the error's."""
    chat = asked(assistant, shelf, "one")
    assistant.problem = ContextError("it needs 300 tokens")
    views = answers.ask(lambda: assistant, Draft("two"), chat, Settings(), shelf)  # type: ignore[arg-type, return-value]
    failed, bubbles, *_ = last(views)
    assert bubbles[2] == {"role": "user", "content": [{"type": "text", "text": "two"}]}
    taken, _, composer, *_ = answers.take_back(2, failed, shelf)
    assert (taken, composer.constructor_args["value"]) == (chat, {"text": "two", "files": []})
    assistant.problem = None
    assert [each.answer for each in again(assistant, 3, failed, shelf)[0].transcript] == [
        "message 1: one",
        "message 3: two",
    ]
    assert kept(history)[2:] == ["user: two", "assistant: message 3: two"]


def test_a_message_that_is_gone_cannot_be_asked_again(assistant: FakeAssistant, nowhere: Shelf) -> None:
    chat, bubbles, *_ = again(assistant, 9, done("one", "two"), nowhere)
    assert chat == done("one", "two")
    assert "this message is no longer there" in bubbles[-1]["content"][0]["text"]
    assert assistant.asked == []


def test_a_message_can_be_taken_back(assistant: FakeAssistant, history: History, shelf: Shelf) -> None:
    before = asked(assistant, shelf, "one")
    chat, _, composer, *_ = answers.take_back(3, asked(assistant, shelf, "two", before), shelf)
    assert chat == before
    assert composer.constructor_args["value"] == {"text": "two", "files": []}
    assert kept(history) == ["user: one", "assistant: message 1: one"]


# Several answers, and what is thought of them


class Seeded(FakeAssistant):
    """Answers with its seed."""

    def stream(self, conversation: list[Message], **options: Any) -> ReplyStream:
        stream = super().stream([*conversation[:-1], Message.user(f"seed {options['seed']}")], **options)
        self.asked[-1] = conversation
        return stream


def test_one_of_several_answers_is_chosen(history: History, shelf: Shelf) -> None:
    """Until then the first is the answer; the others are remembered as those that it was better than."""
    assistant = Seeded()
    chat = asked(assistant, shelf, "hello", settings=Settings(seed=7, choices=3))
    texts = tuple(f"message 1: seed {seed}" for seed in (7, 8, 9))
    assert (chat.transcript[0].choices, chat.transcript[0].answer) == (texts, texts[0])
    shown = [part["text"] for part in to_bubbles(chat)[1]["content"]]
    numbered = [f'<small class="choice">{number}</small>\n\n{text}' for number, text in enumerate(texts, start=1)]
    assert shown == [*numbered, f"<small>{RECEIPT}</small>"]
    assert shelf.open(1)[0].transcript[0].choices == texts, "a reload loses none"
    chat, bubbles, *_ = answers.choose(1, 1, chat, shelf)
    assert (chat.transcript[0].choices, chat.transcript[0].answer) == ((), texts[1])
    assert [part["text"] for part in bubbles[1]["content"]] == [texts[1], f"<small>{RECEIPT}</small>"]
    assert answers.choose(1, 0, chat, shelf)[0] == chat, "once"
    turn = history.turns(1)[-1]
    assert (turn.message.text, turn.feedback) == (texts[1], Feedback(rejected=(texts[0], texts[2])))
    assert shelf.open(1)[0].transcript[0].receipt == RECEIPT, "that of the answers, which were made together"
    asked(assistant, shelf, "and?", chat, Settings(seed=7))
    assert [message.text for message in assistant.asked[-1]] == ["hello", texts[1], "and?"]


def test_what_is_thought_of_an_answer_is_kept(assistant: FakeAssistant, history: History, shelf: Shelf) -> None:
    chat = asked(assistant, shelf, "hello")
    chat = answers.judge(1, lambda old: replace(old, liked=False), chat, shelf)
    chat = answers.judge((1, 0), lambda old: replace(old, correction="good day"), chat, shelf)
    thought = Feedback(liked=False, correction="good day")
    assert chat.transcript[0].feedback == history.turns(1)[-1].feedback == thought


# Models


def test_a_model_is_loaded_when_it_is_first_chosen_and_kept() -> None:
    loaded: list[str] = []

    def load(name: str) -> Any:
        loaded.append(name)
        return f"assistant {name}"

    models = Models(load, ["tiny", "large", "tiny"])
    assert models.names == ("tiny", "large")
    given: list[Any] = [models(name) for name in ("", "tiny", "large", "")]
    assert given == ["assistant tiny", "assistant tiny", "assistant large", "assistant tiny"]
    assert loaded == ["tiny", "large"]
    with pytest.raises(OptionError, match="this page has no model huge: choose one of its own"):
        models("huge")


def test_a_conversation_with_a_model_that_is_gone_goes_on_with_the_first() -> None:
    backing = Backing(lambda name: name, ("tiny", "large"))  # type: ignore[arg-type, return-value]
    assert backing.settings(Settings(model="large", seed=3)) == Settings(model="large", seed=3)
    assert backing.settings(Settings(model="huge", seed=3)) == Settings(model="tiny", seed=3)


# Conversations


def test_a_conversation_is_opened_as_it_was(
    assistant: FakeAssistant, shelf: Shelf, history: History, tmp_path: Path
) -> None:
    """With its pictures and clips, receipts and thumbs; media are shown from files that hold nothing else."""
    picture, clip = tmp_path / "cat.jpg", tmp_path / "question.wav"
    Image.new("RGB", (8, 8), "orange").save(picture)
    soundfile.write(clip, np.sin(np.arange(16_000) / 20), 16_000)
    draft = Draft("this?", (str(picture), str(clip)))
    chat, *_ = last(answers.ask(lambda: assistant, draft, Chat(), Settings(seed=1), shelf))  # type: ignore[arg-type, return-value]
    chat = answers.judge(1, lambda old: replace(old, liked=True), chat, shelf)
    opened, settings = shelf.open(1)
    (exchange,), (before,) = opened.transcript, chat.transcript
    assert settings == Settings(seed=1)
    assert [Path(file).name for file in exchange.draft.files] == ["cat.png", "question.wav"]
    assert exchange.draft.text == "this?"
    shown = [part.digest for part in exchange.draft.to_message().media]
    assert shown == [part.digest for part in exchange.question.media] == [part.digest for part in before.question.media]
    assert before.settings == settings
    assert replace(exchange, draft=before.draft, settings=settings) == before
    assert opened.number == chat.number


def test_an_answer_that_was_killed_is_shown_as_far_as_it_came(history: History, shelf: Shelf) -> None:
    number = history.begin()
    history.set_system(number, "be brief")
    history.add(number, Message.user("hello"))
    history.write(history.begin_answer(number), "good d")
    history.add(number, Message.user("and?"))
    history.begin_answer(number)
    opened, settings = shelf.open(number)
    shown = [(each.draft.text, each.answer, each.receipt) for each in opened.transcript]
    assert shown == [("hello", "good d", "stopped"), ("and?", "", "stopped")]
    assert settings.system == "be brief"


def test_what_is_somebody_elses_is_not_there(assistant: FakeAssistant, history: History, tmp_path: Path) -> None:
    one, two = (Shelf(history, owner, tmp_path) for owner in ("one", "two"))
    number = asked(assistant, one, "hello").number
    assert number is not None
    assert [each.title for each in one.list()] == ["hello"]
    assert two.list() == []
    for act in (two.open, two.delete, lambda each: two.rename(each, "mine")):
        with pytest.raises(HistoryError, match=f"there is no conversation {number}$"):
            act(number)
    one.rename(number, "greeting")
    assert [each.title for each in one.list("GREET")] == ["greeting"]
    one.delete(number)
    assert one.list() == []


def test_a_conversation_that_went_on_in_another_tab_is_neither_added_to_nor_cut(
    assistant: FakeAssistant, history: History, shelf: Shelf
) -> None:
    """What was typed stays; after a reload it goes on from what is there."""
    first = asked(assistant, shelf, "hello")
    second = asked(assistant, shelf, "and?", shelf.open(1)[0])
    retried = last(answers.ask_again(lambda: assistant, 2, second, Settings(), shelf))[0]  # type: ignore[arg-type, return-value]
    assert not second.ends_with(history.newest(1)), "as long as before, and another answer"
    second = retried
    there = kept(history)
    for chat, bubbles, *_, number in (
        last(answers.ask(lambda: assistant, Draft("what?"), first, Settings(), shelf)),  # type: ignore[arg-type, return-value]
        last(answers.ask_again(lambda: assistant, 0, first, Settings(), shelf)),  # type: ignore[arg-type, return-value]
    ):
        assert (chat.transcript, number) == (first.transcript, 1)
        assert "changed in another tab or program" in bubbles[-1]["content"][0]["text"]
    with pytest.raises(HistoryError, match="changed in another tab or program: copy what you typed, and reload"):
        answers.take_back(0, first, shelf)
    assert kept(history) == there
    asked(assistant, shelf, "then?", second)
    assert kept(history)[-2:] == ["user: then?", "assistant: message 5: then?"]
