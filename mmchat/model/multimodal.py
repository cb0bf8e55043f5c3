"""The whole model: encoders, projectors, fusion, decoder.

B rows, T positions of the longest row, n cross-modal tokens, D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmchat.config import Modality, ModelConfig, ProjectorConfig
from mmchat.errors import ConfigError, MessageError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.model.decoder import Decoder
from mmchat.model.projector import Projector
from mmchat.model.sequence import MixedSequence, fuse

if TYPE_CHECKING:
    from mmchat.encoders.clip import ClipImageEncoder
    from mmchat.encoders.whisper import WhisperAudioEncoder

Media = ImagePart | AudioPart
Features = tuple[Tensor, ...]
"""What an encoder makes of a picture, one chunk (P, Dv), or of a clip, a chunk (T, Da) for each 30 s."""


class Multimodal(nn.Module):
    """One assistant's weights.

    The encoders are attached one by one, so that a question in text alone waits for neither of them.
    """

    def __init__(self, config: ModelConfig, decoder: Decoder) -> None:
        """The decoder alone; `attach` brings the encoders."""
        super().__init__()
        self.config = config
        self.decoder = decoder
        self.image_encoder: ClipImageEncoder | None = None
        self.image_projector: Projector | None = None
        self.audio_encoder: WhisperAudioEncoder | None = None
        self.audio_projector: Projector | None = None

    def fresh(self, modality: Modality) -> dict[str, nn.Module]:
        """Encoder and projector of a modality with fresh weights, by their names here; not yet part of the model.

        Raises:
            MessageError: the model was made without this sense.
            ConfigError: the positions of a projector are not as many as a picture has tokens, or a projector has what
                belongs to that of the other modality.
        """
        config = self.config
        if modality == "image":
            if config.image_encoder is None or config.image_projector is None:
                raise MessageError(f"{config.name} cannot see pictures: ask it in text or choose another model")
            from mmchat.encoders.clip import ClipImageEncoder

            seeing = ClipImageEncoder(config.image_encoder)
            projector = Projector(config.image_projector, seeing.width, self.decoder.width, self.decoder.vocab_size)
            if config.image_projector.heard == "words":
                raise ConfigError("image_projector.heard: nobody says words in a picture")
            _check_positions(config.image_projector, projector.num_tokens(seeing.num_features))
            return {"image_encoder": seeing, "image_projector": projector}
        if config.audio_encoder is None or config.audio_projector is None:
            raise MessageError(f"{config.name} cannot hear: ask it in text or choose another model")
        from mmchat.encoders.whisper import WhisperAudioEncoder

        if config.audio_projector.positions:
            raise ConfigError("audio_projector.positions: Whisper's features say when; only pictures take positions")
        hearing = WhisperAudioEncoder(config.audio_encoder, config.audio_projector.neighbours)
        projector = Projector(config.audio_projector, hearing.width, self.decoder.width, self.decoder.vocab_size)
        return {"audio_encoder": hearing, "audio_projector": projector}

    def attach(self, components: Mapping[str, nn.Module]) -> None:
        """Make the encoder and projector of a modality part of the model."""
        for name, component in components.items():
            setattr(self, name, component)

    def num_tokens(self, part: ImagePart | AudioPart) -> int:
        """How many cross-modal tokens a picture or clip becomes; known before an encoder runs."""
        if isinstance(part, ImagePart):
            assert self.image_encoder is not None
            assert self.image_projector is not None
            return self.image_projector.num_tokens(self.image_encoder.num_features)
        assert self.audio_encoder is not None
        assert self.audio_projector is not None
        chunks = self.audio_encoder.num_features(len(part.waveform))
        return sum(self.audio_projector.num_tokens(chunk) for chunk in chunks)

    def part_seen(self, part: ImagePart | AudioPart) -> str:
        """What part of a picture the encoder sees, in words for its receipt; empty when it sees all of it."""
        return self.image_encoder.part_seen(part.image) if isinstance(part, ImagePart) and self.image_encoder else ""

    def forward(self, batch: Sequence[MixedSequence], positions: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) of a batch of conversations; rows are padded at the end."""
        media = [span.media for sequence in batch for span in sequence.spans]
        return self.read(batch, self.project(media, self.features(media)), positions)

    def encode(self, media: Sequence[Media]) -> list[Tensor]:
        """For each picture and clip its (n, D) cross-modal tokens."""
        return self.project(media, self.features(media))

    def features(self, media: Sequence[Media]) -> list[Features]:
        """What the encoders see and hear."""
        images = iter(self._see([part for part in media if isinstance(part, ImagePart)]))
        clips = iter(self._hear([part for part in media if isinstance(part, AudioPart)]))
        return [next(images if isinstance(part, ImagePart) else clips) for part in media]

    def project(self, media: Sequence[Media], features: Sequence[Features]) -> list[Tensor]:
        """For each picture and clip its (n, D) cross-modal tokens, as the decoder reads them."""
        return self.as_read(media, self.in_time(media, features))

    def as_read(self, media: Sequence[Media], tokens: Sequence[Tensor]) -> list[Tensor]:
        """Tokens (n, D) in time of each picture and clip to what the decoder reads of them."""
        return [self._projector(part).read(each, self._words) for part, each in zip(media, tokens, strict=True)]

    def read_at(self, media: Sequence[Media]) -> list[Tensor]:
        """For each picture and clip where among its tokens the decoder reads the first in time, the second, … (n,)."""
        tokens = self.in_time(media, self.features(media))
        return [self._projector(part).order(each).argsort() for part, each in zip(media, tokens, strict=True)]

    def in_time(self, media: Sequence[Media], features: Sequence[Features]) -> list[Tensor]:
        """For each picture and clip its (n, D) cross-modal tokens; chunks of one length go through together."""
        chunks = [
            (owner, self._projector(part), chunk)
            for owner, (part, parts) in enumerate(zip(media, features, strict=True))
            for chunk in parts
        ]
        tokens: dict[int, Tensor] = {}
        for projector, length in {(projector, len(chunk)) for _, projector, chunk in chunks}:
            alike = [i for i, (_, its, chunk) in enumerate(chunks) if its is projector and len(chunk) == length]
            tokens.update(zip(alike, projector(torch.stack([chunks[i][2] for i in alike])), strict=True))
        return [
            torch.cat([tokens[index] for index, (owner, _, _) in enumerate(chunks) if owner == item])
            for item in range(len(media))
        ]

    def read(
        self,
        batch: Sequence[MixedSequence],
        tokens: Sequence[Tensor],
        positions: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
    ) -> Tensor:
        """Logits (B, T, V) of a batch of conversations, given the cross-modal tokens of its media in their order.

        Args:
            batch: the conversations.
            tokens: (n, D) of each picture and clip.
            positions: (B, T) position of each embedding; by default 0 to T - 1.
            logits_to_keep: as in `Decoder.forward`.
        """
        given = iter(tokens)
        rows = [self.embed(sequence, [next(given) for _ in sequence.spans]) for sequence in batch]
        embeddings = pad_sequence(rows, batch_first=True)  # B, T, D
        logits: Tensor = self.decoder(embeddings, positions=positions, logits_to_keep=logits_to_keep)[0]
        return logits

    def embed(self, sequence: MixedSequence, tokens: Sequence[Tensor]) -> Tensor:
        """(T, D): the sequence's token embeddings with its media written in."""
        ids = torch.tensor(sequence.ids, device=self.decoder.device)
        return fuse(self.decoder.embed(ids), sequence, tokens)

    def _words(self) -> Tensor:
        """(V, D): the embedding of each word of the vocabulary."""
        return self.decoder.embed(torch.arange(self.decoder.vocab_size, device=self.decoder.device))

    def _projector(self, part: Media) -> Projector:
        projector = self.image_projector if isinstance(part, ImagePart) else self.audio_projector
        assert projector is not None
        return projector

    def _see(self, parts: Sequence[ImagePart]) -> list[Features]:
        if not parts:
            return []
        assert self.image_encoder is not None
        pixels = self.image_encoder.preprocess([part.image for part in parts])  # B, 3, S, S
        return [(seen,) for seen in self.image_encoder(pixels)]

    def _hear(self, parts: Sequence[AudioPart]) -> list[Features]:
        """Clips run in batches of chunks of one length: padding would change what an encoder without a mask hears."""
        if not parts:
            return []
        assert self.audio_encoder is not None
        chunks = [
            (owner, chunk) for owner, part in enumerate(parts) for chunk in self.audio_encoder.preprocess(part.waveform)
        ]
        features: dict[int, Tensor] = {}
        for frames, heard in {(chunk.mel.shape[-1], chunk.heard) for _, chunk in chunks}:
            alike = [i for i, (_, chunk) in enumerate(chunks) if (chunk.mel.shape[-1], chunk.heard) == (frames, heard)]
            batch = torch.stack([chunks[index][1].mel for index in alike])  # B, M, F
            features.update(zip(alike, self.audio_encoder(batch, heard), strict=True))
        return [
            tuple(features[index] for index, (owner, _) in enumerate(chunks) if owner == clip)
            for clip in range(len(parts))
        ]


def _check_positions(config: ProjectorConfig, tokens: int) -> None:
    if config.positions not in (0, tokens):
        raise ConfigError(f"image_projector.positions: a picture has {tokens} tokens, not {config.positions}")
