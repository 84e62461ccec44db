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
from actionbook.core.recipe import Clips, Recipe, parse_overrides

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


def write(folder: Path, data: dict[str, Any], name: str = "recipe") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parts[-3]}/{p.stem}")
def test_every_recipe_of_the_book_loads(path: Path) -> None:
    recipe = Recipe.load(path)
    assert (recipe.chapter, recipe.name) == (path.parts[-3], path.stem)
    for own in (recipe, *map(recipe.for_run, recipe.training.runs)):
        assert str(own.data.split) in load_dataset(own.data.manifest).splits


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
        ({"training": {"lr_restarts": [[3, 0.1], [2, 0.1]]}}, "lr_restarts must rise, found [3, 2]"),
        ({"training": {"lr_restarts": [[3, 0.0]]}}, "training.lr_restarts.0.1"),
        ({"training": {"optimizer": "rmsprop"}}, "training.optimizer"),
        ({"training": {"keep_epochs": -1}}, "training.keep_epochs"),
        ({"training": {"result": "clap"}}, "result 'clap' is none of the runs ['clip']"),
        ({"training": {"runs": []}}, "runs need different names and at least one"),
        ({"training": {"runs": [{"name": "a"}, {"name": "a"}]}}, "runs need different names"),
        ({"training": {"amp_level": "O4"}}, "training.amp_level"),
        ({"clips": {"size": 100}}, "clips.size"),
        ({"clips": {"mean": [1.0, 2.0]}}, "mean has 2 values, rgb has 3 channels"),
        ({"clips": {"modality": "flow"}}, "mean has 3 values, flow has 2 channels"),
        ({"clips": {"modality": "flow", "mean": [1.0, 2.0]}}, "std has 3 values, flow has 2 channels"),
        ({"clips": {"modality": "depth"}}, "clips.modality"),
        ({"clips": {"short_side": 16}}, "short_side 16 is less than size 32"),
        ({"clips": {"std": [1.0, 1.0, 0.0]}}, "clips.std.2"),
        ({"clips": {"scales": [1.5]}}, "clips.scales.0"),
        ({"clips": {"crop": "centre"}}, "clips.crop"),
        ({"data": {"split": 0}}, "data.split"),
        ({"data": {"frames": {"quality": 101}}}, "data.frames.quality"),
        ({"data": {"frames": {"max_failed": 1.5}}}, "data.frames.max_failed"),
        ({"evaluation": {"pool": "mean"}}, "evaluation.pool"),
        ({"evaluation": {"clips": "center"}}, "evaluation.clips"),
        ({"evaluation": {"frames": 0}}, "evaluation.frames"),
        ({"name": "../escape"}, "name"),
        ({"extends": "mini"}, "unknown key 'extends'"),
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


def test_a_recipe_says_what_its_clips_are_made_of(tmp_path: Path) -> None:
    colour = Recipe.load(write(tmp_path, SMALL), {"clips": {"frames": 8}})
    assert colour.clips.shape == (3, 8, 32, 32)
    assert colour.model_options == {"width": 0.2}
    flow = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}
    moving = Recipe.load(write(tmp_path, SMALL), {"clips": flow, "evaluation": {"frames": 40}})
    assert moving.clips.shape == (2, 16, 32, 32)
    assert moving.model_options == {"width": 0.2, "in_channels": 2}
    # Tests differ from training in the number of frames alone, and only where the recipe says so.
    assert moving.tested == Clips(**{**moving.clips.model_dump(), "frames": 40})
    assert colour.tested == colour.clips


def test_the_result_is_the_first_run_or_the_one_that_is_named(tmp_path: Path) -> None:
    runs = [{"name": "kinetics"}, {"name": "ucf", "overrides": {"clips": {"frames": 8}}}]
    path = write(tmp_path, SMALL)
    assert Recipe.load(path, {"training": {"runs": runs}}).main_run.name == "kinetics"
    recipe = Recipe.load(path, {"training": {"runs": runs, "result": "ucf"}})
    assert recipe.main_run == recipe.training.runs[1]
    # Of a single run's recipe that run is the result, whichever the whole recipe names.
    for run in recipe.training.runs:
        own = recipe.for_run(run)
        assert own.main_run.name == run.name
        assert own.for_run(own.main_run) == own


FILE = {"manifest": "weights_efficient3d", "file": "a.pth", "layout": "okankop"}


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({}, "none of them"),
        ({"skip": ["classifier"]}, "none of them"),
        ({**FILE, "run": "clip"}, "manifest, file, layout, run"),
        ({"manifest": "weights_efficient3d", "file": "a.pth"}, "manifest, file"),
        ({"layout": "okankop", "run": "clip"}, "layout, run"),
    ],
)
def test_weights_come_from_a_file_or_from_a_run(tmp_path: Path, weights: dict[str, Any], found: str) -> None:
    with pytest.raises(BookError) as caught:
        Recipe.load(write(tmp_path, SMALL | {"weights": weights}))
    assert f"expected manifest, file and layout, or run alone; found {found}" in str(caught.value)


def test_weights_from_a_file(tmp_path: Path) -> None:
    weights = Recipe.load(write(tmp_path, SMALL | {"weights": {**FILE, "skip": ["classifier"]}})).weights
    assert weights is not None
    assert (weights.file, weights.run, weights.skip) == ("a.pth", None, ("classifier",))


def starting(**origins: str | None) -> dict[str, Any]:
    """Overrides with runs of these names, each from the weights of another."""
    runs = [
        {"name": name, "overrides": {"weights": {"run": origin}} if origin else {}} for name, origin in origins.items()
    ]
    return {"training": {"runs": runs}}


def test_runs_start_from_earlier_ones(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, SMALL), starting(a=None, b="a", c="b", d="a"))
    assert [w and w.run for w in (recipe.for_run(r).weights for r in recipe.training.runs)] == [None, "a", "b", "a"]


@pytest.mark.parametrize(
    ("origins", "message"),
    [
        ({"a": None, "b": "c", "c": None}, "run 'b' starts from run 'c', which is not among the runs before: a"),
        ({"a": None, "b": "b"}, "run 'b' starts from run 'b', which is not among the runs before: a"),
        ({"a": "z", "b": None}, "run 'a' starts from run 'z', which is not among the runs before: there are none"),
    ],
)
def test_runs_that_start_from_no_earlier_one(tmp_path: Path, origins: dict[str, Any], message: str) -> None:
    with pytest.raises(BookError, match=rf"recipe\.yaml with overrides: {message}$"):
        Recipe.load(write(tmp_path, SMALL), starting(**origins))


def test_a_whole_recipe_cannot_start_from_its_own_first_run(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="run 'clip' starts from run 'clip'"):
        Recipe.load(write(tmp_path, SMALL), {"weights": {"run": "clip"}})


def test_a_recipe_holds_only_its_differences_from_another(tmp_path: Path) -> None:
    write(tmp_path, SMALL | {"published": ["one", "two"]}, "small")
    middle = {
        "extends": "small",
        "clips": {"frames": 8, "flip": 0.25},
        "model": {"name": "i3d"},
        "published": ["three"],
    }
    write(tmp_path, middle, "middle")
    top = write(
        tmp_path, {"extends": "middle", "title": "Top", "clips": {"flip": 0.125}, "training": {"lr": 0.2}}, "top"
    )
    expected = SMALL | {
        "name": "top",
        "title": "Top",
        "clips": {"size": 32, "frames": 8, "flip": 0.125},
        "model": {"name": "i3d"},  # another network: the options of the first mean nothing to it
        "training": {**SMALL["training"], "lr": 0.2},
        "published": ["three"],
    }
    assert Recipe.load(top) == Recipe.load(write(tmp_path, expected))
    assert Recipe.load(top, {"clips": {"flip": 1.0}}).clips.flip == 1
    assert Recipe.load(tmp_path / "middle.yaml").name == "middle"


def test_only_a_recipe_that_extends_another_takes_its_files_name(tmp_path: Path) -> None:
    write(tmp_path, SMALL, "small")
    assert Recipe.load(write(tmp_path, {"extends": "small"}, "other")).name == "other"
    assert Recipe.load(write(tmp_path, {"extends": "small", "name": "third"}, "other")).name == "third"
    nameless = {key: value for key, value in SMALL.items() if key != "name"}
    with pytest.raises(BookError, match=r"recipe\.yaml: key 'name' is missing"):
        Recipe.load(write(tmp_path, nameless))


@pytest.mark.parametrize(
    ("bases", "message"),
    [
        ({"a": "a"}, r"a\.yaml: key 'extends': expected the name of another recipe, found 'a'"),
        ({"a": "b", "b": "a"}, r"b\.yaml: key 'extends': expected the name of another recipe, found 'a'"),
        ({"a": "b", "b": "c", "c": "b"}, r"c\.yaml: key 'extends': expected the name of another recipe, found 'b'"),
        ({"a": "./a"}, r"a\.yaml: key 'extends': expected the name of another recipe, found '\./a'"),
        ({"a": "../a"}, r"a\.yaml: key 'extends': expected the name of another recipe, found '\.\./a'"),
        ({"a": ["b"]}, r"a\.yaml: key 'extends': expected the name of another recipe, found \['b'\]"),
        ({"a": "gone"}, r"a\.yaml: key 'extends': .*gone\.yaml does not exist; check the name"),
        ({"a": "b", "b": "gone"}, r"b\.yaml: key 'extends': .*gone\.yaml does not exist"),
    ],
)
def test_recipes_that_extend_nothing_or_themselves(tmp_path: Path, bases: dict[str, Any], message: str) -> None:
    for name, base in bases.items():
        write(tmp_path, {"extends": base}, name)
    with pytest.raises(BookError, match=message):
        Recipe.load(tmp_path / "a.yaml")


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


def test_digests_know_that_frames_are_given_but_not_where(tmp_path: Path) -> None:
    def digest(**data: Any) -> str:
        return Recipe.load(write(tmp_path, SMALL), {"data": data}).sha256("data")

    plain, given = digest(), digest(frames_folder="jpg")
    assert digest(annotation_json="a.json") == plain  # the index says which videos it names
    assert digest(frames_folder="/disk/jpg", annotation_json="b.json") == given != plain
    assert digest(flow_folder="flow") not in (plain, given, digest(frames_folder="jpg", flow_folder="flow"))


def test_a_run_on_another_data_set_does_not_look_for_it_in_the_same_folder(tmp_path: Path) -> None:
    data = {**SMALL["data"], "frames_folder": "jpg", "flow_folder": "flow", "annotation_json": "a.json"}
    overrides: list[dict[str, Any]] = [
        {"clips": {"size": 48}},
        {"data": {"manifest": "mini_ucf101", "split": 2}},
        {"data": {"manifest": "mini_kinetics400"}},
        {"data": {"manifest": "mini_kinetics400", "frames_folder": "kinetics"}},
    ]
    runs = [{"name": f"r{number}", "overrides": one} for number, one in enumerate(overrides)]
    recipe = Recipe.load(write(tmp_path, {**SMALL, "data": data, "training": {**SMALL["training"], "runs": runs}}))
    found = [recipe.for_run(run).data for run in recipe.training.runs]
    assert [(one.frames_folder, one.flow_folder, one.annotation_json) for one in found] == [
        ("jpg", "flow", "a.json"),
        ("jpg", "flow", "a.json"),
        (None, None, None),
        ("kinetics", None, None),
    ]


@pytest.mark.parametrize("key", ["frames_folder", "flow_folder", "annotation_json"])
def test_a_run_cannot_take_other_folders_of_the_same_data_set(key: str, tmp_path: Path) -> None:
    runs = [{"name": "clip"}, {"name": "other", "overrides": {"data": {key: "x"}}}]
    with pytest.raises(BookError, match=rf"run 'other': data\.{key} is the same in all runs on a data set"):
        Recipe.load(write(tmp_path, {**SMALL, "training": {**SMALL["training"], "runs": runs}}))
    with pytest.raises(BookError, match=rf"key 'data\.{key}': expected text"):
        Recipe.load(write(tmp_path, SMALL), {"data": {key: ""}})


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
