"""Heat maps of assistants whose answers depend on a part that is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from mmchat.errors import OptionError
from mmchat.explain.attention import attention
from mmchat.explain.drawing import draw
from mmchat.explain.heat import Heat, part_of_answer
from mmchat.explain.occlusion import explain
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import Message

ANSWER = "a red cat"


class Looking:
    """Says "red" for the red in the lower left quarter of the last picture, "cat" for sound from 0.4 to 0.6 s."""

    def token_log_likelihoods(self, conversation: Sequence[Message], answer: str) -> list[tuple[str, float]]:
        assert answer == ANSWER
        media = [part for message in conversation for part in message.media]
        picture = [part for part in media if isinstance(part, ImagePart)][-1]
        pixels = np.asarray(picture.image, dtype=float) / 255
        height, width, _ = pixels.shape
        red = pixels[height // 2 :, : (width + 1) // 2, 0].mean()
        clips = [part for part in media if isinstance(part, AudioPart)]
        loud = float(np.abs(clips[0].waveform[6400:9600]).mean()) if clips else 0.0
        return [("a", -1.0), (" red", -4 + 4 * red), (" cat", -2 + 2 * loud), ("", -0.5)]

    def token_attention(self, conversation: Sequence[Message], answer: str) -> tuple[list[str], list[torch.Tensor]]:
        """The more, the later a token of the answer and a cross-modal token are; a clip is written down unless it is
        alone."""
        media = [part for message in conversation for part in message.media]
        heard = [part for part in media if isinstance(part, ImagePart) or len(media) == 1]
        counts = [4 if isinstance(part, ImagePart) else 3 for part in heard]
        shares = [torch.arange(4.0)[:, None] * torch.arange(float(count)) / 100 for count in counts]
        return ["a", " red", " cat", ""], shares


def picture() -> ImagePart:
    image = Image.new("RGB", (60, 40), "black")
    image.paste("red", (0, 20, 30, 40))
    return ImagePart(image, "red.png")


def clip() -> AudioPart:
    return AudioPart(np.ones(16_000, dtype=np.float32), "voice.wav")


def question(*parts: ImagePart | AudioPart | str) -> list[Message]:
    return [Message.user("hello"), Message.assistant("hello"), Message.user(*parts)]


def test_the_part_that_matters_is_found() -> None:
    (heat,) = explain(Looking(), question("what is this?", picture()), ANSWER, grid=4)  # type: ignore[arg-type]
    assert heat.part == picture()
    assert heat.values.shape == (4, 4)
    matters = heat.values > 0.1
    assert matters[2:, :2].all()
    assert matters.sum() == 4


def test_every_picture_and_clip_has_its_own() -> None:
    """In their order; a picture that the answer does not look at stays cold."""
    told: list[tuple[int, int]] = []
    conversation = [Message.user(picture()), Message.assistant("yes"), Message.user(clip(), picture())]
    first, sound, second = explain(
        Looking(),
        conversation,
        ANSWER,
        grid=2,
        progress=lambda done, total: told.append((done, total)),  # type: ignore[arg-type]
    )
    assert np.allclose(first.values, 0)
    assert second.values.argmax() == 2
    assert sound.values.round(6).tolist() == [0, 0, 2, 0, 0]
    assert told == [(done, 13) for done in range(1, 14)]


def test_a_word_counts_alone() -> None:
    conversation = question(clip(), picture())
    sound, seen = explain(Looking(), conversation, ANSWER, word="CAT ", grid=2)  # type: ignore[arg-type]
    assert np.allclose(seen.values, 0)
    assert sound.values.max() > 1
    with pytest.raises(OptionError, match='the answer "a red cat" does not say "dog"'):
        explain(Looking(), conversation, ANSWER, word="dog")  # type: ignore[arg-type]


def test_text_alone_has_nothing_to_look_at() -> None:
    with pytest.raises(OptionError, match="nothing to look at: give a picture or a clip"):
        explain(Looking(), question("hi"), ANSWER)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (640, 2)], ids=str)
def test_pictures_of_any_shape_can_be_hidden_in_parts(size: tuple[int, int]) -> None:
    part = ImagePart(Image.new("RGB", size, "red"))
    (heat,) = explain(Looking(), question(part), ANSWER, grid=8)  # type: ignore[arg-type]
    assert heat.values.shape == (8, 8)
    assert draw([heat]).width == 512


def redness(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, dtype=float)
    return pixels[..., 0] - pixels[..., 1:].mean(-1)


def test_what_matters_is_red_and_the_rest_is_not() -> None:
    nats = np.zeros((4, 4))
    nats[3, 0] = 5.0
    nats[0, 3] = -5.0
    drawn = redness(draw([Heat(ImagePart(Image.new("RGB", (100, 100), "white")), nats)]))
    assert drawn.shape == (512, 512)
    assert drawn[400:, :100].mean() > 80
    assert abs(drawn[:256, 256:]).max() < 2, "what makes the answer less probable is not what it depends on"


def test_media_share_a_scale() -> None:
    """A clip of which nothing matters is not painted red for its best part."""
    sheet = draw(
        [
            Heat(ImagePart(Image.new("RGB", (100, 50), "white")), np.full((2, 2), 6.0)),
            Heat(clip(), np.array([0.0, 0.03, 0.0])),
        ]
    )
    assert sheet.size == (512, 256 + 8 + 128)
    drawn = redness(sheet)
    assert drawn[:256].mean() > 100
    assert drawn[264:].max() < 3
    assert redness(draw([Heat(clip(), np.array([0.0, 0.03]))])).max() < 8


# Attention


def test_attention_is_laid_out_as_the_media_are() -> None:
    """The mean over the answer; a picture's tokens as they lie in it, a clip's in time."""
    (seen,) = attention(Looking(), question(picture()), ANSWER)  # type: ignore[arg-type]
    np.testing.assert_allclose(seen.values, [[0.0, 0.01], [0.02, 0.03]])
    (heard,) = attention(Looking(), question(clip()), ANSWER, word="cat")  # type: ignore[arg-type]
    np.testing.assert_allclose(heard.values, [0.0, 0.02, 0.04])


def test_what_was_written_down_for_the_model_gets_no_attention() -> None:
    (seen,) = attention(Looking(), question(clip(), picture()), ANSWER, word="red")  # type: ignore[arg-type]
    assert seen.part == picture()
    np.testing.assert_allclose(seen.values, [[0.0, 0.01], [0.02, 0.03]])


def test_the_end_of_the_turn_is_no_part_of_an_answer() -> None:
    tokens = ["a", " red", " cat", ""]
    assert part_of_answer(tokens, ANSWER, None) == [True, True, True, False]
    assert part_of_answer(tokens, ANSWER, "RED") == [False, True, False, False]


def test_attention_is_drawn_in_blue_beside_what_is_hidden() -> None:
    part = ImagePart(Image.new("RGB", (100, 100), "white"))
    sheet = draw([Heat(part, np.array([[5.0, 0], [0, 0]]))], [Heat(part, np.array([[0, 0], [0, 0.3]]))])
    assert sheet.size == (512 + 8 + 512, 512)
    pixels = np.asarray(sheet, dtype=float)
    assert redness(sheet)[:100, :100].mean() > 80
    blue = pixels[..., 2] - pixels[..., :2].mean(-1)
    assert blue[400:, 930:].mean() > 80
    assert abs(blue[:100, 620:720]).max() < 2
