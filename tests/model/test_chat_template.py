"""The template's text and, in it, what people typed; the same text as transformers renders."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from mmchat.config import SpecialTokens
from mmchat.errors import CheckpointError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message, TextPart
from mmchat.model.chat_template import ChatTemplate

VICUNA = """
{%- for message in messages -%}
{{- message.role | upper }}: {% for part in message.content if part.type == 'image' %}<image>
{% endfor -%}
{%- for part in message.content if part.type == 'text' -%}
{%- generation %}{{ part.text }}{% endgeneration %} {% endfor -%}
{%- endfor -%}
{%- if add_generation_prompt %}ASSISTANT:{% endif -%}
"""
LLAMA = """
{{- bos_token }}
{%- for message in messages -%}
{%- if message.role == 'system' and not loop.first %}{{ raise_exception('system comes first') }}{% endif -%}
<{{ message.role }}>{{ message.content | trim }}{{ eos_token }}
{%- if loop.index == 4 %}{% break %}{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<assistant>{{ {'now': 'é'} | tojson }}{% endif -%}
"""
TOKENS = SpecialTokens(begin="<s>", end="</s>", image="<image>", audio="<audio>", content="string")


@pytest.mark.parametrize("answer_next", [False, True])
@pytest.mark.parametrize("text", ["hello", "  blanks\n", "a <image> b", "{{ 1 }}"])
@pytest.mark.parametrize("source", [VICUNA, LLAMA], ids=["parts", "string"])
def test_the_text_is_that_of_transformers(source: str, text: str, answer_next: bool) -> None:
    reference = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_EMPTY), bos_token="<s>", eos_token="</s>")
    content = "parts" if source is VICUNA else "string"
    template = ChatTemplate(source, TOKENS.model_copy(update={"content": content}))
    messages = [Message.system("be brief"), Message.user(text), Message.assistant("yes "), Message.user("why?")]
    values = [each.to_dict() for each in messages]
    if content == "string":
        values = [{**value, "content": value["content"][0]["text"]} for value in values]
    rendered = reference.apply_chat_template(
        values, chat_template=source, tokenize=False, add_generation_prompt=answer_next
    )
    assert template.layout(messages, answer_next).text == rendered


def test_what_was_typed_is_known_by_its_turn() -> None:
    messages = [Message.user("hello"), Message("assistant", (TextPart("you"), TextPart("too")))]
    layout = ChatTemplate(LLAMA, TOKENS).layout(messages, False)
    assert layout.text == "<s><user>hello</s><assistant>youtoo</s>"
    assert [(layout.text[each.start : each.end], each.turn) for each in layout.typed] == [
        ("hello", 0), ("you", 1), ("too", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("source", "kept"), [("{{ messages[0].content }}", "  hello\n"), (LLAMA, "hello")])
def test_blanks_at_the_ends_are_typed_where_the_template_keeps_them(source: str, kept: str) -> None:
    layout = ChatTemplate(source, TOKENS).layout([Message.user("  hello\n")], False)
    assert [layout.text[each.start : each.end] for each in layout.typed] == [kept]


def test_media_stand_where_they_were_put(cat_image: ImagePart, question_clip: AudioPart) -> None:
    template = ChatTemplate(LLAMA, TOKENS)
    assert template.layout([Message.user("see", cat_image, " and ", question_clip)], False).text == (
        "<s><user>see<image> and <audio></s>"
    )


def test_a_template_may_refuse() -> None:
    with pytest.raises(CheckpointError) as caught:
        ChatTemplate(LLAMA, TOKENS).layout([Message.user("hello"), Message.system("no")], False)
    assert str(caught.value) == "the chat template refuses this conversation: system comes first"


_EMPTY = Tokenizer.from_str(
    '{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}'
).to_str()
