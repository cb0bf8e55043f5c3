"""How much memory weights need, and what is said when there is too little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from checkpoints.toys import TEXT
from mmchat.checkpoints import memory
from mmchat.checkpoints.memory import bytes_to_remember, fitted, free_bytes, needed_bytes
from mmchat.checkpoints.store import Checkpoint, save_checkpoint
from mmchat.config import ModelConfig
from mmchat.errors import OptionError
from mmchat.model import transformers_decoder
from mmchat.model.decoder import Decoder
from mmchat.model.lean import LeanDecoder
from mmchat.model.multimodal import Multimodal
from mmchat.model.placement import Placement
from mmchat.model.transformers_decoder import TransformersDecoder

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
BFLOAT16 = Placement(CPU, torch.bfloat16)
INT8 = Placement(CPU, torch.float32, "int8")
SIZES = {**TEXT, "num_hidden_layers": 12, "intermediate_size": 64}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A text model with linear layers and a head of its own."""
    folder = tmp_path_factory.mktemp("llama") / "model"
    config = ModelConfig(name="toy", knows="nothing", decoder={"model_type": "llama", **SIZES})
    torch.manual_seed(0)
    save_checkpoint(folder, config, {"decoder": TransformersDecoder(config.decoder)}, None)
    return Checkpoint(folder)


def by_transformers(checkpoint: Checkpoint, place: Placement) -> TransformersDecoder:
    """As decoders are loaded that only transformers has."""
    with torch.device("meta"):
        decoder = TransformersDecoder(checkpoint.config.decoder)
    weights = checkpoint.weights("decoder")
    decoder.load_weights({name: weights.tensor(name) for name in weights.shapes()}, place)
    return decoder


@pytest.mark.parametrize("place", [Placement(), BFLOAT16])
def test_the_estimate_is_the_sum_of_all_tensors(tiny_checkpoint: Path, place: Placement) -> None:
    checkpoint = Checkpoint(tiny_checkpoint)
    config = checkpoint.config
    model = Multimodal(config, TransformersDecoder(config.decoder))
    model.attach(model.fresh("image") | model.fresh("audio"))
    model.to(place.dtype)
    tensors = {id(tensor): tensor.nbytes for tensor in model.state_dict(keep_vars=True).values()}
    assert needed_bytes(checkpoint, place) == pytest.approx(sum(tensors.values()), rel=0.01)


def test_layers_but_no_embeddings_are_quantized(llama: Checkpoint) -> None:
    """What torchao made of them is as large as was said, but for the scales; the embeddings stay what they are."""
    decoder = by_transformers(llama, INT8)
    layers = sum(layer.weight.numel() for layer in decoder.modules() if isinstance(layer, torch.nn.Linear))
    head = decoder.lm.lm_head.weight
    layers -= head.numel()
    rest = sum(parameter.numel() for parameter in decoder.parameters()) - layers
    assert needed_bytes(llama, INT8) == 4 * rest + layers
    assert needed_bytes(llama, Placement(CUDA, torch.float32, "int4")) == 4 * rest + layers // 2
    assert type(head) is torch.nn.Parameter
    lean = llama.load(INT8).decoder
    assert isinstance(lean, LeanDecoder)
    assert lean.bytes_read - layers in (2 * head.numel(), 4 * head.numel())
    assert type(decoder.lm.model.layers[0].mlp.up_proj.weight).__name__ == "Int8Tensor"


@torch.no_grad()
@pytest.mark.parametrize("load", [by_transformers, lambda checkpoint, place: checkpoint.load(place).decoder])
def test_quantized_weights_say_nearly_the_same(
    llama: Checkpoint, load: Callable[[Checkpoint, Placement], Decoder]
) -> None:
    whole, quantized = llama.load().decoder, load(llama, INT8)
    embeddings = whole.embed(torch.arange(40)[None])
    theirs, ours = whole(embeddings)[0], quantized(embeddings)[0]
    assert not torch.equal(ours, theirs)
    assert float(torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]) > 0.98


def test_a_decoder_without_linear_layers_is_not_quantized_in_silence(tiny_checkpoint: Path) -> None:
    """transformers' GPT-2 has none."""
    with pytest.raises(OptionError, match="a decoder of type gpt2 cannot be quantized: leave --quantize out"):
        by_transformers(Checkpoint(tiny_checkpoint), INT8)


def test_what_only_torchao_quantizes_needs_it(monkeypatch: pytest.MonkeyPatch, llama: Checkpoint) -> None:
    monkeypatch.setattr(transformers_decoder, "find_spec", lambda _: None)
    assert llama.load(INT8).decoder.dtype == torch.float32
    with pytest.raises(OptionError, match=r"pip install 'mmchat\[quantize\]'"):
        by_transformers(llama, INT8)


@torch.no_grad()
def test_loading_keeps_the_weights_and_their_ties(llama: Checkpoint, tiny_checkpoint: Path) -> None:
    """As transformers builds them: no tensor is left on the meta device, tied ones are one."""
    tied = by_transformers(Checkpoint(tiny_checkpoint), Placement())
    assert not any(tensor.is_meta for tensor in [*tied.parameters(), *tied.buffers()])
    assert tied.lm.lm_head.weight is tied.lm.transformer.wte.weight
    theirs = LlamaForCausalLM(LlamaConfig(**SIZES)).eval()
    weights = llama.weights("decoder")
    theirs.load_state_dict({name.removeprefix("lm."): weights.tensor(name).float() for name in weights.shapes()})
    ids = torch.arange(30)[None]
    decoder = llama.load().decoder
    torch.testing.assert_close(decoder(decoder.embed(ids))[0], theirs(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("room_for", "way"),
    [
        (BFLOAT16, "try --dtype bfloat16"),
        (INT8, "try --quantize int8"),
        (Placement(CPU, torch.bfloat16, "int8"), "try --dtype bfloat16 --quantize int8"),
        (None, "choose a smaller model"),
    ],
)
def test_too_little_memory_is_said_before_loading(
    monkeypatch: pytest.MonkeyPatch, llama: Checkpoint, room_for: Placement | None, way: str
) -> None:
    free = 0 if room_for is None else needed_bytes(llama, room_for)
    monkeypatch.setattr(memory, "free_bytes", lambda _: free)
    monkeypatch.setattr(memory, "_GB", 1e6)
    with pytest.raises(OptionError) as caught:
        fitted(llama, Placement())
    needed = needed_bytes(llama, Placement())
    assert str(caught.value) == f"toy needs {needed / 1e6:.1f} GB, {free / 1e6:.1f} free on cpu: {way}"


def test_what_fits_is_loaded_as_it_was_asked_for(llama: Checkpoint) -> None:
    assert fitted(llama, BFLOAT16) == BFLOAT16
    assert free_bytes(BFLOAT16) == pytest.approx(psutil.virtual_memory().available, rel=0.5)


def test_a_model_larger_than_one_gpu_is_spread_over_all(monkeypatch: pytest.MonkeyPatch, llama: Checkpoint) -> None:
    half = int(0.7 * needed_bytes(llama, Placement()))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (half, half))
    assert fitted(llama, Placement(CUDA)) == Placement(CUDA, spread=True)
    with pytest.raises(OptionError, match="free on cuda:1: try --dtype bfloat16"):
        fitted(llama, Placement(torch.device("cuda:1")))


@pytest.mark.parametrize(
    ("free", "needed", "expected"),
    [
        (16 * 2**30, 20 * 10**6, 512 * 2**20),
        (2 * 2**30, 20 * 10**6, 256 * 2**20),
        (64 * 2**30, 14 * 10**9, 8 * 2**30),
        (400 * 2**30, 14 * 10**9, 14 * 10**9),
    ],
    ids=["small model", "small memory", "large model", "large memory"],
)
def test_what_may_be_remembered_follows_the_model_and_the_memory(
    monkeypatch: pytest.MonkeyPatch, llama: Checkpoint, free: int, needed: int, expected: int
) -> None:
    """A conversation of a large model takes gigabytes: 512 MB would remember none."""
    monkeypatch.setattr(memory, "free_bytes", lambda _: free)
    monkeypatch.setattr(memory, "needed_bytes", lambda *_: needed)
    assert bytes_to_remember(llama, BFLOAT16) == expected
