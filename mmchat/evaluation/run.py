"""Ask an assistant the questions of a dataset, as they are and blindfolded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from mmchat.assistant import Assistant
from mmchat.errors import UserError
from mmchat.evaluation.guesses import guesses
from mmchat.evaluation.metrics import is_accepted, is_exact, is_refusal, plain
from mmchat.evaluation.scores import Evaluation, Outcome
from mmchat.evaluation.tasks import Question, read_questions
from mmchat.evaluation.variants import Conversation, Pool, media_pool, typed, with_other_media, without_media


def evaluate(
    assistant: Assistant,
    dataset: Path,
    *,
    file: str = "dialogues.jsonl",
    kinds: Sequence[str] = (),
    limit: int | None = None,
    blind: bool = True,
    n_guesses: int = 0,
    show_wrong: int = 10,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Ask every question of a file and compute the figures by kind and by style.

    Args:
        assistant: whom to ask, greedily; earlier turns of its own are given as they are written.
        dataset: one split of a dataset folder.
        file: its JSONL file.
        kinds: only these kinds of question; empty for all.
        limit: at most so many rows of each kind, spread over the file.
        blind: ask again without the media, and with other media of the dataset.
        n_guesses: look at so many ways to go on where the reference names the answer; 0 for none.
        show_wrong: how many wrong answers are kept.
        progress: told after every row how many are done, of how many.

    Raises:
        DatasetError: the file is missing or malformed, or has no such rows.
        UserError: a picture or clip cannot be read, or the model cannot take a conversation; says in which line.
    """
    questions = read_questions(dataset, file, kinds, limit)
    examiner = _Examiner(assistant, questions, blind, n_guesses)
    outcomes = []
    for done, question in enumerate(questions, 1):
        try:
            outcomes.append(examiner.examine(question))
        except UserError as error:
            raise type(error)(f"{dataset / file} line {question.row}: {error}") from error
        progress(done, len(questions))
    return Evaluation.of(assistant.name, str(dataset / file), outcomes, show_wrong)


class _Examiner:
    """Asks about one question all that there is to ask; the same conversation is asked once."""

    def __init__(self, assistant: Assistant, questions: Sequence[Question], blind: bool, n_guesses: int) -> None:
        self._assistant = assistant
        self._n_guesses = n_guesses
        self._pool: Pool | None = media_pool(questions) if blind else None
        self._answers: dict[Conversation, str] = {}

    def examine(self, question: Question) -> Outcome:
        answer = self._answer(question.messages)
        accepted = is_accepted(answer, question.accept)
        nats, tokens = self._assistant.log_likelihood(question.messages, question.reference)
        removed, exchanged = self._blind(question)
        typed_right, agrees = self._typed(question, answer, accepted)
        return Outcome(
            question=question,
            answer=answer,
            exact=is_exact(answer, question.accept),
            accepted=accepted,
            refused=is_refusal(answer),
            majority=is_accepted(question.commonest, question.accept),
            nats=nats,
            tokens=tokens,
            removed=removed,
            exchanged=exchanged,
            typed=typed_right,
            agrees=agrees,
            guessed=self._guessed(question),
        )

    def _blind(self, question: Question) -> tuple[bool | None, bool | None]:
        """Right without the media, and with other media."""
        if self._pool is None:
            return None, None
        rng = Random(question.row)
        blinded = (without_media(question), with_other_media(question, self._pool, rng))
        removed, exchanged = (None if each is None else self._is_right(each, question) for each in blinded)
        return removed, exchanged

    def _typed(self, question: Question, answer: str, accepted: bool) -> tuple[bool | None, bool | None]:
        """Right when typed, and in agreement with the spoken one."""
        twin = typed(question)
        if twin is None:
            return None, None
        other = self._answer(twin)
        right = is_accepted(other, question.accept)
        return right, (accepted and right) or plain(answer) == plain(other)

    def _guessed(self, question: Question) -> bool | None:
        found = guesses(self._assistant, question, self._n_guesses) if self._n_guesses else None
        return None if found is None else any(is_accepted(guess, question.accept) for guess in found)

    def _is_right(self, conversation: Conversation, question: Question) -> bool:
        return is_accepted(self._answer(conversation), question.accept)

    def _answer(self, conversation: Conversation) -> str:
        if conversation not in self._answers:
            self._answers[conversation] = self._assistant.reply(conversation).text
        return self._answers[conversation]
