"""Values of a recipe that contradict each other: refused where they cannot work, left alone where they can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionbook.clips.sampling import random_clip, window_clip
from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.training.schedule import step_rates

SMALL: dict[str, Any] = {
    "chapter": "efficient3d",
    "name": "small",
    "title": "Small",
    "data": {"manifest": "mini_ucf101"},
    "sampling": {"name": "windows"},
    "transforms": {"size": 32},
    "model": {"name": "mobilenetv2_3d"},
    "training": {"epochs": 2, "batch_size": 4, "lr": 0.1},
}
FILE = {"manifest": "weights_efficient3d", "file": "a.pth"}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(SMALL), encoding="utf-8")
    return path


def runs(*overrides: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"training": {"runs": [{"name": f"r{i}", "overrides": o, **fields} for i, o in enumerate(overrides)]}}


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "flow with the mean of colours": (
        {"transforms": {"modality": "flow"}},
        ["'transforms'", "mean has 3 values", "flow has 2 channels"],
    ),
    "test frames smaller than the crop": (
        {"transforms": {"short_side": 16}},
        ["'transforms'", "short_side 16", "size 32"],
    ),
    "no crop scale": ({"transforms": {"scales": []}}, ["'transforms.scales'", "length at least 1", "found []"]),
    "a pathway that leaves a rest": (
        {"sampling": {"pathways": {"slow": 5}}},
        ["'sampling'", "pathway 'slow'", "16 frames", "multiple of 5"],
    ),
    "boxes without their number": (
        {"task": {"name": "detection"}},
        ["'task.boxes' is missing", "a whole number", "at least 1"],
    ),
    "named parameters without a name": (
        {"training": {"groups": [{"kind": "named"}]}},
        ["'training.groups.0'", "'named'", "prefixes"],
    ),
    "steps that go back": ({"training": {"lr_steps": [3, 1]}}, ["'training'", "lr_steps must rise", "[3, 1]"]),
    "restarts that go back": (
        {"training": {"lr_restarts": [[3, 0.1], [3, 0.2]]}},
        ["'training'", "lr_restarts must rise", "[3, 3]"],
    ),
    "two runs of one name": (
        {"training": {"runs": [{"name": "a"}, {"name": "a"}]}},
        ["'training'", "different names", "['a', 'a']"],
    ),
    "a result that no run is": ({"training": {"result": "b"}}, ["'training'", "result 'b'", "['clip']"]),
    "a run without a seed": (runs({}, seeds=[]), ["'training.runs.0.seeds'", "length at least 1", "found []"]),
    "a seed twice": (runs({}, seeds=[4, 1, 4]), ["'training.runs.0'", "seeds must differ", "[4, 1, 4]"]),
    "a negative seed": (runs({}, seeds=[-1]), ["'training.runs.0.seeds.0'", "at least 0", "found -1"]),
    "a seed too large": (runs({}, seeds=[2**32]), ["'training.runs.0.seeds.0'", "below 4294967296"]),
    "a run that renames the recipe": (
        runs({"name": "other"}),
        ["'training.runs.0'", "run 'r0'", "name belong to the whole recipe"],
    ),
    "a run that has runs": (
        runs({"training": {"runs": []}}),
        ["'training.runs.0'", "training.runs belong to the whole"],
    ),
    "a run that names the result": (
        runs({"training": {"result": "r0"}}),
        ["training.result belong to the whole recipe"],
    ),
    "a run with a task of its own": (
        runs({"task": {"name": "detection", "boxes": 2}}),
        ["run 'r0'", "task belong to the whole recipe"],
    ),
    "a run with streams": (runs({"streams": {}}), ["run 'r0'", "streams belong to the whole recipe"]),
    "no batch size to measure": ({"export": {"batch_sizes": []}}, ["'export.batch_sizes'", "length at least 1"]),
    "an empty batch": ({"export": {"inference_batch": 0}}, ["'export.inference_batch'", "at least 1", "found 0"]),
    "tests of no frame": ({"sampling": {"test_frames": 0}}, ["'sampling.test_frames'", "at least 1", "found 0"]),
    "weights from a run that is none": (
        {"weights": {"run": "gone"}},
        ["run 'clip' starts from run 'gone'", "not among the runs before"],
    ),
    "weights from a file and a run": (
        {"weights": {**FILE, "run": "clip"}},
        ["'weights'", "or run alone; found manifest"],
    ),
    "weights without a manifest": (
        {"weights": {"file": "f"}},
        ["'weights'", "manifest and file", "found file"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused(name: str, small: Path) -> None:
    changes, parts = REFUSED[name]
    with pytest.raises(BookError) as caught:
        Recipe.load(small, changes)
    assert str(caught.value).startswith(f"{small} with overrides: ")
    for part in parts:
        assert part in str(caught.value)


ALLOWED: dict[str, dict[str, Any]] = {
    "steps beyond the epochs, as the originals have them": {"training": {"lr_steps": [40, 55, 65, 70, 200, 250]}},
    "a restart beyond the epochs": {"training": {"lr_restarts": [[9, 0.1]]}},
    "a trial of fewer epochs than the warm-up has": {"training": {"epochs": 1, "warmup_epochs": 3}},
    "checks and checkpoints less often than the epochs": {"training": {"validate_epochs": 9, "checkpoint_epochs": 9}},
    "more epochs kept than there are": {"training": {"keep_epochs": 9}},
    "windows shorter than a clip, which is looped": {"sampling": {"frames": 64, "window": 8}},
    "clips larger than the frames, which are enlarged": {
        "transforms": {"size": 112},
        "data": {"frames": {"height": 72}},
    },
    "a rectangle": {"transforms": {"size": [32, 48], "short_side": 32}},
    "a scaled loss in full precision": {"training": {"loss_scale": 1024.0, "amp_level": "O0"}},
    "tests of other lengths than training": {
        "sampling": {"test_frames": 250},
        "evaluation": {"compare_frames": [16, 250]},
    },
    "the same run twice under two names": runs({}, {}),
    "nothing trained": {"training": {"epochs": 0}},
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_can_work_is_left_alone(name: str, small: Path) -> None:
    recipe = Recipe.load(small, ALLOWED[name])
    # What would show a contradiction at run time: rates are numbers, clips are whole.
    rates = step_rates(recipe.training, 3)
    assert len(rates) == 3 * recipe.training.epochs
    assert all(0 < rate <= recipe.training.lr for rate in rates)
    sampling = recipe.sampling
    for tested in {sampling.frames, sampling.tested}:
        assert len(window_clip(range(sampling.window), tested, sampling.stride)) == tested
        drawn = random_clip(5, tested, sampling.stride, np.random.default_rng(0))
        assert len(drawn) == tested
        assert drawn.max() < 5


@pytest.mark.parametrize(
    "extra", ["transform: {}", "training:\n    epochs: 3", "training: {lr: 0.1, lr: 0.2}", "title: A\ntitle: B"]
)
def test_mistakes_of_the_file_itself_name_file_and_line(extra: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text((NOTEBOOKS / "efficient3d/recipes/mini.yaml").read_text() + extra + "\n", encoding="utf-8")
    with pytest.raises(
        BookError, match=r"own\.yaml: (unknown key 'transform'; did you mean 'transforms'|.*stands twice)"
    ):
        Recipe.load(path)


def test_all_mistakes_of_a_recipe_are_listed_at_once(small: Path) -> None:
    changes = {"training": {"lr": -1.0, "epoch": 3}, "transforms": {"size": 33}, "data": {"split": 0}}
    with pytest.raises(BookError) as caught:
        Recipe.load(small, changes)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"{small} with overrides: ") for line in lines)
