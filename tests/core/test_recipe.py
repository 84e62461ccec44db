"""Recipes: the book's own load, and no mistake in one gets by unnamed."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe, parse_overrides

RECIPES = sorted(NOTEBOOKS.glob("*/recipes/*.yaml"))
MINI = NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml"
SMALL: dict[str, Any] = {
    "chapter": "efficient3d",
    "name": "small",
    "title": "Small",
    "data": {"manifest": "mini_ucf101"},
    "clips": {"size": 32},
    "model": {"name": "mobilenetv2_3d", "options": {"width": 0.2}},
    "training": {"epochs": 2, "batch_size": 4, "lr": 0.1},
}


def write(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parts[-3]}/{p.stem}")
def test_every_recipe_of_the_book_loads(path: Path) -> None:
    recipe = Recipe.load(path)
    assert (recipe.chapter, recipe.name) == (path.parts[-3], path.stem)
    assert str(recipe.data.split) in load_dataset(recipe.data.manifest).splits


def test_there_is_a_mini_recipe() -> None:
    assert MINI in RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parts[-3]}/{p.stem}")
def test_a_recipe_written_out_in_full_is_the_same_recipe(path: Path, tmp_path: Path) -> None:
    recipe = Recipe.load(path)
    again = Recipe.load(write(tmp_path, recipe.as_dict()))
    assert again == recipe
    assert again.sha256() == recipe.sha256()


@pytest.mark.parametrize(
    "overrides", [{"training": {"epochs": 7}, "clips": {"size": 48}}, "{training: {epochs: 7}, clips: {size: 48}}"]
)
def test_overrides_change_what_they_name_and_nothing_else(tmp_path: Path, overrides: dict[str, Any] | str) -> None:
    path = write(tmp_path, SMALL)
    plain, changed = Recipe.load(path), Recipe.load(path, overrides)
    expected = plain.as_dict()
    expected["training"]["epochs"], expected["clips"]["size"] = 7, 48
    assert changed.as_dict() == expected


@pytest.mark.parametrize("overrides", [None, "", {}, "{}"])
def test_empty_overrides(overrides: dict[str, Any] | str | None) -> None:
    assert parse_overrides(overrides) == {}
    assert Recipe.load(MINI, overrides) == Recipe.load(MINI)


@pytest.mark.parametrize("overrides", ["[1, 2]", "epochs", "{training: {epochs", "5"])
def test_overrides_that_are_no_mapping(overrides: str) -> None:
    with pytest.raises(BookError, match=r"^overrides: "):
        Recipe.load(MINI, overrides)


def test_a_mistake_in_overrides_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(
        BookError, match=r"recipe\.yaml with overrides: unknown key 'training\.epoch'; did you mean 'epochs'"
    ):
        Recipe.load(write(tmp_path, SMALL), {"training": {"epoch": 3}})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"training": {"lr": 0.0}}, "training.lr"),
        ({"training": {"lr": "1e-3"}}, "training.lr"),
        ({"training": {"momentum": 1.0}}, "training.momentum"),
        ({"training": {"batch_size": 0}}, "training.batch_size"),
        ({"training": {"lr_steps": [4, 2]}}, "lr_steps must rise, found [4, 2]"),
        ({"training": {"lr_steps": [2, 2]}}, "lr_steps must rise, found [2, 2]"),
        ({"training": {"runs": []}}, "runs need different names and at least one"),
        ({"training": {"runs": [{"name": "a"}, {"name": "a"}]}}, "runs need different names"),
        ({"training": {"amp_level": "O4"}}, "training.amp_level"),
        ({"clips": {"size": 100}}, "clips.size"),
        ({"clips": {"mean": [1.0, 2.0]}}, "mean has 2 values"),
        ({"clips": {"std": [1.0, 1.0, 0.0]}}, "clips.std.2"),
        ({"clips": {"scales": [1.5]}}, "clips.scales.0"),
        ({"clips": {"crop": "centre"}}, "clips.crop"),
        ({"data": {"split": 0}}, "data.split"),
        ({"data": {"frames": {"quality": 101}}}, "data.frames.quality"),
        ({"data": {"frames": {"max_failed": 1.5}}}, "data.frames.max_failed"),
        ({"evaluation": {"pool": "mean"}}, "evaluation.pool"),
        ({"name": "../escape"}, "name"),
    ],
)
def test_values_out_of_range(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(BookError) as caught:
        Recipe.load(write(tmp_path, SMALL), changes)
    assert "recipe.yaml with overrides: " in str(caught.value)
    assert key in str(caught.value)


def test_overrides_of_a_run_are_checked_when_the_recipe_is_loaded(tmp_path: Path) -> None:
    runs = [{"name": "clip"}, {"name": "frame", "overrides": {"clips": {"framse": 1}}}]
    with pytest.raises(
        BookError, match=r"recipe\.yaml.*, run 'frame': unknown key 'clips\.framse'; did you mean 'frames'"
    ):
        Recipe.load(write(tmp_path, SMALL), {"training": {"runs": runs}})


def test_a_run_is_the_recipe_with_its_differences(tmp_path: Path) -> None:
    runs = [{"name": "clip", "seeds": [1, 2]}, {"name": "frame", "seeds": [3], "overrides": {"clips": {"frames": 1}}}]
    recipe = Recipe.load(write(tmp_path, SMALL), {"training": {"runs": runs}})
    first, second = (recipe.for_run(run) for run in recipe.training.runs)
    assert (first.clips.frames, second.clips.frames) == (16, 1)
    assert [run.name for run in second.training.runs] == ["frame"]
    assert second.training.runs[0].seeds == (3,)
    assert second.for_run(second.training.runs[0]) == second
    assert first.sha256("clips") == recipe.sha256("clips") != second.sha256("clips")


def test_digests_do_not_hang_on_the_order_of_keys(tmp_path: Path) -> None:
    backwards = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(SMALL.items())
    }
    recipes = [Recipe.load(write(tmp_path, data)) for data in (SMALL, backwards)]
    assert recipes[0].sha256() == recipes[1].sha256()
    assert recipes[0].sha256("clips", "data") == recipes[1].sha256("data", "clips")


def test_digests_of_sections_change_with_their_section_only(tmp_path: Path) -> None:
    plain, changed = Recipe.load(write(tmp_path, SMALL)), Recipe.load(write(tmp_path, SMALL), {"clips": {"stride": 2}})
    different = {key for key in plain.as_dict() if plain.sha256(key) != changed.sha256(key)}
    assert different == {"clips"}
    assert plain.sha256() != changed.sha256()


def keys_of(data: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all keys, except those that are free: a model's options."""
    for key, value in data.items():
        yield (*prefix, key)
        if isinstance(value, dict) and key != "options":
            yield from keys_of(value, (*prefix, key))


FULL = Recipe.load(MINI).as_dict()


@settings(max_examples=60, deadline=None)
@given(path=st.sampled_from(sorted(keys_of(FULL))), rename=st.booleans())
def test_no_wrong_key_or_type_gets_by(path: tuple[str, ...], rename: bool) -> None:
    data = copy.deepcopy(FULL)
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    value = parent.pop(path[-1])
    if rename:
        parent[f"{path[-1]}_"] = value
    else:
        parent[path[-1]] = ["wrong"] if isinstance(value, dict) else {"wrong": 1}
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder), data)
        with pytest.raises(BookError) as caught:
            Recipe.load(file)
    message = str(caught.value)
    assert message.startswith(str(file))
    assert ".".join(path) in message
