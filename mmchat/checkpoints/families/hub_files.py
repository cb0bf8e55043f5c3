"""The files of a checkpoint folder as transformers writes them: settings, tokenizer, chat template, weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any

from tokenizers import Tokenizer

from mmchat.checkpoints.hub import find_model
from mmchat.checkpoints.weights import WeightFiles
from mmchat.config import SpecialTokens
from mmchat.errors import CheckpointError

_NOT_SETTINGS = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}
_INDEX = "model.safetensors.index.json"


class HubFiles:
    """A folder of the Hugging Face hub, read when it is asked for."""

    def __init__(self, folder: Path, chat_template: str | None = None) -> None:
        """A folder, and the chat template of its family for a folder that has none."""
        self.folder = folder
        self._default_template = chat_template

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.json`."""
        return self._json("config.json")

    @cached_property
    def settings(self) -> Any:
        """`config.json` as the configuration class of transformers, which fills in what it leaves out.

        Raises:
            CheckpointError: it has a value that transformers does not accept.
        """
        return self.settings_of(self.config)

    def settings_of(self, values: Mapping[str, Any]) -> Any:
        """What `config.json` says of a part of the model, as the configuration class of transformers.

        Raises:
            CheckpointError: as for `settings`.
        """
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig

        given = {key: value for key, value in values.items() if key != "model_type"}
        try:
            return AutoConfig.for_model(values["model_type"], **given)
        except (ValueError, TypeError, LookupError, AttributeError, StrictDataclassError) as error:
            where = self.folder / "config.json"
            raise CheckpointError(f"{where}: {shorten(str(error), 200, placeholder=' …')}") from error

    def base(self, key: str) -> HubFiles | None:
        """The checkpoint that `config.json` names under a key, a folder or an id on the hub; None where it names none.

        Raises:
            CheckpointError: there is no such checkpoint, or it cannot be downloaded.
        """
        name = self.config.get(key)
        if name is None:
            return None
        try:
            return HubFiles(find_model(name))
        except CheckpointError as error:
            raise CheckpointError(f"{self.folder / 'config.json'}: {key}: {error}") from error

    @cached_property
    def image_processor(self) -> dict[str, Any]:
        """What is done to pictures: of `preprocessor_config.json`, or a part of `processor_config.json`."""
        found: dict[str, Any] = self._json("processor_config.json").get("image_processor", {})
        return found or self._json("preprocessor_config.json")

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """`tokenizer.json`, or `tekken.json` of Mistral made into one.

        Raises:
            CheckpointError: there is neither, or it is malformed.
        """
        read = {"tokenizer.json": Tokenizer.from_file, "tekken.json": _from_tekken}
        path = next((self.folder / name for name in read if (self.folder / name).is_file()), None)
        if path is None:
            raise CheckpointError(f"{self.folder} lacks tokenizer.json")
        try:
            return read[path.name](str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(f"{path} is malformed: {' '.join(str(error).split())}") from error

    @cached_property
    def chat_template(self) -> str:
        """The chat template, Jinja, from whichever file holds it.

        Raises:
            CheckpointError: none does.
        """
        path = self.folder / "chat_template.jinja"
        if path.is_file():
            return path.read_text(encoding="utf-8")
        for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
            template = self._json(name).get("chat_template")
            if isinstance(template, list):  # several, by name
                template = {each["name"]: each["template"] for each in template}.get("default")
            if isinstance(template, str):
                return template
        if self._default_template is not None:
            return self._default_template
        raise CheckpointError(f"{self.folder} has no chat template, so nobody knows how to talk to it")

    def weights(self) -> WeightFiles:
        """All tensors, of one file or of the shards that the index lists.

        Raises:
            CheckpointError: a file is missing or malformed.
        """
        index = self._json(_INDEX).get("weight_map")
        names = ["model.safetensors"] if index is None else sorted(set(index.values()))
        return WeightFiles(self.folder, [self.folder / name for name in names])

    def special_tokens(self, **media: Any) -> SpecialTokens:
        """What begins a conversation and ends a turn, with what `media` says of pictures and clips.

        Raises:
            CheckpointError: no token ends a turn.
        """
        settings = self._json("tokenizer_config.json")
        if not settings and (self.folder / "tekken.json").is_file():
            settings = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
        begin, end, pad = (_content(settings.get(f"{name}_token")) for name in ("bos", "eos", "pad"))
        stops = [self.tokenizer.id_to_token(index) for index in self._stop_ids()]
        end = end or next((token for token in stops if token), None)
        if end is None:
            raise CheckpointError(
                f"{self.folder}: neither tokenizer_config.json nor generation_config.json ends a turn"
            )
        added = self.tokenizer.encode("").ids[:1]
        begins = begin is not None and (
            added == [self.tokenizer.token_to_id(begin)] or "bos_token" in self.chat_template
        )
        return SpecialTokens(
            begin=begin if begins else None,
            end=end,
            also_end=tuple(token for token in stops if token not in (None, end)),
            pad=pad or end,
            markers=(),
            **media,
        )

    def _stop_ids(self) -> list[int]:
        ids = self._json("generation_config.json").get("eos_token_id")
        return [ids] if isinstance(ids, int) else list(ids or [])

    def _json(self, name: str) -> dict[str, Any]:
        """A JSON file; empty where there is none."""
        path = self.folder / name
        if not path.is_file():
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} is malformed: {' '.join(str(error).split())}") from error
        if not isinstance(value, dict):
            raise CheckpointError(f"{path} must hold keys and values")
        return value


def _from_tekken(path: str) -> Tokenizer:
    from transformers.integrations.mistral.tokenizer import MistralConverter

    tokenizer: Tokenizer = MistralConverter(path).converted()
    return tokenizer


def decoder_settings(text_config: Any) -> dict[str, Any]:
    """A transformers configuration as our `ModelConfig.decoder`: its model type and what differs from its defaults."""
    settings = {"model_type": text_config.model_type, **text_config.to_diff_dict()}
    return {name: value for name, value in settings.items() if name not in _NOT_SETTINGS}


def _content(token: Any) -> str | None:
    """A token as it stands in tokenizer_config.json: its text, or an object that has it as `content`."""
    return token.get("content") if isinstance(token, dict) else token
