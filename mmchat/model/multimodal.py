"""The whole model: encoders, projectors, fusion, decoder.

B rows, T positions of the longest row, n cross-modal tokens, D width of the decoder, V size of the vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmchat.config import ModelConfig
from mmchat.errors import MessageError
from mmchat.inputs.audio import AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.model.decoder import Decoder
from mmchat.model.projector import Projector
from mmchat.model.sequence import MixedSequence, fuse

if TYPE_CHECKING:
    from mmchat.encoders.clip import ClipImageEncoder
    from mmchat.encoders.whisper import WhisperAudioEncoder

Modality = Literal["image", "audio"]


class Multimodal(nn.Module):
    """One assistant's weights.

    The encoders are attached one by one, so that a question in text alone waits for neither of them.
    """

    def __init__(self, config: ModelConfig) -> None:
        """The decoder with fresh weights; `attach` brings the encoders."""
        super().__init__()
        self.config = config
        self.decoder = Decoder(config.decoder)
        self.image_encoder: ClipImageEncoder | None = None
        self.image_projector: Projector | None = None
        self.audio_encoder: WhisperAudioEncoder | None = None
        self.audio_projector: Projector | None = None

    def fresh(self, modality: Modality) -> dict[str, nn.Module]:
        """Encoder and projector of a modality with fresh weights, by their names here; not yet part of the model.

        Raises:
            MessageError: the model was made without this sense.
        """
        config = self.config
        if modality == "image":
            if config.image_encoder is None or config.image_projector is None:
                raise MessageError(f"{config.name} cannot see pictures: ask it in text or choose another model")
            from mmchat.encoders.clip import ClipImageEncoder

            seeing = ClipImageEncoder(config.image_encoder)
            projector = Projector(config.image_projector, seeing.width, self.decoder.width)
            return {"image_encoder": seeing, "image_projector": projector}
        if config.audio_encoder is None or config.audio_projector is None:
            raise MessageError(f"{config.name} cannot hear: ask it in text or choose another model")
        from mmchat.encoders.whisper import WhisperAudioEncoder

        hearing = WhisperAudioEncoder(config.audio_encoder)
        projector = Projector(config.audio_projector, hearing.width, self.decoder.width)
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

    def forward(self, batch: Sequence[MixedSequence], positions: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) of a batch of conversations; rows are padded at the end."""
        media = [span.media for sequence in batch for span in sequence.spans]
        features = iter(self.encode(media))
        rows = [self.embed(sequence, [next(features) for _ in sequence.spans]) for sequence in batch]
        logits: Tensor = self.decoder(pad_sequence(rows, batch_first=True), positions=positions)[0]
        return logits

    def embed(self, sequence: MixedSequence, features: Sequence[Tensor]) -> Tensor:
        """(T, D): the sequence's token embeddings with its media written in."""
        ids = torch.tensor(sequence.ids, device=self.decoder.device)
        return fuse(self.decoder.embed(ids), sequence, features)

    def encode(self, media: Sequence[ImagePart | AudioPart]) -> list[Tensor]:
        """For each picture and clip its (n, D) cross-modal tokens."""
        images = iter(self._encode_images([part for part in media if isinstance(part, ImagePart)]))
        clips = iter(self._encode_clips([part for part in media if isinstance(part, AudioPart)]))
        return [next(images if isinstance(part, ImagePart) else clips) for part in media]

    def _encode_images(self, parts: Sequence[ImagePart]) -> list[Tensor]:
        if not parts:
            return []
        assert self.image_encoder is not None
        assert self.image_projector is not None
        pixels = self.image_encoder.preprocess([part.image for part in parts])  # B, 3, S, S
        return list(self.image_projector(self.image_encoder(pixels)))

    def _encode_clips(self, parts: Sequence[AudioPart]) -> list[Tensor]:
        """Clips run in batches of chunks of one length: padding would change what an encoder without a mask hears."""
        if not parts:
            return []
        assert self.audio_encoder is not None
        assert self.audio_projector is not None
        chunks = [
            (owner, mel) for owner, part in enumerate(parts) for mel in self.audio_encoder.preprocess(part.waveform)
        ]
        tokens: dict[int, Tensor] = {}
        for length in {mel.shape[-1] for _, mel in chunks}:
            alike = [index for index, (_, mel) in enumerate(chunks) if mel.shape[-1] == length]
            mels = torch.stack([chunks[index][1] for index in alike])  # B, M, F
            tokens.update(zip(alike, self.audio_projector(self.audio_encoder(mels)), strict=True))
        return [
            torch.cat([tokens[index] for index, (owner, _) in enumerate(chunks) if owner == clip])
            for clip in range(len(parts))
        ]
