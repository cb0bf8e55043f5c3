"""Pictures and clips that were seen lately, as the decoder reads them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

from mmchat.model.multimodal import Media, Multimodal

_REMEMBERED = 64


class MediaTokens:
    """Encodes media, each once while it is remembered, by its content. Not for several threads at once."""

    def __init__(self, model: Multimodal) -> None:
        self._model = model
        self._tokens: OrderedDict[str, Tensor] = OrderedDict()

    def of(self, media: Sequence[Media]) -> list[Tensor]:
        """For each picture and clip its (n, D) cross-modal tokens."""
        known = {part.digest: self._tokens[part.digest] for part in media if part.digest in self._tokens}
        fresh = list({part.digest: part for part in media if part.digest not in known}.values())
        known.update(zip((part.digest for part in fresh), self._model.encode(fresh), strict=True))
        for digest, tokens in known.items():
            self._tokens[digest] = tokens
            self._tokens.move_to_end(digest)
        while len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)
        return [known[part.digest] for part in media]
