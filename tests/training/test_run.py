"""The whole recipe at toy size: eight stages through `run`; the assistant knows three colours by eye and ear."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console

from mmchat.assistant import Assistant
from mmchat.checkpoints.store import COMPONENTS, Checkpoint
from mmchat.cli import main
from mmchat.errors import CheckpointError, ConfigError, DatasetError
from mmchat.training import run
from mmchat.training.chat import ChatTraining
from mmchat.training.contrastive import ContrastiveTraining
from mmchat.training.language import LanguageTraining
from mmchat.training.loop import GradientStage
from mmchat.training.naming import NamingTraining
from mmchat.training.speech import SpeechTraining
from training.conftest import COLOURS, STAGES

SEEING = {"train": ["decoder", "image_projector"], "media": ["image"], "files": ["captions.jsonl"]}
HEARING = {"train": ["decoder", "audio_projector"], "media": ["audio"]}
TUNED = ["decoder", "image_projector", "audio_projector", "audio_encoder"]
RECIPE: list[tuple[str, str, list[str], dict[str, Any]]] = [
    ("tokenizer", "tokenizer", [], {}),
    ("contrastive", "contrastive", ["tokenizer"], {"max_steps": 30}),
    ("naming", "naming", ["contrastive"], {"max_steps": 90, "batch_size": 6}),
    ("language", "language", ["tokenizer"], {"max_steps": 50}),
    ("speech", "speech", ["tokenizer"], {"max_steps": 30}),
    ("look", "chat", ["language", "naming"], {"max_steps": 20, **SEEING}),
    ("listen", "chat", ["language", "speech"], {"max_steps": 20, **HEARING}),
    ("chat", "chat", ["look", "listen"], {"max_steps": 60, "batch_size": 12, "train": TUNED}),
]
NAMES = [name for name, *_ in RECIPE]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, dataset: Path, model_file: Path) -> Path:
    """A folder with the stages as YAML files, each starting from what the ones before it write."""
    home = tmp_path_factory.mktemp("home")
    (home / "recipe").mkdir()
    for number, (name, kind, start, changes) in enumerate(RECIPE, 1):
        where = {"model": str(model_file), "data": str(dataset), "out": str(home / name)}
        after = {"start": [str(home / each) for each in start]} if start else {}
        value = {"name": name, **where, **after, **STAGES[kind], **changes}
        (home / "recipe" / f"{number}-{name}.yaml").write_text(yaml.safe_dump(value), encoding="utf-8")
    (home / "recipe" / "model.yaml").write_text("no: stage\n", encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def said(home: Path) -> str:
    """What the first run of the recipe shows; those who ask for it find all stages done."""
    screen = Console(file=io.StringIO(), width=500)
    run(home / "recipe", console=screen)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.fixture(scope="module")
def assistant(home: Path, said: str) -> Assistant:
    return Assistant.load(home / "chat", device="cpu")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "stage.done"}


def text_of(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


# ---------------------------------------------------------------------------------------------------- the whole recipe


def test_every_stage_writes_a_sound_checkpoint(home: Path, said: str) -> None:
    assert [line for line in said.splitlines() if "written" in line] == [
        f"{name}: written to {home / name}" for name in NAMES
    ]
    written = {name: set(Checkpoint(home / name).parameters()) for name in NAMES}
    assert written == {
        "tokenizer": set(),
        "naming": {"image_encoder"},
        "language": {"decoder"},
        "contrastive": {"image_encoder"},
        "speech": {"audio_encoder"},
        "look": {"decoder", "image_encoder", "image_projector"},
        "listen": {"decoder", "audio_encoder", "audio_projector"},
        "chat": set(COMPONENTS),
    }
    assert all(Checkpoint(home / name).verify() >= 2 for name in NAMES)
    assert [name for name in NAMES if not (home / name / "tokenizer.json").exists()] == ["naming"]
    assert not list(home.glob("*.partial"))


def test_stages_hand_on_what_they_freeze_byte_for_byte(home: Path, said: str) -> None:
    def weights(stage: str, component: str) -> bytes:
        return (home / stage / f"{component}.safetensors").read_bytes()

    assert weights("listen", "audio_encoder") == weights("speech", "audio_encoder")
    assert len({weights(stage, "image_encoder") for stage in ("naming", "look", "chat")}) == 1
    assert weights("naming", "image_encoder") != weights("contrastive", "image_encoder")
    assert len({weights(stage, "decoder") for stage in ("language", "look", "listen", "chat")}) == 4
    starts = {"decoder": "look", "image_projector": "look", "audio_projector": "listen", "audio_encoder": "listen"}
    assert all(weights("chat", component) != weights(starts[component], component) for component in TUNED)


def test_the_curve_of_every_stage_goes_down(home: Path, said: str) -> None:
    for name in NAMES[1:]:
        lines = (home / f"{name}.state.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [json.loads(line)["loss"] for line in lines]
        assert sum(losses[-5:]) < 0.8 * sum(losses[:5]), name


@pytest.mark.parametrize("colour", COLOURS)
def test_the_assistant_has_learnt_what_it_was_shown(assistant: Assistant, dataset: Path, colour: str) -> None:
    for number in (0, 1):
        assert (
            assistant.reply([dataset / f"images/{colour}-{number}.png", "what is this?"]).text == f"This is {colour}."
        )
    assert assistant.reply(dataset / f"audio/{colour}.wav").text == f"You say {colour}."
    assert assistant.reply(f"is {colour} a colour?").text == f"Yes, {colour} is one."


def test_the_assistant_answers_in_whole(assistant: Assistant, dataset: Path) -> None:
    reply = assistant.reply([dataset / "images/red-0.png", "what is this?"])
    assert (reply.model, reply.finish_reason) == ("toy", "stop")
    assert [str(receipt) for receipt in reply.media] == ["red-0.png → 1 token"]


# ------------------------------------------------------------------------------------------------------- a second time


def test_a_second_run_passes_over_what_is_done(home: Path, said: str, screen: Console) -> None:
    before = {name: files(home / name) for name in NAMES}
    run(home / "recipe", console=screen)
    assert text_of(screen).splitlines() == [f"{name}: done before, in {home / name}" for name in NAMES]
    assert {name: files(home / name) for name in NAMES} == before


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("naming", NamingTraining),
        ("language", LanguageTraining),
        ("contrastive", ContrastiveTraining),
        ("speech", SpeechTraining),
        ("chat", ChatTraining),
    ],
)
def test_a_stage_that_was_killed_goes_on_to_the_same_weights(
    home: Path,
    said: str,
    tmp_path: Path,
    screen: Console,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    stage: type[GradientStage[Any]],
) -> None:
    path = home / "recipe" / f"{NAMES.index(name) + 1}-{name}.yaml"
    settings = {"max_steps": "4", "save_minutes": "1e-9"}
    run(path, {**settings, "out": str(tmp_path / "whole")}, screen)
    with monkeypatch.context() as patch:
        watch(patch, stage, interrupt_at_two)
        with pytest.raises(KeyboardInterrupt):
            run(path, {**settings, "out": str(tmp_path / "parts")}, screen)
    assert not (tmp_path / "parts").exists()
    asked: list[int] = []
    watch(monkeypatch, stage, asked.append)
    run(path, {**settings, "out": str(tmp_path / "parts")}, screen)
    assert asked == [2, 3, 4]  # the last is prepared in vain: a budget of minutes may end after any step
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    ours, theirs = (torch.load(tmp_path / f"{name}.state.pt", weights_only=True) for name in ("parts", "whole"))
    assert (ours["step"], theirs["step"]) == (4, 4)
    torch.testing.assert_close(ours["optimizer"], theirs["optimizer"], rtol=0, atol=0)
    assert torch.equal(ours["random"], theirs["random"])


def watch(patch: pytest.MonkeyPatch, stage: type[GradientStage[Any]], before: Callable[[int], None]) -> None:
    """Have `before` called with the step whenever a batch is asked for."""
    batch = stage.batch

    def watched(self: GradientStage[Any], step: int) -> Any:
        before(step)
        return batch(self, step)

    patch.setattr(stage, "batch", watched)


def interrupt_at_two(step: int) -> None:
    if step == 2:
        raise KeyboardInterrupt


# ------------------------------------------------------------------------------------------------------------ settings


def test_settings_of_the_command_line_replace_those_of_the_file(home: Path, said: str, tmp_path: Path) -> None:
    given = (f"out={tmp_path / 'out'}", "max_steps=2", "optimizer.learning_rate=1e-4", "seed=5")
    settings = [word for setting in given for word in ("--set", setting)]
    assert main(["train", str(home / "recipe" / "4-language.yaml"), *settings]) == 0
    assert len((tmp_path / "out.state.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    state = torch.load(tmp_path / "out.state.pt", weights_only=True)
    assert 0 < state["optimizer"]["param_groups"][0]["lr"] <= 1e-4  # the file says 3e-3
    assert set(Checkpoint(tmp_path / "out").parameters()) == {"decoder"}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"max_stps": "3"}, "unknown key language.max_stps"),
        ({"batch_size": "0"}, "batch_size: input should be greater than or equal to 1, not 0"),
        ({"optimizer.learning_rate": "[1"}, "cannot set optimizer.learning_rate: '[1' is malformed"),
        ({"seed.more": "1"}, "cannot set seed.more: seed holds a single value"),
        ({"max_steps": "null"}, "give a budget: max_steps, max_minutes or both"),
        ({"device": "gpu"}, "there is no device 'gpu' here: use auto, cpu, cuda or cuda:N"),
    ],
)
def test_wrong_settings_are_one_line(
    home: Path, said: str, tmp_path: Path, screen: Console, settings: dict[str, str], complaint: str
) -> None:
    value = {"out": str(tmp_path / "out"), "seed": "1", **settings}
    with pytest.raises(ConfigError) as caught:
        run(home / "recipe" / "4-language.yaml", value, screen)
    assert str(caught.value).endswith(complaint)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_every_stage_is_read_before_the_first_one_runs(tmp_path: Path, home: Path, screen: Console) -> None:
    """A mistake in the last file is found at once, not after an hour."""
    (tmp_path / "1-tokenizer.yaml").write_bytes((home / "recipe" / "1-tokenizer.yaml").read_bytes())
    (tmp_path / "2-late.yaml").write_text("stage: singing\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"2-late\.yaml: .*singing"):
        run(tmp_path, {"out": str(tmp_path / "out")}, screen)
    assert not (tmp_path / "out").exists()


def test_files_of_every_stage_are_looked_for_before_the_first_one_runs(
    tmp_path: Path, home: Path, screen: Console, dataset: Path
) -> None:
    """And those that may be missing are said to be, when their stage begins."""
    stage = yaml.safe_load((home / "recipe" / "8-chat.yaml").read_text(encoding="utf-8"))
    stage |= {"out": str(tmp_path / "out"), "files": ["dialogues.jsonl", "albums.jsonl"]}
    (tmp_path / "1-chat.yaml").write_text(yaml.safe_dump(stage), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"^chat: .*albums\.jsonl is not there$"):
        run(tmp_path, {}, screen)
    run(tmp_path, {"files": "[dialogues.jsonl]", "extra_files": "{albums.jsonl: 2}", "max_steps": "1"}, screen)
    assert isinstance(screen.file, io.StringIO)
    assert f"chat: without {dataset / 'albums.jsonl'}, which is not there\n" in screen.file.getvalue()


def test_a_stage_whose_start_is_missing_says_so(home: Path, tmp_path: Path, screen: Console) -> None:
    start = tmp_path / "nowhere"
    with pytest.raises(CheckpointError) as caught:
        run(home / "recipe" / "4-language.yaml", {"start": f"[{start}]", "out": str(tmp_path / "out")}, screen)
    assert str(caught.value) == f"language: {start} is not there: run the stage that writes it first"


def test_a_stage_without_a_tokenizer_to_start_from_says_so(
    home: Path, said: str, tmp_path: Path, screen: Console
) -> None:
    """The naming stage needs none and writes none."""
    start = home / "naming"
    with pytest.raises(CheckpointError) as caught:
        run(home / "recipe" / "2-contrastive.yaml", {"start": f"[{start}]", "out": str(tmp_path / "out")}, screen)
    assert str(caught.value) == f"contrastive: no tokenizer in {start}: run its stage first"


def test_a_folder_without_stages_and_a_missing_file_say_so(tmp_path: Path, screen: Console) -> None:
    with pytest.raises(ConfigError, match=r"holds no stages: they are named 1-….yaml, 2-….yaml and so on"):
        run(tmp_path, None, screen)
    with pytest.raises(ConfigError, match=r"cannot read .*gone\.yaml: No such file"):
        run(tmp_path / "gone.yaml", None, screen)


def test_the_threads_of_one_stage_are_not_those_of_the_next(
    home: Path, said: str, tmp_path: Path, screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    watch(monkeypatch, LanguageTraining, lambda step: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    settings = {"out": str(tmp_path / "out"), "max_steps": "1", "threads": str(before + 1)}
    run(home / "recipe" / "4-language.yaml", settings, screen)
    assert (set(seen), torch.get_num_threads()) == ({before + 1}, before)
