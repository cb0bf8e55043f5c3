"""Asking, with an assistant that names the colour and the pitch it is shown, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from mmchat.assistant import Assistant
from mmchat.errors import ContextError, ImageError
from mmchat.evaluation.run import evaluate
from mmchat.evaluation.scores import Evaluation, Share
from tests.evaluation.watcher import COLOURS, Watcher, clip, name_of, picture, row, words, write


def run(dataset: Path, assistant: Watcher, **given: Any) -> Evaluation:
    return evaluate(cast(Assistant, assistant), dataset, **given)


def test_right_answers_are_counted_by_kind(dataset: Path) -> None:
    write(
        dataset,
        row("name", [picture("red")], "It is red.", accept=["red"]),
        row("name", [picture("green")], "It is green.", accept=["emerald", "green"]),
        row("name", [picture("blue")], "It is yellow.", accept=["yellow"]),
        row("echo", "say yes", "yes", accept=["yes"]),
        row("echo", "say no", "perhaps", accept=["perhaps"]),
    )
    result = run(dataset, Watcher())
    assert [(score.name, score.exact, score.accepted) for score in result.kinds] == [
        ("echo", Share(1, 2), Share(1, 2)),
        ("name", Share(1, 3), Share(2, 3)),
    ]
    assert (result.total.accepted, result.total.asked) == (Share(3, 5), 5)
    assert (result.model, result.dataset) == ("watcher", str(dataset / "dialogues.jsonl"))


def test_earlier_turns_are_given_as_they_are_written(dataset: Path) -> None:
    write(dataset, row("follow-up", [picture("red"), words("?")], "Blue.", "sure?", "no", accept=["red"]))
    watcher = Watcher()
    assert run(dataset, watcher, blind=False).total.accepted == Share(1, 1)
    (asked,) = watcher.asked
    assert [message.role for message in asked] == ["user", "assistant", "user"]
    assert [message.text for message in asked] == ["?", "Blue.", "sure?"]


def test_blind_baselines_ask_without_the_media_and_with_other_media(dataset: Path) -> None:
    """The watcher says the last word where it sees nothing, which is right for one of the two."""
    write(
        dataset,
        row("name", [picture("red"), words("say red")], "red", accept=["red"]),
        row("name", [picture("blue"), words("what")], "blue", accept=["blue"]),
    )
    watcher = Watcher()
    result = run(dataset, watcher).total
    assert (result.accepted, result.removed, result.exchanged) == (Share(2, 2), Share(1, 2), Share(0, 2))
    shown = [[name_of(part) for part in asked[0].media] for asked in watcher.asked]
    assert shown == [["red"], [], ["blue"], ["blue"], [], ["red"]]


def test_a_blind_model_scores_the_same_without_its_media(dataset: Path) -> None:
    rows = [row("name", [picture(name), words("?")], name, accept=[name]) for name in ("red", "green", "blue", "red")]
    write(dataset, *rows)
    result = run(dataset, Watcher(always="red")).total
    assert (result.accepted, result.removed, result.exchanged, result.majority) == (Share(2, 4),) * 4


def test_no_blind_asks_nothing_more(dataset: Path) -> None:
    write(dataset, *(row("name", [picture(name), words("?")], name, accept=[name]) for name in COLOURS))
    watcher = Watcher()
    result = run(dataset, watcher, blind=False).total
    assert (result.removed, result.exchanged, result.majority) == (None, None, Share(1, 3))
    assert len(watcher.asked) == 3


def test_the_majority_is_that_of_each_kind(dataset: Path) -> None:
    write(
        dataset,
        *(row("is_it", f"{number}?", word, accept=[word]) for number, word in enumerate(("no", "yes", "Yes"))),
        row("count", "how many?", "two", accept=["two"]),
    )
    result = run(dataset, Watcher())
    assert [(score.name, score.majority) for score in result.kinds] == [("count", Share(1, 1)), ("is_it", Share(2, 3))]


def test_the_same_conversation_is_asked_once(dataset: Path) -> None:
    """Two rows of the same words, with and without a picture: the picture taken away, they are the same question."""
    write(
        dataset,
        row("echo", "say yes", "yes", accept=["yes"]),
        row("echo", "say yes", "no", accept=["no"]),
        row("name", [picture("red"), words("say yes")], "red", accept=["red"]),
    )
    watcher = Watcher()
    result = run(dataset, watcher)
    assert len(watcher.asked) == 2
    assert [score.accepted for score in result.kinds] == [Share(1, 2), Share(1, 1)]


def test_a_spoken_question_is_compared_with_the_same_one_typed(dataset: Path) -> None:
    """Both right; the same words and both wrong; heard wrongly."""
    write(
        dataset,
        row("say", [clip("high")], "high", accept=["high", "HIGH!"], transcripts=["say HIGH!"]),
        row("say", [clip("low")], "deep", accept=["deep"], transcripts=["say low"]),
        row("say", [clip("low")], "yes", accept=["yes"], transcripts=["say yes"]),
        row("say", [clip("low")], "low", accept=["low"]),
    )
    result = run(dataset, Watcher(), blind=False).total
    assert (result.accepted, result.typed, result.agrees) == (Share(2, 4), Share(2, 3), Share(2, 3))


@pytest.mark.parametrize(("n", "share"), [(1, Share(0, 2)), (2, Share(1, 2)), (3, Share(2, 2))])
def test_one_right_guess_is_enough(dataset: Path, n: int, share: Share) -> None:
    write(dataset, *(row("name", [picture(name)], f"It is {name}.", accept=[name]) for name in ("red", "blue")))
    watcher = Watcher(guesses=["green", "a red one", "blue"])
    assert run(dataset, watcher, n_guesses=n).total.guessed == share
    assert watcher.begun == [("It is", n)] * 2


def test_guesses_are_made_only_when_asked_for(dataset: Path) -> None:
    write(dataset, row("echo", "say yes", "yes", accept=["yes"]))
    watcher = Watcher()
    assert run(dataset, watcher).total.guessed is None
    assert watcher.begun == []


def test_wrong_answers_are_kept_with_their_line(dataset: Path) -> None:
    write(
        dataset,
        row("echo", "say yes", "yes", accept=["yes"]),
        "",
        row("echo", "say no", "well perhaps", accept=["perhaps", "maybe"]),
    )
    (wrong,) = run(dataset, Watcher()).wrong
    assert wrong.to_dict() == {"row": 3, "kind": "echo", "answer": "no", "accept": ["perhaps", "maybe"]}
    assert (wrong.nats, wrong.tokens) == (-2.0, 2)
    assert run(dataset, Watcher(), show_wrong=0).wrong == ()


def test_the_same_dataset_gives_the_same_figures(dataset: Path) -> None:
    write(dataset, *(row("name", [picture(name), words("?")], name, accept=[name]) for name in COLOURS))
    first, second = Watcher(), Watcher()
    assert run(dataset, first, limit=2) == run(dataset, second, limit=2)
    assert first.asked == second.asked


def test_another_file_can_be_asked_from(dataset: Path) -> None:
    write(dataset, row("echo", "say yes", "yes", accept=["yes"]), file="reserved.jsonl")
    assert run(dataset, Watcher(), file="reserved.jsonl").dataset == str(dataset / "reserved.jsonl")


def test_progress_counts_up_to_the_end(dataset: Path) -> None:
    write(dataset, *(row("echo", f"say {word}", word, accept=[word]) for word in ("yes", "no", "so")))
    calls: list[tuple[int, int]] = []
    run(dataset, Watcher(), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_missing_media_are_found_before_anything_is_asked(dataset: Path) -> None:
    write(dataset, row("a", "say yes", "yes", accept=["yes"]), row("b", [picture("gone")], "yes", accept=["yes"]))
    watcher = Watcher()
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        run(dataset, watcher)
    assert watcher.asked == []


def test_a_conversation_that_the_model_cannot_take_is_named(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long(*_: Any) -> tuple[float, int]:
        raise ContextError("the conversation needs 300 tokens")

    write(dataset, "", row("echo", "say yes", "yes", accept=["yes"]))
    monkeypatch.setattr(Watcher, "log_likelihood", too_long)
    with pytest.raises(ContextError) as caught:
        run(dataset, Watcher())
    assert str(caught.value) == f"{dataset / 'dialogues.jsonl'} line 2: the conversation needs 300 tokens"
