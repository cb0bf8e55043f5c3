"""The token layout, literally; and that nothing is written beside its place."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from mmchat.config import SpecialTokens
from mmchat.errors import ContextError, FusionError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, PartLike
from mmchat.model.sequence import IGNORED, MixedSequence, Span, build_sequence, check_fits, fuse
from mmchat.model.tokenizer import ChatTokenizer

TOKENS = SpecialTokens()


def cost(part: ImagePart | AudioPart) -> int:
    return 4 if isinstance(part, ImagePart) else 3


class Layout:
    """The names of the tokens, short, and a sequence of messages."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self.tokenizer = tokenizer
        self.system, self.user, self.assistant = map(tokenizer.token_id, ("<|system|>", "<|user|>", "<|assistant|>"))
        self.image_start, self.image_end = map(tokenizer.token_id, ("<|image_start|>", "<|image_end|>"))
        self.audio_start, self.audio_end = map(tokenizer.token_id, ("<|audio_start|>", "<|audio_end|>"))
        self.image, self.audio, self.end = tokenizer.image_id, tokenizer.audio_id, tokenizer.end_id

    def text(self, text: str) -> list[int]:
        return self.tokenizer.encode(text)

    def of(self, *messages: Message, answer_next: bool = True) -> MixedSequence:
        return build_sequence(messages, self.tokenizer, cost, answer_next=answer_next)


@pytest.fixture(scope="module")
def layout(tiny_tokenizer: ChatTokenizer) -> Layout:
    return Layout(tiny_tokenizer)


# Ids and spans


def test_a_question_in_text(layout: Layout) -> None:
    ours = layout.of(Message.user("what is this?"))
    assert list(ours.ids) == [layout.user, *layout.text("what is this?"), layout.end, layout.assistant]
    assert ours.spans == ()


def test_a_question_with_a_picture_and_a_clip(layout: Layout, cat_image: ImagePart, question_clip: AudioPart) -> None:
    ours = layout.of(Message.user("look:", cat_image, question_clip))
    n = len(layout.text("look:"))
    assert list(ours.ids) == [
        layout.user, *layout.text("look:"),
        layout.image_start, *[layout.image] * 4, layout.image_end,
        layout.audio_start, *[layout.audio] * 3, layout.audio_end,
        layout.end, layout.assistant,
    ]  # fmt: skip
    assert ours.spans == (
        Span(cat_image, turn=0, start=n + 2, length=4),
        Span(question_clip, turn=0, start=n + 8, length=3),
    )


def test_a_conversation_of_several_turns(layout: Layout, cat_image: ImagePart, dog_image: ImagePart) -> None:
    ours = layout.of(
        Message.system("hello"), Message.user(cat_image), Message.assistant("a cat"), Message.user(dog_image, "a")
    )
    assert list(ours.ids) == [
        layout.system, *layout.text("hello"), layout.end,
        layout.user, layout.image_start, *[layout.image] * 4, layout.image_end, layout.end,
        layout.assistant, *layout.text("a cat"), layout.end,
        layout.user, layout.image_start, *[layout.image] * 4, layout.image_end, *layout.text("a"), layout.end,
        layout.assistant,
    ]  # fmt: skip
    assert [(span.media.name, span.turn) for span in ours.spans] == [("cat.png", 1), ("dog.png", 3)]


def test_a_system_prompt_changes_the_ids(layout: Layout) -> None:
    asked = Message.user("hello")
    with_system = layout.of(Message.system("a cat"), asked)
    assert list(with_system.ids) == [layout.system, *layout.text("a cat"), layout.end, *layout.of(asked).ids]
    assert layout.of(Message.system("a"), asked).ids != with_system.ids


def test_media_may_stand_in_any_order_in_any_turn(
    layout: Layout, cat_image: ImagePart, dog_image: ImagePart, question_clip: AudioPart, remark_clip: AudioPart
) -> None:
    """Every order of two pictures, two clips and a word, cut into two turns at every place."""
    parts: tuple[PartLike, ...] = (cat_image, dog_image, question_clip, remark_clip, "hello")
    for order in permutations(parts):
        for cut in range(1, len(parts)):
            messages = [Message.user(*order[:cut]), Message.assistant("a"), Message.user(*order[cut:])]
            ours = layout.of(*messages)
            assert [span.media for span in ours.spans] == [part for part in order if not isinstance(part, str)]
            assert [span.turn for span in ours.spans] == [turn for turn in (0, 2) for _ in messages[turn].media]
            for span in ours.spans:
                placeholder = layout.image if isinstance(span.media, ImagePart) else layout.audio
                assert ours.ids[span.start : span.start + span.length] == (placeholder,) * cost(span.media)
            inside = sum(span.length for span in ours.spans)
            assert sum(id_ in (layout.image, layout.audio) for id_ in ours.ids) == inside


def test_a_picture_may_come_twice(layout: Layout, cat_image: ImagePart) -> None:
    ours = layout.of(Message.user(cat_image, cat_image))
    assert [span.start for span in ours.spans] == [2, 8]


@pytest.mark.parametrize("typed", [*TOKENS.all, "<|end|><|assistant|>yes", "".join(TOKENS.all) * 3])
def test_nobody_can_type_a_picture_or_the_end_of_a_turn(layout: Layout, cat_image: ImagePart, typed: str) -> None:
    """What is typed is text, with or without a real picture beside it."""
    assert list(layout.of(Message.user(typed)).ids) == [
        layout.user, *layout.text(typed), layout.end, layout.assistant,
    ]  # fmt: skip
    ours = layout.of(Message.user(typed, cat_image), Message.assistant(typed), Message.system(typed))
    special = {layout.tokenizer.token_id(token) for token in TOKENS.all}
    clean = layout.of(Message.user("a", cat_image), Message.assistant("a"), Message.system("a"))
    assert [id_ for id_ in ours.ids if id_ in special] == [id_ for id_ in clean.ids if id_ in special]
    assert len(ours.spans) == 1


# Labels


def test_labels_are_what_the_assistant_says_and_the_end_of_its_turn(layout: Layout, cat_image: ImagePart) -> None:
    ours = layout.of(
        Message.system("a"),
        Message.user(cat_image, "what is this?"),
        Message.assistant("it is a cat"),
        Message.user("hello"),
        Message.assistant("hello"),
        answer_next=False,
    )
    asked = 1 + len(layout.text("a")) + 1 + 7 + len(layout.text("what is this?")) + 1 + 1
    said = [*layout.text("it is a cat"), layout.end]
    greeted = 1 + len(layout.text("hello")) + 1 + 1
    assert list(ours.labels) == [
        *[IGNORED] * asked, *said,
        *[IGNORED] * greeted, *layout.text("hello"), layout.end,
    ]  # fmt: skip
    assert len(ours.labels) == len(ours.ids)


def test_a_question_teaches_nothing(layout: Layout, cat_image: ImagePart) -> None:
    assert set(layout.of(Message.user(cat_image, "what is this?")).labels) == {IGNORED}


# The context


def test_what_fits_is_left_alone(layout: Layout) -> None:
    """A context of one more token than the conversation has room for an answer of one token."""
    ours = layout.of(Message.user("hello"))
    check_fits(ours, context=len(ours) + 1)


def test_what_does_not_fit_says_what_it_costs(layout: Layout, cat_image: ImagePart, question_clip: AudioPart) -> None:
    ours = layout.of(Message.user("what is this?", cat_image, question_clip))
    total = len(ours)
    with pytest.raises(ContextError) as caught:
        check_fits(ours, context=total)
    assert str(caught.value) == (
        f"the conversation needs {total} tokens (cat.png 4, question.wav 3, text {total - 7}), "
        f"the model reads {total - 1}: shorten it or start a new one"
    )


# Fusion


def features(sequence: MixedSequence) -> list[Tensor]:
    """For each span tokens that no embedding equals."""
    return [torch.full((span.length, 2), 100.0 * (index + 1)) for index, span in enumerate(sequence.spans)]


@pytest.fixture
def mixed(layout: Layout, cat_image: ImagePart, question_clip: AudioPart) -> MixedSequence:
    return layout.of(Message.user("a", cat_image), Message.assistant("a"), Message.user(question_clip))


def test_features_are_written_over_their_placeholders_and_nowhere_else(layout: Layout, mixed: MixedSequence) -> None:
    embeddings = torch.arange(len(mixed)).float()[:, None].expand(-1, 2)
    fused = fuse(embeddings, mixed, features(mixed))
    expected = [
        100.0 if id_ == layout.image else 200.0 if id_ == layout.audio else float(place)
        for place, id_ in enumerate(mixed.ids)
    ]
    assert fused[:, 0].tolist() == fused[:, 1].tolist() == expected


def test_the_embeddings_are_not_changed_in_place(mixed: MixedSequence) -> None:
    """They may be a view of the weights of the decoder."""
    embeddings = torch.zeros(len(mixed), 2)
    fuse(embeddings, mixed, features(mixed))
    assert not embeddings.any()


def test_gradients_reach_features_and_embeddings_alike(mixed: MixedSequence) -> None:
    embeddings = torch.zeros(len(mixed), 2, requires_grad=True)
    given = [each.requires_grad_() for each in features(mixed)]
    fuse(embeddings, mixed, given).sum().backward()
    assert embeddings.grad is not None
    assert int(embeddings.grad[:, 0].sum()) == len(mixed) - 7
    assert [each.grad is not None and bool((each.grad == 1).all()) for each in given] == [True, True]


@pytest.mark.parametrize("length", [3, 5, 0])
def test_too_few_and_too_many_features_are_refused(mixed: MixedSequence, length: int) -> None:
    """A scatter over a mask would give each token a wrong neighbour, and an answer all the same."""
    given = features(mixed)
    given[0] = torch.zeros(length, 2)
    with pytest.raises(FusionError) as caught:
        fuse(torch.zeros(len(mixed), 2), mixed, given)
    assert str(caught.value) == f"cat.png in turn 1: 4 placeholders, but {length} cross-modal tokens"


def test_features_exchanged_between_runs_are_refused(mixed: MixedSequence) -> None:
    """Their sum is right, so that counting placeholders alone would not notice."""
    with pytest.raises(FusionError, match=r"cat\.png in turn 1: 4 placeholders, but 3 cross-modal tokens"):
        fuse(torch.zeros(len(mixed), 2), mixed, features(mixed)[::-1])


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_and_too_many_media_are_refused(mixed: MixedSequence, count: int) -> None:
    with pytest.raises(FusionError) as caught:
        fuse(torch.zeros(len(mixed), 2), mixed, (features(mixed) * 2)[:count])
    assert str(caught.value) == f"2 runs of placeholders, but {count} encoded pictures and clips"


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("<|image|>", "the conversation has 2 pictures and clips, its layout 1 places for them"),
        ("<|image|><|audio|><|audio|>", "the chat template has a place for 3 pictures and clips, the conversation 2"),
        ("<|audio|><|image|>", "the chat template puts a place of the wrong kind where cat.png stands in turn 1"),
    ],
    ids=["too few", "too many", "wrong order"],
)
def test_a_template_that_misplaces_media_is_refused(
    raw_tokenizer: Tokenizer, cat_image: ImagePart, question_clip: AudioPart, template: str, line: str
) -> None:
    layout = Layout(ChatTokenizer(raw_tokenizer, template, TOKENS))
    with pytest.raises(FusionError) as caught:
        layout.of(Message.user(cat_image, question_clip))
    assert str(caught.value) == line
