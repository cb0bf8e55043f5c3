"""The recipes under configs/: they load, each stage starts from what an earlier one writes, their figures are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmchat.checkpoints.store import COMPONENTS
from mmchat.config import load_model_config
from mmchat.training.settings import ChatStage, NamingStage, SpeechStage, StageConfig, TokenizerStage, load_stage_config
from mmchat.world.concepts import load_things

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "configs" / "models"
RECIPES = sorted(path for path in (ROOT / "configs").iterdir() if path.is_dir() and path != PRESETS)
MODELS = sorted(recipe / "model.yaml" for recipe in RECIPES)
STAGES = sorted(path for recipe in RECIPES for path in recipe.glob("*.yaml") if path not in MODELS)
TRAINED_BY = {
    "tokenizer": (),
    "naming": ("image_encoder",),
    "language": ("decoder",),
    "contrastive": ("image_encoder",),
    "speech": ("audio_encoder",),
}


def stages_of(recipe: Path) -> list[StageConfig]:
    return [load_stage_config(path) for path in sorted(recipe.glob("[0-9]*.yaml"))]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_model_loads(path: Path) -> None:
    assert load_model_config(path).name


@pytest.mark.parametrize("path", STAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_stage_loads(path: Path) -> None:
    config = load_stage_config(path)
    load_model_config(ROOT / config.model)
    assert not isinstance(config, TokenizerStage) or (ROOT / config.chat_template).is_file()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_stage_starts_from_what_an_earlier_one_writes(recipe: Path) -> None:
    written: list[Path] = []
    for config in stages_of(recipe):
        start = () if isinstance(config, TokenizerStage) else config.start
        assert set(start) <= set(written), config.name
        assert config.out not in written, config.name
        assert bool(start) != isinstance(config, TokenizerStage), config.name
        written.append(config.out)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_stage_that_reads_text_starts_from_a_tokenizer(recipe: Path) -> None:
    has_tokenizer: set[Path] = set()
    for config in stages_of(recipe):
        if isinstance(config, TokenizerStage):
            has_tokenizer.add(config.out)
        elif not isinstance(config, NamingStage):
            assert has_tokenizer & set(config.start), config.name
            has_tokenizer.add(config.out)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_stage_but_the_last_is_used(recipe: Path) -> None:
    """A stage that nothing starts from would be trained for nothing."""
    stages = stages_of(recipe)
    used = {folder for config in stages if not isinstance(config, TokenizerStage) for folder in config.start}
    assert [config.name for config in stages if config.out not in used] == [stages[-1].name]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_nothing_of_a_finished_model_is_random(recipe: Path) -> None:
    stages = stages_of(recipe)
    trained: set[str] = set()
    for stage in stages:
        trained.update(stage.train if isinstance(stage, ChatStage) else TRAINED_BY[stage.stage])
        if isinstance(stage, SpeechStage) and "words" in stage.spell_in:
            trained.add("audio_projector")
    model = load_model_config(ROOT / stages[-1].model)
    assert {name for name in COMPONENTS if getattr(model, name) is not None} <= trained


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_one_recipe_makes_one_model_from_one_dataset(recipe: Path) -> None:
    stages = stages_of(recipe)
    assert len({(stage.model, stage.data) for stage in stages}) == 1
    assert len({stage.name for stage in stages}) == len(stages)
    assert load_model_config(ROOT / stages[0].model) in map(load_model_config, MODELS)


def test_the_bundled_model_says_how_much_it_knows() -> None:
    knows = load_model_config(ROOT / "configs/tiny/model.yaml").knows
    assert [int(number) for number in re.findall(r"\d+", knows)] == [len(load_things())]
