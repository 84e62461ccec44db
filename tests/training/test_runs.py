"""The trainings of a recipe: every run and seed in a folder of its own, named by what decides the result."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from actionbook.core import runtime
from actionbook.core.recipe import Recipe
from actionbook.core.workspace import Stage
from actionbook.training.runs import initial_network, run_folder, train_runs

PARAMETERS = {"recipe": "mini", "data_root": None, "device": "CPU", "workers": 1}


def stage_of(root: Path, **overrides: Any) -> Stage:
    return Stage.open("efficient3d", "03_training", PARAMETERS | {"work_root": str(root), "overrides": overrides})


def folder_of(root: Path, index: Any, seed: int = 1, **overrides: Any) -> str:
    stage = stage_of(root, **overrides)
    return run_folder(stage, stage.recipe.for_run(stage.recipe.training.runs[0]), index, seed).name


def test_folders_change_with_what_decides_the_result(prepared: Any, tmp_path: Path) -> None:
    index = prepared.index
    plain = folder_of(tmp_path, index)
    assert plain.startswith("clip-seed1-")
    assert plain.endswith(f"-{runtime.library_sha256()[:8]}")
    different = [
        folder_of(tmp_path, index, seed=2),
        folder_of(tmp_path, index, training={"lr": 0.5}),
        folder_of(tmp_path, index, training={"epochs": 3}),
        folder_of(tmp_path, index, clips={"flip": 0.25}),
        folder_of(tmp_path, index, model={"options": {"width": 0.3}}),
        folder_of(tmp_path, index.assign(frames=index.frames + 1)),
    ]
    assert len({plain, *different}) == 7
    same = [
        folder_of(tmp_path, index, export={"inference_batch": 3}),
        folder_of(tmp_path, index, evaluation={"pool": "logit_mean"}),
        folder_of(tmp_path, index, training={"checkpoint_epochs": 2}),
        folder_of(tmp_path, index, title="Another title"),
    ]
    assert set(same) == {plain}


def test_folders_of_another_library_are_left_alone_unless_asked_for(
    prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    older = folder_of(tmp_path, prepared.index)
    (stage_of(tmp_path).folder / "training" / older).mkdir(parents=True)
    monkeypatch.setattr(runtime, "library_sha256", lambda: "f" * 64)
    with caplog.at_level(logging.WARNING):
        newer = folder_of(tmp_path, prepared.index)
    assert newer.endswith("-ffffffff")
    assert f"{older} was trained by another version of the library" in caplog.text
    assert folder_of(tmp_path, prepared.index, training={"any_library": True}) == older


def test_the_seed_of_a_run_decides_its_network(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, model={"options": {"width": 0.2}})
    heads = [initial_network(stage, stage.recipe, seed).classifier[1].weight.asnumpy() for seed in (1, 1, 2)]
    assert heads[0].shape == (10, 1280)
    assert (heads[0] == heads[1]).all()
    assert (heads[0] != heads[2]).any()


def test_every_run_with_every_seed(prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [{"name": "clip", "seeds": [1, 2]}, {"name": "short", "seeds": [3], "overrides": {"clips": {"frames": 4}}}]
    # No epochs: the order of runs, folders and recipes is looked at, not the training.
    stage = stage_of(tmp_path, training={"epochs": 0, "batch_size": 2, "lr_steps": [], "runs": runs})
    asked: list[Recipe] = []
    monkeypatch.setattr(Stage, "frame_store", prepared.store)

    def validation(recipe: Recipe) -> Any:
        asked.append(recipe)
        return lambda _: {}

    found = list(train_runs(stage, prepared.index, validation))
    assert [(run.run, run.seed) for run in found] == [("clip", 1), ("clip", 2), ("short", 3)]
    assert [run.recipe.clips.frames for run in found][2] == 4
    assert [recipe.clips.frames for recipe in asked] == [run.recipe.clips.frames for run in found]
    assert len({run.folder for run in found}) == 3
    assert all((run.folder / "done.json").is_file() for run in found)
