"""The one door for the command line, the page, the server and evaluation.

An assistant keeps no conversation: it belongs to whoever asks. What it does keep, by content, is the cross-modal tokens
of the media it saw last, so that a picture is encoded once a conversation, and what its decoder made of what it read
last, so that a turn costs its new tokens.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import ImageOps
from torch import Tensor

from mmchat.checkpoints.about import AssistantInfo, MediaCheck, any_clip, any_picture
from mmchat.checkpoints.hub import find_model
from mmchat.checkpoints.memory import bytes_to_remember, fitted
from mmchat.checkpoints.public import open_checkpoint
from mmchat.checkpoints.store import Checkpoint
from mmchat.config import GenerationOptions, Modality
from mmchat.errors import CheckpointError, OptionError
from mmchat.generation.beam import beam_search
from mmchat.generation.engine import Engine, Prefill
from mmchat.generation.media import MediaTokens
from mmchat.generation.reply import MediaReceipt, Reply, ReplyStream, Timing, Usage
from mmchat.generation.scheduler import Scheduler
from mmchat.generation.telling import Asked, told
from mmchat.generation.text import TextStream
from mmchat.inputs.audio import SAMPLE_RATE, AudioPart
from mmchat.inputs.image import ImagePart
from mmchat.inputs.messages import ConversationLike, Message, as_messages
from mmchat.model.multimodal import Multimodal
from mmchat.model.placement import Placement, pick_device, pick_dtype, pick_quantization
from mmchat.model.sequence import IGNORED, MixedSequence, build_sequence, check_fits

if TYPE_CHECKING:
    from mmchat.encoders.transcriber import Transcriber

__all__ = [
    "Assistant",
    "AssistantInfo",
    "MediaCheck",
    "MediaReceipt",
    "Reply",
    "ReplyStream",
    "Timing",
    "Usage",
]


@dataclass(frozen=True)
class _Question:
    """A conversation that was read and is waiting for its answers."""

    sequence: MixedSequence
    prefill: Prefill
    receipts: tuple[MediaReceipt, ...]
    asked: float


class Assistant:
    """A loaded model that answers conversations of text, pictures and clips."""

    def __init__(self, checkpoint: Checkpoint, place: Placement, transcriber: Transcriber | None = None) -> None:
        """Load the decoder of a checkpoint; encoders follow when a question first needs them.

        A transcriber writes down the clips of a model that cannot hear.
        """
        began = time.perf_counter()
        self.name = checkpoint.config.name
        self._checkpoint = checkpoint
        self._place = place
        self._transcriber = transcriber
        self._tokenizer = checkpoint.tokenizer()
        self._model: Multimodal
        self._scheduler = Scheduler(self._load_engine)
        self._media = MediaTokens(self._model)
        self._load_s = time.perf_counter() - began

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        quantize: str | None = None,
        transcriber: str | None = None,
    ) -> Assistant:
        """Load a model.

        Args:
            model: None for the bundled model, a checkpoint folder of ours or of a family of public checkpoints, or
                `owner/name` on the hub.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` and `cuda` spread a model over all GPUs when
                one is too small.
            dtype: `auto`, `float32`, `bfloat16` or `float16`; `auto` is bfloat16 on a CUDA device, float32 elsewhere.
            quantize: `int8` or, on a CUDA device, `int4`: the type of the weights of the decoder's linear layers.
            transcriber: for a model that cannot hear, the name or file of a Whisper that writes clips down for it.

        Raises:
            CheckpointError, ConfigError: there is no such model or it is damaged.
            OptionError: the device is not there, its memory is too small, or it does not know the type of number; or
                there is a transcriber, and the model hears by itself.
        """
        where = pick_device(device)
        place = Placement(where, pick_dtype(dtype, where), pick_quantization(quantize, where))
        checkpoint = open_checkpoint(find_model(model), name=None if model is None else Path(model).name)
        return cls(checkpoint, fitted(checkpoint, place), _transcriber(transcriber, checkpoint, where))

    def reply(self, conversation: ConversationLike, *, system: str | None = None, **options: Any) -> Reply:
        """The answer to a conversation.

        Args:
            conversation: what `inputs.messages.as_messages` takes: one part, the parts of one message, or messages.
            system: a system prompt to put first.
            options: fields of `GenerationOptions`.

        Raises:
            UserError: a part cannot be used, an option is out of range, or the conversation does not fit.
        """
        return self.replies(conversation, 1, system=system, **options)[0]

    def replies(
        self, conversation: ConversationLike, n: int, *, system: str | None = None, **options: Any
    ) -> list[Reply]:
        """n answers to one conversation, with the seeds seed, seed + 1, …; the conversation is read once.

        Raises:
            UserError: as for `reply`.
        """
        if n < 1:
            raise OptionError(f"cannot give {n} answers: ask for 1 or more")
        chosen = self._options(options)
        question = self._read(conversation, system)
        answers = [self._answer(question, chosen, _seed(chosen) + index) for index in range(n)]
        return [_finish(answer) for answer in answers]

    def stream(self, conversation: ConversationLike, *, system: str | None = None, **options: Any) -> ReplyStream:
        """The answer in pieces. Reading the conversation is done, and its errors raised, before this returns.

        Raises:
            UserError: as for `reply`.
        """
        chosen = self._options(options)
        return self._answer(self._read(conversation, system), chosen, _seed(chosen))

    def log_likelihood(
        self, conversation: ConversationLike, answer: str, *, system: str | None = None
    ) -> tuple[float, int]:
        """How probable an answer is, by teacher forcing: exp(-nats / tokens) is its perplexity.

        Returns:
            The log-probability, in nats, of the answer and the end of its turn, and how many tokens these are.

        Raises:
            UserError: as for `reply`; the answer has to fit the context too.
        """
        tokens = self.token_log_likelihoods(conversation, answer, system=system)
        return sum(nats for _, nats in tokens), len(tokens)

    def token_log_likelihoods(
        self, conversation: ConversationLike, answer: str, *, system: str | None = None
    ) -> list[tuple[str, float]]:
        """Text and log-probability, in nats, of each token of an answer; last the end of its turn, without text.

        Raises:
            UserError: as for `log_likelihood`.
        """
        sequence, positions = self._answered(conversation, answer, system)
        targets = torch.tensor(positions, device=self._model.decoder.device)
        ids = [sequence.ids[position] for position in positions]

        @torch.inference_mode()
        def nats() -> list[float]:
            logits = self._model.decoder(self._embed(sequence))[0][0, targets - 1].float()
            chosen: list[float] = logits.log_softmax(dim=-1)[range(len(ids)), ids].tolist()
            return chosen

        return list(zip(self._texts(ids, answer), self._scheduler.run(nats), strict=True))

    def token_attention(
        self, conversation: ConversationLike, answer: str, *, system: str | None = None
    ) -> tuple[list[str], list[Tensor]]:
        """How much attention each token of an answer pays to each cross-modal token while it is chosen.

        Returns:
            The texts of the K tokens, as in `token_log_likelihoods`; and for each picture and clip, in their order,
            the shares (K, n) that its n tokens have, as they lie in it. A clip that a transcriber wrote down has none.

        Raises:
            UserError: as for `log_likelihood`, or the decoder does not tell.
        """
        sequence, positions = self._answered(conversation, answer, system)
        chosen_at = torch.tensor(positions, device=self._model.decoder.device) - 1

        @torch.inference_mode()
        def shares() -> list[Tensor]:
            paid = self._model.decoder.attention(self._embed(sequence), chosen_at).cpu()  # K, T
            read_at = self._model.read_at([span.media for span in sequence.spans])
            return [paid[:, span.start + at.cpu()] for span, at in zip(sequence.spans, read_at, strict=True)]

        texts = self._texts([sequence.ids[position] for position in positions], answer)
        return texts, self._scheduler.run(shares)

    def continuations(
        self, conversation: ConversationLike, opening: str, n: int, *, stop: Sequence[str], max_new_tokens: int
    ) -> list[str]:
        """The n most probable ways, by beam search, in which an answer that begins with `opening` goes on.

        Each ends with the turn, before the first stop string, or after `max_new_tokens`. The best comes first.

        Raises:
            UserError: as for `reply`.
        """
        if n < 1:
            raise OptionError(f"cannot give {n} continuations: ask for 1 or more")

        def ends(ids: Sequence[int]) -> bool:
            return ids[-1] in self._tokenizer.stop_ids or any(text in self._tokenizer.decode(ids) for text in stop)

        question = self._read(conversation, opening=opening)
        beams = self._scheduler.run(lambda: beam_search(self._model.decoder, question.prefill, n, max_new_tokens, ends))
        texts = [self._tokenizer.decode(beam.ids) for beam in beams]
        return [text[: min((text.find(end) for end in stop if end in text), default=None)] for text in texts]

    def describe(self) -> AssistantInfo:
        """What the model is, where it runs, and what media costs."""
        config = self._checkpoint.config
        decoder = self._model.decoder
        image = None if config.image_encoder is None else self._num_tokens(any_picture())
        second = None if config.audio_encoder is None else self._num_tokens(any_clip(10.0)) / 10.0
        return AssistantInfo(
            name=self.name,
            path=self._checkpoint.folder,
            knows=config.knows,
            parameters=self._checkpoint.parameters(),
            context=decoder.context,
            device=str(decoder.device),
            dtype=str(decoder.dtype).removeprefix("torch."),
            quantization=self._place.quantization,
            tokens_per_image=image,
            tokens_per_second=second,
            transcriber=None if self._transcriber is None else self._transcriber.name,
        )

    def media_check(self, part: ImagePart | AudioPart) -> MediaCheck:
        """Exchange a picture or clip for another and see whether the logits move.

        The other is the same picture in its negative colours, or the same clip played backwards.
        """
        if isinstance(part, ImagePart):
            other: ImagePart | AudioPart = ImagePart.from_pil(ImageOps.invert(part.image))
        else:
            other = AudioPart.from_waveform(part.waveform[::-1].copy(), SAMPLE_RATE)
        questions = [self._sequence(self._written([Message.user("what is this?", each)])) for each in (part, other)]
        first, second = (self._scheduler.prefill(partial(self._embed, each)).logits for each in questions)
        return MediaCheck(_kind(part), float((first - second).abs().max()))

    def verify(self) -> int:
        """Compare the checkpoint's files with their recorded hashes; returns how many there are.

        Raises:
            CheckpointError: a file is missing or altered.
        """
        return self._checkpoint.verify()

    def _load_engine(self) -> Engine:
        """For the thread of the scheduler, as all that touches the weights."""
        self._model = self._checkpoint.load(self._place)
        if self._tokenizer.vocab_size > self._model.decoder.vocab_size:
            raise CheckpointError(
                f"{self._checkpoint.folder}: the tokenizer has {self._tokenizer.vocab_size} tokens, "
                f"the decoder embeds {self._model.decoder.vocab_size}"
            )
        remembered = bytes_to_remember(self._checkpoint, self._place)
        return Engine(self._model.decoder, self._tokenizer.stop_ids, remembered)

    def _options(self, given: dict[str, Any]) -> GenerationOptions:
        options = GenerationOptions.create(**given)
        return options if options.seed is not None else options.model_copy(update={"seed": secrets.randbelow(2**31)})

    def _messages(self, conversation: ConversationLike, system: str | None) -> list[Message]:
        messages = as_messages(conversation)
        return messages if system is None else [Message.system(system), *messages]

    def _written(self, messages: list[Message]) -> list[Message]:
        """With the transcript in the place of each clip, where the model cannot hear."""
        transcriber = self._transcriber
        return messages if transcriber is None else [transcriber.written(each) for each in messages]

    def _sequence(self, messages: Sequence[Message], *, answer_next: bool = True) -> MixedSequence:
        for part in (part for message in messages for part in message.media):
            self._need(_kind(part))
        return build_sequence(messages, self._tokenizer, self._model.num_tokens, answer_next=answer_next)

    def _answered(
        self, conversation: ConversationLike, answer: str, system: str | None
    ) -> tuple[MixedSequence, list[int]]:
        """A conversation with an answer, and where the tokens of the answer are."""
        messages = self._written(self._messages(conversation, system))
        sequence = self._sequence([*messages, Message.assistant(answer)], answer_next=False)
        earlier = len(_taught(self._sequence(messages)))
        return sequence, _taught(sequence)[earlier:]

    def _texts(self, ids: Sequence[int], answer: str) -> list[str]:
        """What of an answer each of its tokens says."""
        lengths = [len(self._tokenizer.decode(ids[:count])) for count in range(len(ids) + 1)]
        return [answer[start:end] for start, end in pairwise(lengths)]

    def _embed(self, sequence: MixedSequence) -> Tensor:
        """(1, T, D): what the decoder reads. For the thread of the scheduler."""
        check_fits(sequence, self._model.decoder.context)
        return self._model.embed(sequence, self._media.of([span.media for span in sequence.spans]))[None]

    def _read(self, conversation: ConversationLike, system: str | None = None, opening: str = "") -> _Question:
        asked = time.perf_counter()
        messages = self._messages(conversation, system)
        sequence = self._sequence(self._written(messages))
        begun = self._tokenizer.encode(opening)
        sequence = replace(sequence, ids=(*sequence.ids, *begun), labels=(*sequence.labels, *begun))
        prefill = self._scheduler.prefill(partial(self._embed, sequence), sequence)
        lengths = {span.media.digest: span.length for span in sequence.spans}
        receipts = tuple(self._receipt(part, lengths) for message in messages for part in message.media)
        return _Question(sequence, prefill, receipts, asked)

    def _answer(self, question: _Question, options: GenerationOptions, seed: int) -> ReplyStream:
        """Begin an answer; it goes on before anything of it is read."""
        text = TextStream(self._tokenizer.decode, options.stop)
        ids = self._scheduler.answer(question.prefill, list(question.sequence.ids), options, seed)
        asked = Asked(self.name, question.receipts, len(question.sequence), self._load_s, question.asked, seed)
        return ReplyStream(told(asked, ids, text), ids.close)

    def _receipt(self, part: ImagePart | AudioPart, lengths: Mapping[str, int]) -> MediaReceipt:
        """Of a part, given how many tokens the sequence has for each that an encoder reads."""
        notes, tokens = [part.note, self._model.part_seen(part)], lengths.get(part.digest)
        if tokens is None:
            assert self._transcriber is not None
            assert isinstance(part, AudioPart)
            text = self._transcriber.transcribe(part)
            tokens = len(self._tokenizer.encode(text))
            notes.append(f'{self._transcriber.name} heard "{text}"')
        seconds = part.seconds if isinstance(part, AudioPart) else None
        return MediaReceipt(_kind(part), part.name, tokens, seconds, "; ".join(filter(None, notes)) or None)

    def _num_tokens(self, part: ImagePart | AudioPart) -> int:
        self._need(_kind(part))
        return self._model.num_tokens(part)

    def _need(self, modality: Modality) -> None:
        """Load an encoder when it is first needed."""
        if getattr(self._model, f"{modality}_projector") is None:
            self._scheduler.run(partial(self._add, modality))

    def _add(self, modality: Modality) -> None:
        """For the thread of the scheduler; two questions may have asked for it."""
        if getattr(self._model, f"{modality}_projector") is None:
            began = time.perf_counter()
            self._checkpoint.add(self._model, modality)
            self._load_s += time.perf_counter() - began


def _transcriber(source: str | None, checkpoint: Checkpoint, device: torch.device) -> Transcriber | None:
    if source is None:
        return None
    if checkpoint.config.audio_encoder is not None:
        raise OptionError(f"{checkpoint.config.name} hears by itself: leave the transcriber out")
    from mmchat.encoders.transcriber import Transcriber

    return Transcriber.load(source, device)


def _finish(stream: ReplyStream) -> Reply:
    for _ in stream:
        pass
    assert stream.reply is not None
    return stream.reply


def _seed(options: GenerationOptions) -> int:
    assert options.seed is not None
    return options.seed


def _taught(sequence: MixedSequence) -> list[int]:
    """Positions of what the assistant said."""
    return [position for position, label in enumerate(sequence.labels) if label != IGNORED]


def _kind(part: ImagePart | AudioPart) -> Modality:
    return "image" if isinstance(part, ImagePart) else "audio"
