"""What frozen encoders make of pictures and clips, kept so that each is encoded once in a training."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from mmchat.config import Modality
from mmchat.inputs.image import ImagePart
from mmchat.model.multimodal import Features, Media, Multimodal

_MOST_BYTES = 4 * 2**30


class FeatureCache:
    """Features by the content of the media, in main memory until there is no more room for new ones.

    The features of a frozen encoder are rounded to float16, and each picture or clip is encoded by itself: they are the
    same bits whether kept or computed again, beside whatever else, so that a resumed training stays exact.
    """

    def __init__(self, model: Multimodal, frozen: Collection[Modality], most_bytes: int = _MOST_BYTES) -> None:
        """Keep the features of those modalities of `model` whose encoders do not learn."""
        self._model = model
        self._frozen = frozenset(frozen)
        self._room = most_bytes
        self._kept: dict[str, Features] = {}

    def features(self, media: Sequence[Media]) -> list[Features]:
        """As `Multimodal.features`; what a frozen encoder said before is not asked again."""
        learning = [part for part in media if _modality(part) not in self._frozen]
        learnt = iter(self._model.features(learning))
        return [next(learnt) if _modality(part) not in self._frozen else self._settled(part) for part in media]

    def _settled(self, part: Media) -> Features:
        chunks = self._kept.get(part.digest)
        if chunks is None:
            with torch.no_grad():
                (encoded,) = self._model.features([part])
            chunks = tuple(chunk.to(device="cpu", dtype=torch.float16) for chunk in encoded)
            size = sum(chunk.nbytes for chunk in chunks)
            if size <= self._room:
                self._room -= size
                self._kept[part.digest] = chunks
        like = self._model.decoder
        return tuple(chunk.to(device=like.device, dtype=like.dtype) for chunk in chunks)


def _modality(part: Media) -> Modality:
    return "image" if isinstance(part, ImagePart) else "audio"
