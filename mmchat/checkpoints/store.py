"""The checkpoint folder: one place that says all about a model.

    config.json             ModelConfig
    <component>.safetensors weights of decoder, image_encoder, image_projector, audio_encoder, audio_projector
    tokenizer.json          tokenizers' own format
    chat_template.jinja     Jinja, as transformers reads it
    README.md               model card
    SHA256SUMS              one line a file, as `sha256sum --check` reads it

Loading is strict: a missing, extra or misshapen weight is an error that names it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmchat.checkpoints.weights import WeightFiles, Weights, compare, fill, shapes, unique
from mmchat.config import Modality, ModelConfig, load_model_config
from mmchat.errors import CheckpointError
from mmchat.model.decoder import answering_decoder
from mmchat.model.multimodal import Multimodal
from mmchat.model.placement import ON_CPU, Placement
from mmchat.model.tokenizer import TEMPLATE_FILE, TOKENIZER_FILE, ChatTokenizer

CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
HASHES_FILE = "SHA256SUMS"
COMPONENTS = ("decoder", "image_encoder", "image_projector", "audio_encoder", "audio_projector")


class Checkpoint:
    """A checkpoint folder, opened for reading."""

    def __init__(self, folder: Path) -> None:
        """Open a folder; weights are read when they are asked for.

        Raises:
            CheckpointError: the folder is missing or is no checkpoint.
            ConfigError: its `config.json` has an unknown key or a wrong value.
        """
        if not (folder / CONFIG_FILE).is_file():
            raise CheckpointError(f"{folder} is not a checkpoint folder: it has no {CONFIG_FILE}")
        self.folder = folder
        self.config = load_model_config(folder / CONFIG_FILE)

    def tokenizer(self) -> ChatTokenizer:
        """The tokenizer with its chat template.

        Raises:
            CheckpointError: a file is missing or malformed.
        """
        return ChatTokenizer.load(self.folder, self.config.tokens)

    def card(self) -> str:
        """The model card, Markdown; empty when there is none."""
        path = self.folder / CARD_FILE
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def weights(self, name: str) -> Weights:
        """The weights of a component of `COMPONENTS`.

        Raises:
            CheckpointError: its file is missing or malformed.
        """
        return _weights(self.folder, name)

    def load(self, place: Placement = ON_CPU) -> Multimodal:
        """The model with its decoder, ready to answer text.

        Raises:
            CheckpointError: a weight is missing, left over or of another shape; names it.
        """
        decoder = answering_decoder(self.config.decoder, place)
        weights = self.weights("decoder")
        compare(decoder.weight_shapes(), weights)
        decoder.load_weights({name: weights.tensor(name) for name in weights.shapes()}, place)
        return Multimodal(self.config, decoder).eval()

    def add(self, model: Multimodal, modality: Modality) -> None:
        """Bring the encoder and projector of a modality into a loaded model.

        Raises:
            MessageError: the model was made without this sense.
            CheckpointError: as for `load`; or the projector was never trained.
        """
        if f"{modality}_projector" in self.config.untrained:
            raise CheckpointError(
                f"the {modality} projector of {self.config.name} is fresh: train it first, with mmchat train"
            )
        components = model.fresh(modality)
        for name, component in components.items():
            fill(component, self.weights(name))
            component.to(device=model.decoder.device, dtype=model.decoder.dtype).eval()
        model.attach(components)  # last, so that a damaged file never leaves fresh weights to answer from

    def parameters(self) -> dict[str, int]:
        """Number of weights of each component that the folder holds, from the file headers alone."""
        counts: dict[str, int] = {}
        for name in COMPONENTS:
            path = self.folder / f"{name}.safetensors"
            if path.is_file():
                counts[name] = WeightFiles(path, [path]).count()
        return counts

    def verify(self) -> int:
        """Compare each file with its recorded hash.

        Returns:
            The number of files compared.

        Raises:
            CheckpointError: a file is missing or altered, or its hash is not recorded.
        """
        recorded = _read_hashes(self.folder)
        for name in (CONFIG_FILE, TOKENIZER_FILE, TEMPLATE_FILE, *(f"{name}.safetensors" for name in COMPONENTS)):
            if name not in recorded and (self.folder / name).is_file():
                raise CheckpointError(f"{self.folder / HASHES_FILE} has no hash of {name}")
        for name, expected in recorded.items():
            if not (self.folder / name).is_file():
                raise CheckpointError(f"{self.folder} lacks {name}")
            if _sha256(self.folder / name) != expected:
                raise CheckpointError(f"{self.folder / name} is not the file that was saved: its hash differs")
        return len(recorded)


def save_checkpoint(
    folder: Path,
    config: ModelConfig,
    components: Mapping[str, nn.Module],
    tokenizer: ChatTokenizer | None,
    card: str = "",
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a checkpoint folder, whole or, between the stages of training, with some of the components.

    It is written beside its place and moved there when it is complete; an earlier one is replaced.

    Args:
        folder: where to.
        config: of the whole model.
        components: modules by their name in `COMPONENTS`.
        tokenizer: saved with its chat template; none for components that read no text.
        card: the model card, Markdown; left out when empty.
        dtype: type of the stored floating-point weights.
    """
    for name, component in components.items():
        assert component.state_dict(), f"the {name} has no weights to save: one that only answers keeps none by name"
    tensors = ((name, _stored(component, dtype)) for name, component in components.items())
    write_checkpoint(folder, config, tensors, tokenizer, card)


def copy_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint that was read from elsewhere as a folder of ours; each weight stays the same bytes.

    Raises:
        CheckpointError: a weight is missing, left over or of another shape; names it. Nothing is written then.
    """
    config = checkpoint.config
    with torch.device("meta"):  # shapes alone
        model = Multimodal(config, answering_decoder(config.decoder, ON_CPU))
        expected = {"decoder": model.decoder.weight_shapes()}
        for modality in ("image", "audio"):
            if getattr(config, f"{modality}_encoder") is not None:
                expected |= {name: shapes(component) for name, component in model.fresh(modality).items()}
    read = {name: checkpoint.weights(name) for name in expected}
    for name, weights in read.items():
        compare(expected[name], weights)
    tensors = ((name, {key: weights.tensor(key) for key in weights.shapes()}) for name, weights in read.items())
    write_checkpoint(folder, config, tensors, checkpoint.tokenizer(), checkpoint.card())


def write_checkpoint(
    folder: Path,
    config: ModelConfig,
    components: Iterable[tuple[str, Mapping[str, Tensor]]],
    tokenizer: ChatTokenizer | None,
    card: str,
) -> None:
    """Write a checkpoint folder of tensors, as they are; otherwise as `save_checkpoint`."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / CONFIG_FILE).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if card:
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
    if tokenizer is not None:
        tokenizer.save(partial)
    for name, tensors in components:
        assert name in COMPONENTS, name
        save_file(dict(tensors), partial / f"{name}.safetensors", metadata={"format": "pt"})
    write_hashes(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def write_hashes(folder: Path) -> None:
    """Record the sha256 of every other file of the folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != HASHES_FILE)
    lines = [f"{_sha256(path)}  {path.name}" for path in files]
    (folder / HASHES_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_component(folder: Path, name: str, component: nn.Module) -> None:
    """Fill a component from its file, strictly.

    Raises:
        CheckpointError: the file is missing or malformed, or a weight is missing, left over or of another shape.
    """
    fill(component, _weights(folder, name))


def _weights(folder: Path, name: str) -> WeightFiles:
    assert name in COMPONENTS, name
    path = folder / f"{name}.safetensors"
    return WeightFiles(path, [path])


def _stored(component: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        key: (tensor.detach().to("cpu", dtype) if tensor.is_floating_point() else tensor.detach().cpu()).contiguous()
        for key, tensor in unique(component)
    }


def _read_hashes(folder: Path) -> dict[str, str]:
    """The recorded sha256 of each file, by its name."""
    path = folder / HASHES_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {HASHES_FILE}")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [re.fullmatch(r"([0-9a-f]{64})  ([\w.-]+)", line) for line in lines]
    if not all(found):
        raise CheckpointError(f"{path} is malformed")
    return {match[2]: match[1] for match in found if match}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
