"""CLIP pre-training of the image tower: open_clip's model and loss, on pictures and captions.

Where rows also list the `things` that a picture shows, a linear head names them: alone for the first steps where the
stage says so, then beside the contrastive loss.

B pictures of a batch, S side in pixels, L tokens of a caption, N names of things in the dataset
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.loss import ClipLoss
from torch import Tensor, nn

from mmchat.config import ContrastiveStage, ModelConfig
from mmchat.encoders.clip import ClipImageEncoder, fit
from mmchat.errors import ConfigError, DatasetError
from mmchat.inputs.image import load_image
from mmchat.model.tokenizer import ChatTokenizer
from mmchat.training.data import read_rows, shuffled, step_random
from mmchat.training.loop import GradientStage, Loss

_SHIFT = 0.12  # of half the side


@dataclass(frozen=True)
class Pairs:
    """Pictures with what is said of them."""

    pixels: Tensor
    """(B, 3, S, S) in 0..1."""
    captions: Tensor | None
    """(B, L) ids, the end token included; none while only names are learnt."""
    things: Tensor
    """(B, N) an equal share for each thing that the picture shows; all zero where its row lists none."""


class ContrastiveTraining(GradientStage[Pairs]):
    """Pictures and their captions are pulled together, all others of the batch apart (Radford et al. 2021)."""

    unit = "pictures"

    def __init__(
        self, config: ContrastiveStage, model: ModelConfig, tokenizer: ChatTokenizer, device: torch.device
    ) -> None:
        if model.image_encoder is None:
            raise ConfigError(f"{config.name}: {config.model} has no image_encoder to train")
        self._config = config
        self._encoder = model.image_encoder
        self._tokenizer = tokenizer
        self._rows = read_rows(config.data / "captions.jsonl", "image", "text")
        captions = len({row["text"] for row in self._rows})
        if captions < 2:
            raise DatasetError(f"{config.data}/captions.jsonl has one caption alone: there is nothing to tell it from")
        self._batch_size = min(config.batch_size, captions)
        text = {"vocab_size": tokenizer.vocab_size, "eos_id": tokenizer.end_id, "pad_id": tokenizer.pad_id}
        self._clip: Any = open_clip.CLIP(
            self._encoder.embed_dim, dict(self._encoder.vision), {**config.text, **text, "pool_type": "eos"}
        ).to(device)
        self._clip.visual.to(memory_format=torch.channels_last)  # convolutions of few channels run 1.6 times as fast
        self._alone = [row for row in self._rows if len(row.get("things", ())) == 1]
        if config.naming_steps and not self._alone:
            raise DatasetError(f"{config.data}/captions.jsonl lists no picture of one thing, which naming_steps needs")
        self._names = sorted({name for row in self._rows for name in row.get("things", ())})
        self._naming = nn.Linear(self._encoder.embed_dim, len(self._names)) if self._names else nn.Identity()
        self.module = nn.ModuleDict({"clip": self._clip, "naming": self._naming}).to(device)
        self._pictures: dict[str, Tensor] = {}
        self._length = int(config.text["context_length"])
        self._loss = ClipLoss()
        self._mean, self._std = (
            torch.tensor(values, device=device).view(3, 1, 1) for values in (self._encoder.mean, self._encoder.std)
        )

    def batch(self, step: int) -> Pairs:
        """Pictures in a new view each; where captions are told apart, none stands in a batch twice.

        Raises:
            ImageError: a picture cannot be read.
        """
        naming = step < self._config.naming_steps
        rows = self._pictures_alone(step) if naming else self._captions_apart(step)
        pixels = torch.stack([self._picture(row["image"]) for row in rows])  # B, 3, S, S
        generator = torch.Generator().manual_seed(step_random(self._config.seed, step).getrandbits(63))
        return Pairs(
            augment(pixels.float() / 255, generator),
            None if naming else torch.stack([self._caption(row["text"]) for row in rows]),
            torch.stack([self._things(row) for row in rows]),
        )

    def loss(self, batch: Pairs) -> Loss:
        """Symmetric cross entropy over the batch's similarities, and cross entropy of the names where there are any."""
        device = self._mean.device
        images = self._clip.encode_image((batch.pixels.to(device) - self._mean) / self._std)
        value = images.new_zeros(())
        if batch.captions is not None:
            texts = self._clip.encode_text(batch.captions.to(device), normalize=True)
            value = value + self._loss(F.normalize(images, dim=-1), texts, self._clip.logit_scale.exp())
        listed = batch.things.sum(1) > 0
        if listed.any():
            value = value + F.cross_entropy(self._naming(images[listed]), batch.things[listed].to(device))
        return Loss(value, len(images))

    def components(self) -> Mapping[str, nn.Module]:
        """The image tower without its pooling head; the text tower and the naming head have served their purpose."""
        return {"image_encoder": ClipImageEncoder(self._encoder, copy.deepcopy(self._clip.visual))}

    def _pictures_alone(self, step: int) -> list[dict[str, Any]]:
        order = shuffled(len(self._alone), self._config.seed, step * self._config.batch_size)
        return [self._alone[index] for index in itertools.islice(order, self._config.batch_size)]

    def _captions_apart(self, step: int) -> list[dict[str, Any]]:
        chosen: dict[str, dict[str, Any]] = {}
        for index in shuffled(len(self._rows), self._config.seed, step * self._config.batch_size):
            row = self._rows[index]
            chosen.setdefault(row["text"], row)
            if len(chosen) == self._batch_size:
                break
        return list(chosen.values())

    def _picture(self, name: str) -> Tensor:
        """(3, S, S) bytes of a picture as inference would see it; kept after the first time."""
        if name not in self._pictures:
            image = fit(load_image(self._config.data / name).image, self._encoder.image_size)
            self._pictures[name] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return self._pictures[name]

    def _things(self, row: dict[str, Any]) -> Tensor:
        shown = set(row.get("things", ()))
        return torch.tensor([(name in shown) / max(1, len(shown)) for name in self._names])

    def _caption(self, text: str) -> Tensor:
        ids = [*self._tokenizer.encode(text)[: self._length - 1], self._tokenizer.end_id]
        return torch.tensor(ids + [self._tokenizer.pad_id] * (self._length - len(ids)))


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Another view of each picture that leaves its caption true: shifted, scaled, turned a little, in another light.

    Pictures are never mirrored, for captions say left and right, and their hue stays, for they say colours.

    Args:
        pixels: (B, 3, S, S) in 0..1; views beyond the edge repeat it.
        generator: all randomness comes from it.

    Returns:
        (B, 3, S, S) in 0..1, channels last in memory.
    """
    count = len(pixels)

    def uniform(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *size, generator=generator)

    angle, scale = 0.1 * torch.randn(count, generator=generator), uniform(0.85, 1.15)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    shift = uniform(-_SHIFT, _SHIFT, 2)
    turn = torch.stack([cos, sin, shift[:, 0], -sin, cos, shift[:, 1]], 1).view(count, 2, 3)
    grid = F.affine_grid(turn, list(pixels.shape), align_corners=False)
    views = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    grey = views.mean(1, keepdim=True)
    views = grey + (views - grey) * uniform(0.7, 1.3, 1, 1, 1)  # saturation
    views = (views - 0.5) * uniform(0.75, 1.25, 1, 1, 1) + 0.5 + uniform(-0.1, 0.1, 1, 1, 1)  # contrast, brightness
    return views.clamp(0, 1).contiguous(memory_format=torch.channels_last)
