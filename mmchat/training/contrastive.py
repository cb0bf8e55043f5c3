"""CLIP pre-training of the image tower: open_clip's model and loss, on pictures and captions.

The tower goes on from what `start` holds of it. Its pooling head and the text tower always begin fresh: they serve this
stage alone. Several processes (`mmchat.training.parallel`) would each see the whole batch, for its captions are told
apart from one another: nothing is gained by them here.

B pictures of a batch, S side in pixels, L tokens of a caption
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import open_clip
import torch
from open_clip.loss import ClipLoss
from torch import Tensor, nn

from mmchat.config import ModelConfig
from mmchat.encoders.clip import ClipImageEncoder
from mmchat.errors import ConfigError, DatasetError
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training.data import PictureCache, read_rows, shuffled, step_random
from mmchat.training.loop import GradientStage, Loss
from mmchat.training.settings import ContrastiveStage
from mmchat.training.start import start_from
from mmchat.training.views import Views, draw_views


@dataclass(frozen=True)
class Pairs:
    """Pictures, how they are looked at, and what is said of them."""

    pixels: Tensor
    """(B, 3, S, S) bytes."""
    views: Views
    captions: Tensor
    """(B, L) ids, the end token included."""


class ContrastiveTraining(GradientStage[Pairs]):
    """Pictures and their captions are pulled together, all others of the batch apart (Radford et al. 2021)."""

    unit = "pictures"

    def __init__(
        self, config: ContrastiveStage, model: ModelConfig, tokenizer: ChatTokenizer, device: torch.device
    ) -> None:
        if model.image_encoder is None:
            raise ConfigError(f"{config.name}: {config.model} has no image_encoder to train")
        if "timm_model_args" in model.image_encoder.vision:
            raise ConfigError(f"{config.name}: open_clip builds towers by their name, not by timm_model_args")
        self._config = config
        self._encoder = model.image_encoder
        self._tokenizer = tokenizer
        self._rows = read_rows(config.data / "captions.jsonl", "image", "text")
        captions = len({row["text"] for row in self._rows})
        if captions < 2:
            raise DatasetError(f"{config.data}/captions.jsonl has one caption alone: there is nothing to tell it from")
        self._batch_size = min(config.batch_size, captions)
        self._clip = self._build().to(device)
        self._clip.visual.to(memory_format=torch.channels_last)  # convolutions of few channels run 1.6 times as fast
        self.module = self._clip
        self._pictures = PictureCache(config.data, self._encoder.image_size)
        self._loss = ClipLoss()
        self._mean, self._std = (
            torch.tensor(values, device=device).view(3, 1, 1) for values in (self._encoder.mean, self._encoder.std)
        )

    def batch(self, step: int) -> Pairs:
        """Pictures in a new view each; no caption stands in a batch twice.

        Raises:
            ImageError: a picture cannot be read.
        """
        rows = self._captions_apart(step)
        generator = torch.Generator().manual_seed(step_random(self._config.seed, step).getrandbits(63))
        return Pairs(
            pixels=torch.stack([self._pictures[row["image"]] for row in rows]),
            views=draw_views(len(rows), generator),
            captions=torch.stack([self._caption(row["text"]) for row in rows]),
        )

    def loss(self, batch: Pairs) -> Loss:
        """Symmetric cross entropy over the similarities of the batch."""
        device = self._mean.device
        pixels = batch.views.of(batch.pixels.to(device).float() / 255)
        images = self._clip.encode_image((pixels - self._mean) / self._std, normalize=True)
        texts = self._clip.encode_text(batch.captions.to(device), normalize=True)
        with torch.autocast(device.type, enabled=False):  # similarities near one differ by less than bfloat16 tells
            value = self._loss(images.float(), texts.float(), self._clip.logit_scale.exp())
        return Loss(value, len(images))

    def components(self) -> Mapping[str, nn.Module]:
        """The image tower without its pooling head; the text tower has served its purpose."""
        return {"image_encoder": ClipImageEncoder(self._encoder, copy.deepcopy(self._clip.visual))}

    def _build(self) -> Any:
        """An `open_clip.CLIP` whose image tower holds what the start folders have of it."""
        unknown = self._config.text.keys() - {field.name for field in fields(open_clip.CLIPTextCfg)}
        if unknown:
            raise ConfigError(f"{self._config.name}: text: unknown key {', '.join(sorted(unknown))}")
        ids = {
            "vocab_size": self._tokenizer.vocab_size,
            "eos_id": self._tokenizer.end_id,
            "pad_id": self._tokenizer.pad_id,
        }
        text = {**self._config.text, **ids, "pool_type": "eos"}
        clip = open_clip.CLIP(self._encoder.embed_dim, dict(self._encoder.vision), text)
        seeing = ClipImageEncoder(self._encoder, copy.deepcopy(clip.visual))
        if start_from(self._config.start, "image_encoder", seeing):
            clip.visual.load_state_dict({**clip.visual.state_dict(), **seeing.tower.state_dict()})
        return clip

    def _captions_apart(self, step: int) -> list[dict[str, Any]]:
        chosen: dict[str, dict[str, Any]] = {}
        for index in shuffled(len(self._rows), self._config.seed, step * self._config.batch_size):
            row = self._rows[index]
            chosen.setdefault(row["text"], row)
            if len(chosen) == self._batch_size:
                break
        return list(chosen.values())

    def _caption(self, text: str) -> Tensor:
        length = self._clip.context_length
        ids = [*self._tokenizer.encode(text)[: length - 1], self._tokenizer.end_id]
        return torch.tensor(ids + [self._tokenizer.pad_id] * (length - len(ids)))
