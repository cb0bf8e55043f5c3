"""A frozen encoder is asked once for each picture or clip; one that learns is asked every time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.model.multimodal import Features, Media, Multimodal
from mmchat.training.features import FeatureCache

Asked = list[Media]


@pytest.fixture
def asked(tiny_model: Multimodal, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the encoders of the tiny model are asked for."""
    seen: Asked = []
    encode = tiny_model.features

    def features(media: Sequence[Media]) -> list[Features]:
        seen.extend(media)
        return encode(media)

    monkeypatch.setattr(tiny_model, "features", features)
    return seen


def test_a_frozen_encoder_is_asked_once_for_each_picture(
    tiny_model: Multimodal, asked: Asked, cat_image: ImagePart, dog_image: ImagePart
) -> None:
    cache = FeatureCache(tiny_model, ["image"])
    for _ in range(2):
        cache.features([cat_image, dog_image, cat_image])
    assert asked == [cat_image, dog_image]


def test_an_encoder_that_learns_is_asked_every_time(
    tiny_model: Multimodal, asked: Asked, cat_image: ImagePart, question_clip: AudioPart
) -> None:
    cache = FeatureCache(tiny_model, ["image"])
    for _ in range(2):
        cache.features([cat_image, question_clip])
    assert [type(part) for part in asked].count(AudioPart) == 2
    assert [type(part) for part in asked].count(ImagePart) == 1


def test_features_are_the_same_bits_kept_or_new_alone_or_beside_others(
    tiny_model: Multimodal, cat_image: ImagePart, dog_image: ImagePart, question_clip: AudioPart
) -> None:
    """Otherwise a training that was resumed would not end where one goes that was not stopped."""
    cache = FeatureCache(tiny_model, ["image", "audio"])
    together = cache.features([question_clip, cat_image, dog_image])
    kept = cache.features([question_clip, cat_image])
    alone = [FeatureCache(tiny_model, ["image", "audio"]).features([part])[0] for part in (question_clip, cat_image)]
    for first, again, new in zip(together, kept, alone, strict=False):
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[0], new[0])


def test_features_are_those_of_the_encoder_to_the_precision_of_a_checkpoint(
    tiny_model: Multimodal, cat_image: ImagePart, question_clip: AudioPart
) -> None:
    media = [question_clip, cat_image]
    features = FeatureCache(tiny_model, ["image", "audio"]).features(media)
    for ours, theirs in zip(features, tiny_model.features(media), strict=True):
        assert ours[0].dtype == tiny_model.decoder.dtype
        torch.testing.assert_close(ours[0], theirs[0], rtol=1e-3, atol=1e-4)


def test_without_room_nothing_is_kept_and_nothing_is_lost(
    tiny_model: Multimodal, asked: Asked, cat_image: ImagePart
) -> None:
    cache = FeatureCache(tiny_model, ["image"], most_bytes=10)
    first, second = (cache.features([cat_image])[0][0] for _ in range(2))
    assert len(asked) == 2
    assert torch.equal(first, second)
