"""What a person does on the page, and sees: the real page, model and browser."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.tabs import ASSETS, Pausing, Tab, Visit

CAT, CARROT, SAILBOAT = (ASSETS / f"{name}.png" for name in ("cat", "carrot", "sailboat"))
QUESTION = ASSETS / "question.wav"
BIG = Path("big.png")


def test_a_typed_question_is_answered_while_one_watches(tab: Tab, assistant: Pausing) -> None:
    assistant.seconds = 0.1
    tab.type("where does a penguin live?")
    expect(tab.answers).to_have_count(1)
    expect(tab.answers.first).to_contain_text("penguin")
    assert tab.answers.first.locator("small").count() == 0, "not whole yet"
    assert "tokens" in tab.whole(0)
    expect(tab.page.locator("#composer textarea")).to_have_value("")


def test_two_pictures_and_a_clip_go_in_one_message(tab: Tab) -> None:
    answer = tab.ask("", CAT, CARROT, QUESTION)
    for name in ("cat.png → 16 tokens", "carrot.png → 16 tokens", "question.wav 1.2 s → "):
        assert name in answer
    expect(tab.messages.locator("img")).to_have_count(2)
    expect(
        tab.messages.locator("audio, .waveform-container, [data-testid=waveform-audio-component]").first
    ).to_be_attached()
    expect(tab.page.locator("#composer .thumbnail-item")).to_have_count(0)


def test_what_is_attached_can_be_removed_before_it_is_sent(tab: Tab) -> None:
    tab.attach(CAT, CARROT)
    tab.page.locator("#composer button[aria-label='Remove file']").first.click()
    expect(tab.page.locator("#composer .thumbnail-item")).to_have_count(1)
    answer = tab.ask("what is this?")
    assert "carrot.png → 16 tokens" in answer
    assert "cat.png" not in answer


def test_a_clip_can_be_heard_before_it_is_sent(tab: Tab) -> None:
    tab.attach(CAT, QUESTION)
    expect(tab.page.locator("#composer .thumbnail-item img")).to_have_attribute("alt", "cat.png")
    player = tab.page.locator("#players audio")
    expect(player).to_have_attribute("aria-label", "question.wav")
    tab.page.wait_for_function("document.querySelector('#players audio').duration > 1")
    tab.page.locator("#composer button[aria-label='Remove file']").last.click()
    expect(player).to_have_count(0)
    expect(tab.page.locator("#players")).to_be_hidden()
    expect(tab.page.locator("#composer .thumbnail-item")).to_have_count(1)


@pytest.mark.parametrize(
    ("event", "files"),
    [("paste", (CARROT,)), ("paste", (BIG, CAT, CARROT, SAILBOAT)), ("drop", (CAT, QUESTION, CARROT))],
    ids=["paste one", "paste several", "drop"],
)
def test_what_is_pasted_or_dropped_is_sent_in_its_order(
    tab: Tab, event: str, files: tuple[Path, ...], tmp_path: Path
) -> None:
    """Though the first takes longest to arrive."""
    Image.effect_noise((1500, 1500), 50).save(tmp_path / BIG)
    files = tuple(tmp_path / file for file in files)  # an absolute one stays what it is
    tab.bring(event, *files)
    receipt = tab.ask("what do the pictures show?").splitlines()[-1]
    assert re.findall(r"\w+\.(?:png|wav)", receipt) == [file.name for file in files]


@pytest.mark.parametrize(("number", "words"), [(0, "coast"), (1, "cat.png → 16 tokens"), (2, "question.wav 1.2 s → ")])
def test_an_example_is_asked_by_a_click(tab: Tab, number: int, words: str) -> None:
    """In writing, about a picture, by voice."""
    tab.page.locator("#chat .example").nth(number).click()
    assert words in tab.whole(0)


def test_what_the_model_knows_is_at_hand_in_the_middle_of_a_chat(tab: Tab) -> None:
    tab.ask("hello")
    head = tab.page.locator("#about details")
    expect(head).to_have_js_property("open", False)
    head.locator("summary").press("Enter")
    expect(head).to_have_js_property("open", True)
    expect(head).to_contain_text("690 everyday things")


def test_formulas_code_and_tables_are_drawn(tab: Tab, assistant: Pausing) -> None:
    assistant.said = (
        "So \\(e^{i\\pi} = -1\\):\n\n```python\nprint('<b>1</b>')\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    tab.ask("hello")
    answer = tab.answers.first
    expect(answer.locator(".katex")).to_have_count(1)
    expect(answer.locator("pre code")).to_have_text(re.compile(r"print\('<b>1</b>'\)"))
    expect(answer.locator("td")).to_have_text(["1", "2"])


def test_what_is_said_into_the_microphone_is_answered(tab: Tab) -> None:
    """The question of `question.wav`, by Chromium's microphone; the recorder is empty afterwards."""
    tab.attach(SAILBOAT)
    tab.page.locator("#composer button.microphone-button").click()
    tab.page.locator("#composer button.record-button").click()
    tab.page.wait_for_timeout(2_500)
    tab.page.locator("#composer button.stop-button").click()
    tab.page.get_by_role("button", name="Attach audio").click()
    expect(tab.page.locator("#composer .thumbnail-item")).to_have_count(2)
    tab.type("")
    answer = tab.whole(0)
    assert "sailboat" in answer.lower().split("\n")[0]
    assert ".wav" in answer
    tab.ask("where is it found?")
    receipt = tab.answers.nth(1).locator("small").inner_text()
    assert receipt.count(".wav") == receipt.count(".png") == 1, "that of the first message, and no other"


def test_an_answer_can_be_stopped_and_stays_as_far_as_it_came(tab: Tab, assistant: Pausing) -> None:
    assistant.seconds = 0.3
    tab.type("tell me about a whale")
    expect(tab.answers.first).to_contain_text("whale")
    tab.page.locator("#composer button.stop-button").click()
    expect(tab.answers.first.locator("small")).to_have_text("stopped")
    assistant.seconds = 0.0
    expect(tab.page.locator("#composer button.submit-button")).to_be_visible()
    box = tab.page.locator("#composer textarea")
    box.fill("what sound does a cow make?")
    while box.input_value():  # Gradio takes no message until it has ended what was stopped
        box.press("Enter")
        tab.page.wait_for_timeout(500)
    assert "tokens" in tab.whole(1)


def test_an_earlier_message_can_be_edited_and_gone_on_from(tab: Tab) -> None:
    tab.ask("what sound does a cow make?")
    tab.ask("what is a hammer for?")
    tab.messages.first.hover()
    tab.page.locator("#chat button[title='Edit'], #chat button[aria-label='Edit']").first.click()
    tab.page.locator("#chat textarea").first.fill("where does a penguin live?")
    tab.page.locator("#chat button[title='Submit'], #chat button[aria-label='Submit']").first.click()
    expect(tab.answers.first).to_contain_text("penguin")
    tab.whole(0)
    expect(tab.messages).to_have_count(1)


def test_a_message_can_be_taken_back_with_its_picture(tab: Tab) -> None:
    tab.ask("what sound does a cow make?")
    tab.ask("what is this?", CAT)
    tab.page.locator("#chat button[title='Undo'], #chat button[aria-label='Undo']").last.click()
    expect(tab.page.locator("#composer textarea")).to_have_value("what is this?")
    expect(tab.page.locator("#composer .thumbnail-item")).to_have_count(1)
    expect(tab.answers).to_have_count(1)


def test_what_is_copied_is_what_was_said(visit: Visit, assistant: Pausing) -> None:
    """Words as they were typed, and an answer as the model wrote it, without the line under it."""
    assistant.said = "A **hammer**  drives nails."
    tab = visit(permissions=["microphone", "clipboard-read", "clipboard-write"])
    tab.ask("what is *a* <b>hammer</b> for?")
    copied = []
    for button in tab.page.get_by_role("button", name="Copy message").all():
        button.click()
        copied.append(tab.page.evaluate("navigator.clipboard.readText()"))
    assert copied == ["what is *a* <b>hammer</b> for?", assistant.said]
    assert tab.answers.first.locator(".prose").first.inner_text().strip() == "A hammer drives nails."


def test_an_answer_is_had_again_and_after_an_error_the_message_of_the_error(
    tab: Tab, assistant: Pausing, tmp_path: Path
) -> None:
    tab.ask("what is a hammer for?")
    assistant.seconds = 0.1  # otherwise it is there before one can look
    tab.page.get_by_role("button", name="Retry").click()
    expect(tab.page.locator("#composer .stop-button")).to_be_visible()
    expect(tab.page.locator("#composer .submit-button")).to_be_visible()
    assistant.seconds = 0.0
    answer = tab.whole(0)
    broken = tmp_path / "broken.png"
    broken.write_bytes(CAT.read_bytes()[:200])
    tab.attach(broken)
    tab.type("what is this?")
    expect(tab.answers.last).to_contain_text("⚠")
    tab.page.get_by_role("button", name="Retry").click()
    expect(tab.page.locator("#composer .thumbnail-item")).to_have_count(1)
    expect(tab.answers.last).to_contain_text("⚠")
    expect(tab.answers).to_have_count(2)
    assert tab.answers.first.inner_text() == answer


def test_an_earlier_message_is_taken_back_with_its_picture_to_be_edited(tab: Tab) -> None:
    """By keyboard; it goes on from there."""
    tab.ask("what is this?", CAT)
    tab.ask("what is a hammer for?")
    tab.messages.first.get_by_role("button", name="Take back").press("Space")
    expect(tab.page.locator("#composer textarea")).to_have_value("what is this?")
    expect(tab.page.locator("#composer .thumbnail-item")).to_have_count(1)
    expect(tab.answers).to_have_count(0)
    assert "cat.png → 16 tokens" in tab.ask("where does it live?")


def test_two_tabs_on_one_conversation_lose_nothing(tab: Tab) -> None:
    """The one that knows less is told to reload, with what was typed still there."""
    tab.ask("what is a hammer for?")
    other = Tab(tab.page.context.new_page(), tab.page.url).open()
    other.ask("what sound does a cow make?")
    tab.type("where does a penguin live?")
    expect(tab.answers.last).to_contain_text("changed in another tab or program")
    expect(tab.page.locator("#composer textarea")).to_have_value("where does a penguin live?")
    tab.page.reload()
    tab.whole(1)
    tab.ask("where does a penguin live?")
    expect(tab.messages).to_have_count(3)


def test_a_reload_in_the_middle_of_an_answer_finds_what_was_shown(tab: Tab, assistant: Pausing) -> None:
    assistant.seconds = 0.5
    tab.type("tell me about a whale")
    expect(tab.answers.first).to_contain_text("whale")
    tab.page.reload()
    expect(tab.messages.first).to_contain_text("tell me about a whale")
    expect(tab.answers.first).to_contain_text("whale")
    assistant.seconds = 0.0
    assert "tokens" in tab.ask("what is a hammer for?")


def test_a_reload_finds_the_chat(tab: Tab) -> None:
    """With its picture."""
    answer = tab.ask("what is this?", CAT)
    expect(tab.page).to_have_url(re.compile(r"\?chat=\d+$"))
    tab.page.reload()
    assert tab.whole(0) == answer
    expect(tab.messages.locator("img")).to_have_count(1)
    assert "home" in tab.ask("where is it found?") or "cat" in tab.answers.nth(1).inner_text()


def test_a_kept_conversation_is_listed_found_renamed_opened_and_deleted(tab: Tab) -> None:
    tab.ask("what sound does a cow make?")
    tab.sidebar()
    page, listed = tab.page, tab.page.locator("#conversations label")
    page.get_by_role("button", name="New conversation").click()
    expect(tab.messages).to_have_count(0)
    tab.ask("what is a hammer for?")
    expect(listed).to_have_text(["what is a hammer for?", "what sound does a cow make?"])
    page.get_by_placeholder("Search").fill("COW")
    expect(listed).to_have_count(1)
    listed.first.click()
    expect(tab.messages).to_have_text(["what sound does a cow make?"])
    page.get_by_placeholder("Title").fill("cattle")
    page.get_by_role("button", name="Rename").click()
    expect(listed).to_contain_text(["cattle"])
    page.get_by_role("button", name="Delete").click()
    expect(listed).to_have_text(["what is a hammer for?"])
    expect(tab.messages).to_have_count(0)


def test_opening_another_conversation_stops_the_answer_that_is_written(tab: Tab, assistant: Pausing) -> None:
    """It would be drawn over the conversation that was opened; what there is of it stays where it belongs."""
    tab.ask("what sound does a cow make?")
    tab.sidebar()
    listed = tab.page.locator("#conversations label")
    tab.page.get_by_role("button", name="New conversation").click()
    expect(tab.messages).to_have_count(0)
    assistant.seconds = 0.4
    tab.type("tell me about a whale")
    expect(tab.answers.first).to_contain_text("whale")
    listed.filter(has_text="cow").click()
    expect(tab.messages).to_have_text(["what sound does a cow make?"])
    tab.page.wait_for_timeout(3_000)
    expect(tab.messages).to_have_text(["what sound does a cow make?"])
    listed.filter(has_text="whale").click()
    expect(tab.messages).to_have_text(["tell me about a whale"])
    expect(tab.answers.first.locator("small").last).to_have_text("stopped")


def test_two_visitors_never_see_each_other(visit: Visit) -> None:
    one, two = visit(), visit()
    one.ask("what sound does a cow make?")
    two.ask("what is a hammer for?")
    two.sidebar()
    expect(two.page.locator("#conversations label")).to_have_text(["what is a hammer for?"])
    theirs = one.page.url
    two.page.goto(theirs)
    expect(two.page.locator("#about small")).to_contain_text("mmchat-tiny")
    expect(two.page.get_by_text("there is no conversation")).to_be_visible()
    assert "cow" not in two.page.locator("#chat").inner_text().replace("what sound does a cow make?", "", 1)


def test_tags_and_scripts_show_as_they_were_typed(tab: Tab) -> None:
    tab.ask("<script>document.title = 'mine'</script><b>bold</b> *star*")
    expect(tab.messages.first).to_have_text("<script>document.title = 'mine'</script><b>bold</b> *star*")
    assert tab.page.title() == "mmchat"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no picture", "broken.png: not a picture"),
        (ASSETS.joinpath("cat.png").read_bytes()[:2_000], "broken.png: the picture is damaged or cut short"),
        (os.urandom(50_000_000), "broken.png: not a picture"),
    ],
    ids=["text", "cut", "50 MB"],
)
def test_a_file_that_cannot_be_used_is_one_message_and_what_was_typed_stays(
    tab: Tab, tmp_path: Path, content: bytes, problem: str
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(content)
    tab.attach(broken)
    tab.type("what is this?")
    expect(tab.answers).to_have_count(1)
    expect(tab.answers.first).to_contain_text(problem)
    assert len(tab.answers.first.inner_text().splitlines()) == 1
    expect(tab.page.locator("#composer textarea")).to_have_value("what is this?")
    expect(tab.page.locator("#composer .thumbnail-item")).to_have_count(1)


def test_where_an_answer_looked_is_shown_for_all_of_it_and_for_a_word(tab: Tab) -> None:
    """Of the last answer and of an earlier one."""
    tab.ask("what is this?", CAT)
    tab.ask("where does it live?")
    links = tab.page.get_by_role("button", name="Where it looked")
    links.last.click()
    expect(tab.page.locator("#words label").filter(has_text="lives").last).to_be_visible()
    links.first.click()
    expect(tab.page.locator("#words label").filter(has_text="lives")).to_have_count(0)
    picture = tab.page.locator("#map img")
    expect(picture).to_be_visible()
    whole = picture.get_attribute("src")
    tab.page.locator("#words label", has_text="cat").last.click()
    expect(picture).not_to_have_attribute("src", whole or "")


def test_settings_are_used_and_kept_with_the_conversation(tab: Tab) -> None:
    tab.set(longest="3")
    assert "cut at 3 tokens, the longest answer" in tab.ask("where does a penguin live?")
    tab.page.reload()
    tab.whole(0)
    tab.sidebar()
    tab.page.get_by_role("button", name="Settings").click()
    expect(tab.setting("longest")).to_have_value("3")


def test_one_of_two_answers_is_kept(tab: Tab) -> None:
    """They stand side by side, and wait to be chosen from when the page is loaded again."""
    tab.set(answers="2", temperature="1.5", seed="7")
    tab.ask("tell me about a whale")
    choices = tab.page.locator("#chat .bot.message > .message", has=tab.page.locator(".choice"))
    told = choices.all_inner_texts()
    first, second = (choices.nth(place).bounding_box() for place in range(2))
    assert first
    assert second
    assert first["x"] + first["width"] <= second["x"]
    assert first["y"] == second["y"]
    tab.page.reload()
    expect(choices).to_have_text(told, use_inner_text=True)
    tab.page.locator("#chat .options button", has_text="Keep answer 2").click()
    expect(tab.page.locator("#chat .options button", has_text="Keep")).to_have_count(0)


def test_a_thumb_down_asks_what_would_have_been_right(tab: Tab) -> None:
    tab.ask("what sound does a cow make?")
    tab.page.locator("#chat button[title='Dislike'], #chat button[aria-label='Dislike']").first.click()
    tab.page.locator("#correction textarea").fill("A cow says moo.")
    tab.page.get_by_role("button", name="Send", exact=True).click()
    expect(tab.page.locator("#correction textarea")).not_to_be_visible()


def test_without_a_microphone_the_page_says_why(visit: Visit) -> None:
    """As a browser has none on a page over plain http from another machine."""
    tab = visit()
    tab.page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    expect(tab.page.locator("#notice")).to_have_text("")
    tab.page.reload()
    expect(tab.page.locator("#notice")).to_contain_text("The microphone is off: browsers allow it on https:// pages")


def test_the_last_answer_is_read_aloud(tab: Tab) -> None:
    tab.page.evaluate("() => { window.speechSynthesis.speak = (told) => { window.told = told.text; }; }")
    answer = tab.ask("what sound does a cow make?")
    tab.sidebar()
    tab.page.get_by_role("button", name="Read aloud").click()
    tab.page.wait_for_function("window.told")
    assert tab.page.evaluate("window.told").strip() == answer.splitlines()[0].strip()


def test_the_page_speaks_chinese_to_a_chinese_browser(visit: Visit) -> None:
    tab = visit(locale="zh-CN")
    expect(tab.page.locator("#composer textarea")).to_have_attribute("placeholder", "输入问题,拖入图片,或录音")
    expect(tab.page.locator("#about")).to_contain_text("上下文 512 个 token")
    answer = tab.ask("what is this?", CAT)
    assert "首个 token" in answer
    tab.page.get_by_role("button", name="它看了哪里").click()
    expect(tab.page.get_by_text("红色:遮住这一部分会使回答的概率降低")).to_be_visible()
    tab.page.reload()
    expect(tab.page.locator("#chat .bot small")).to_contain_text("首个 token")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scroll(visit: Visit, scheme: str) -> None:
    tab = visit(viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True, color_scheme=scheme)
    tab.ask("what is this?", CAT)
    for _ in range(2):
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
        tab.page.locator("button.toggle-button").click()
        tab.page.wait_for_timeout(500)


def test_all_that_can_be_pressed_has_a_name_for_a_screen_reader(tab: Tab) -> None:
    tab.ask("what is this?", CAT)
    nameless = tab.page.locator("button:visible").evaluate_all(
        "all => all.filter(b => !(b.innerText.trim() || b.ariaLabel || b.title || b.querySelector('img[alt]')?.alt))"
        ".map(b => b.outerHTML.slice(0, 600))"
    )
    assert nameless == []
