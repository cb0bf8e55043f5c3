"""Heat maps of assistants whose answers depend on a part that is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from mmchat.errors import OptionError
from mmchat.explain.drawing import draw
from mmchat.explain.occlusion import Heat, explain
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
    assert heat.nats.shape == (4, 4)
    matters = heat.nats > 0.1
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
    assert np.allclose(first.nats, 0)
    assert second.nats.argmax() == 2
    assert sound.nats.round(6).tolist() == [0, 0, 2, 0, 0]
    assert told == [(done, 13) for done in range(1, 14)]


def test_a_word_counts_alone() -> None:
    conversation = question(clip(), picture())
    sound, seen = explain(Looking(), conversation, ANSWER, word="CAT ", grid=2)  # type: ignore[arg-type]
    assert np.allclose(seen.nats, 0)
    assert sound.nats.max() > 1
    with pytest.raises(OptionError, match='the answer "a red cat" does not say "dog"'):
        explain(Looking(), conversation, ANSWER, word="dog")  # type: ignore[arg-type]


def test_text_alone_has_nothing_to_look_at() -> None:
    with pytest.raises(OptionError, match="nothing to look at: give a picture or a clip"):
        explain(Looking(), question("hi"), ANSWER)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (640, 2)], ids=str)
def test_pictures_of_any_shape_can_be_hidden_in_parts(size: tuple[int, int]) -> None:
    part = ImagePart(Image.new("RGB", size, "red"))
    (heat,) = explain(Looking(), question(part), ANSWER, grid=8)  # type: ignore[arg-type]
    assert heat.nats.shape == (8, 8)
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
