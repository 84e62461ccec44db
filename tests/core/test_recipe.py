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
from actionbook.core.recipe import BOXES, Recipe, parse_overrides
from actionbook.core.spec import Spec

RECIPES = sorted(NOTEBOOKS.glob("*/recipes/*.yaml"))
MINI = NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml"
SMALL: dict[str, Any] = {
    "chapter": "efficient3d",
    "name": "small",
    "title": "Small",
    "data": {"manifest": "mini_ucf101"},
    "sampling": {"name": "windows"},
    "transforms": {"size": 32},
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
    for stream in map(recipe.for_stream, recipe.stream_names):
        for own in (stream, *map(stream.for_run, stream.training.runs)):
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
    "overrides",
    [{"training": {"epochs": 7}, "transforms": {"size": 48}}, "{training: {epochs: 7}, transforms: {size: 48}}"],
)
def test_overrides_change_what_they_name_and_nothing_else(tmp_path: Path, overrides: dict[str, Any] | str) -> None:
    path = write(tmp_path, SMALL)
    plain, changed = Recipe.load(path), Recipe.load(path, overrides)
    expected = plain.as_dict()
    expected["training"]["epochs"], expected["transforms"]["size"] = 7, 48
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
        ({"training": {"groups": [{"kind": "norm"}]}}, "training.groups.0.kind"),
        ({"training": {"groups": [{"kind": "named"}]}}, "prefixes belong to 'named'"),
        ({"training": {"groups": [{"kind": "norms", "prefixes": ["a"]}]}}, "prefixes belong to 'named'"),
        ({"training": {"groups": [{"kind": "norms", "lr_factor": 0.0}]}}, "training.groups.0.lr_factor"),
        ({"sampling": {"frames": 0}}, "sampling.frames"),
        ({"sampling": {"test_frames": 0}}, "sampling.test_frames"),
        ({"sampling": {"name": "middle"}}, "sampling.name"),
        ({"sampling": {"name": "centre", "window": 8}}, "sampling.window"),
        ({"sampling": {"pathways": {"Slow": 1}}}, "sampling.pathways.Slow"),
        ({"sampling": {"pathways": {}}}, "sampling.pathways"),
        ({"sampling": {"pathways": {"slow": 0}}}, "sampling.pathways.slow"),
        ({"sampling": {"pathways": {"slow": 3}}}, "pathway 'slow': 16 frames are no multiple of 3"),
        ({"sampling": {"pathways": {"slow": 4}, "test_frames": 6}}, "pathway 'slow': 6 frames are no multiple of 4"),
        ({"task": {"name": "segmentation"}}, "task.name"),
        ({"task": {"name": "detection"}}, "task.boxes"),
        ({"task": {"name": "detection", "boxes": 0}}, "task.boxes"),
        ({"task": {"name": "classification", "boxes": 3}}, "task.boxes"),
        ({"transforms": {"size": 100}}, "transforms.size"),
        ({"transforms": {"size": [32]}}, "transforms.size"),
        ({"transforms": {"size": [32, 100]}}, "transforms.size.1"),
        ({"transforms": {"mean": [1.0, 2.0]}}, "mean has 2 values, rgb has 3 channels"),
        ({"transforms": {"modality": "flow"}}, "mean has 3 values, flow has 2 channels"),
        ({"transforms": {"modality": "flow", "mean": [1.0, 2.0]}}, "std has 3 values, flow has 2 channels"),
        ({"transforms": {"modality": "depth"}}, "transforms.modality"),
        ({"transforms": {"short_side": 16}}, "short_side 16 is less than size 32"),
        ({"transforms": {"size": [32, 48], "short_side": 16}}, "short_side 16 is less than size (32, 48)"),
        ({"transforms": {"std": [1.0, 1.0, 0.0]}}, "transforms.std.2"),
        ({"transforms": {"scales": [1.5]}}, "transforms.scales.0"),
        ({"transforms": {"crop": "centre"}}, "transforms.crop"),
        ({"data": {"split": 0}}, "data.split"),
        ({"data": {"frames": {"quality": 101}}}, "data.frames.quality"),
        ({"data": {"frames": {"max_failed": 1.5}}}, "data.frames.max_failed"),
        ({"evaluation": {"pool": "mean"}}, "evaluation.pool"),
        ({"evaluation": {"fuse": "sum"}}, "evaluation.fuse"),
        ({"evaluation": {"compare_frames": [0]}}, "evaluation.compare_frames.0"),
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
    runs = [{"name": "clip"}, {"name": "frame", "overrides": {"sampling": {"framse": 1}}}]
    with pytest.raises(
        BookError, match=r"recipe\.yaml.*, run 'frame': unknown key 'sampling\.framse'; did you mean 'frames'"
    ):
        Recipe.load(write(tmp_path, SMALL), {"training": {"runs": runs}})


def test_a_run_is_the_recipe_with_its_differences(tmp_path: Path) -> None:
    runs = [
        {"name": "clip", "seeds": [1, 2]},
        {"name": "frame", "seeds": [3], "overrides": {"sampling": {"frames": 1}}},
    ]
    recipe = Recipe.load(write(tmp_path, SMALL), {"training": {"runs": runs}})
    first, second = (recipe.for_run(run) for run in recipe.training.runs)
    assert (first.sampling.frames, second.sampling.frames) == (16, 1)
    assert [run.name for run in second.training.runs] == ["frame"]
    assert second.training.runs[0].seeds == (3,)
    assert second.for_run(second.training.runs[0]) == second
    assert first.sha256("sampling") == recipe.sha256("sampling") != second.sha256("sampling")


def test_a_recipe_says_what_its_network_takes_and_gives(tmp_path: Path) -> None:
    colour = Recipe.load(write(tmp_path, SMALL), {"sampling": {"frames": 8}})
    assert colour.spec(5) == Spec({"image": (3, 8, 32, 32)}, (5,))
    assert colour.model_options == {"width": 0.2}
    flow = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5], "size": [32, 48]}
    moving = Recipe.load(write(tmp_path, SMALL), {"transforms": flow, "sampling": {"test_frames": 40}})
    assert moving.model_options == {"width": 0.2, "in_channels": 2}
    # Tests differ from training in the number of frames alone, and only where the recipe says so.
    assert moving.spec(5) == Spec({"image": (2, 40, 32, 48)}, (5,))
    assert moving.spec(5, tested=False) == Spec({"image": (2, 16, 32, 48)}, (5,))
    assert colour.spec(5, tested=False) == colour.spec(5)


def test_pathways_and_boxes_are_inputs_of_their_own(tmp_path: Path) -> None:
    changes = {
        "task": {"name": "detection", "boxes": 7},
        "sampling": {"frames": 32, "test_frames": 64, "pathways": {"slow": 8, "fast": 2}},
    }
    recipe = Recipe.load(write(tmp_path, SMALL), changes)
    inputs = {"slow": (3, 8, 32, 32), "fast": (3, 32, 32, 32), BOXES: (7, 4)}
    assert recipe.spec(5) == Spec(inputs, (7, 5))
    assert list(recipe.spec(5).inputs) == ["slow", "fast", BOXES]  # in the order of the network's construct
    assert recipe.spec(5, tested=False).inputs["slow"] == (3, 4, 32, 32)


def test_other_numbers_of_tested_frames_must_suit_the_pathways_too(tmp_path: Path) -> None:
    changes = {"sampling": {"pathways": {"slow": 4, "fast": 1}}}
    recipe = Recipe.load(write(tmp_path, SMALL), {**changes, "evaluation": {"compare_frames": [8, 20]}})
    assert [recipe.with_test_frames(n).spec(2).inputs["slow"][1] for n in (8, 20)] == [2, 5]
    with pytest.raises(BookError, match=r"compare_frames: pathway 'slow': 18 frames"):
        Recipe.load(write(tmp_path, SMALL), {**changes, "evaluation": {"compare_frames": [8, 18]}})


def test_the_result_is_the_first_run_or_the_one_that_is_named(tmp_path: Path) -> None:
    runs = [{"name": "kinetics"}, {"name": "ucf", "overrides": {"sampling": {"frames": 8}}}]
    path = write(tmp_path, SMALL)
    assert Recipe.load(path, {"training": {"runs": runs}}).main_run.name == "kinetics"
    recipe = Recipe.load(path, {"training": {"runs": runs, "result": "ucf"}})
    assert recipe.main_run == recipe.training.runs[1]
    # Of a single run's recipe that run is the result, whichever the whole recipe names.
    for run in recipe.training.runs:
        own = recipe.for_run(run)
        assert own.main_run.name == run.name
        assert own.for_run(own.main_run) == own


FILE = {"manifest": "weights_efficient3d", "file": "a.pth"}


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({}, "none of them"),
        ({"skip": ["classifier"]}, "none of them"),
        ({**FILE, "run": "clip"}, "manifest, file, run"),
        ({"manifest": "weights_efficient3d"}, "manifest"),
        ({"file": "a.pth"}, "file"),
        ({"file": "a.pth", "run": "clip"}, "file, run"),
    ],
)
def test_weights_come_from_a_file_or_from_a_run(tmp_path: Path, weights: dict[str, Any], found: str) -> None:
    with pytest.raises(BookError) as caught:
        Recipe.load(write(tmp_path, SMALL | {"weights": weights}))
    assert f"expected manifest and file, or run alone; found {found}" in str(caught.value)


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
        "sampling": {"frames": 8},
        "transforms": {"flip": 0.25},
        "model": {"name": "i3d"},
        "published": ["three"],
    }
    write(tmp_path, middle, "middle")
    top = write(
        tmp_path, {"extends": "middle", "title": "Top", "transforms": {"flip": 0.125}, "training": {"lr": 0.2}}, "top"
    )
    expected = SMALL | {
        "name": "top",
        "title": "Top",
        "sampling": {"name": "windows", "frames": 8},
        "transforms": {"size": 32, "flip": 0.125},
        "model": {"name": "i3d"},  # another network: the options of the first mean nothing to it
        "training": {**SMALL["training"], "lr": 0.2},
        "published": ["three"],
    }
    assert Recipe.load(top) == Recipe.load(write(tmp_path, expected))
    assert Recipe.load(top, {"transforms": {"flip": 1.0}}).transforms.flip == 1
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
    assert recipes[0].sha256("transforms", "data") == recipes[1].sha256("data", "transforms")


def test_digests_of_sections_change_with_their_section_only(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    plain, changed = Recipe.load(path), Recipe.load(path, {"sampling": {"stride": 2}})
    different = {key for key in plain.as_dict() if plain.sha256(key) != changed.sha256(key)}
    assert different == {"sampling"}
    assert plain.sha256() != changed.sha256()


def test_a_run_on_another_data_set_does_not_look_for_it_in_the_same_folder(tmp_path: Path) -> None:
    data = {**SMALL["data"], "frames_folder": "jpg", "flow_folder": "flow", "annotation_json": "a.json"}
    overrides: list[dict[str, Any]] = [
        {"transforms": {"size": 48}},
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
    """Paths of all keys, except those that are free: a model's options, names of pathways."""
    for key, value in data.items():
        yield (*prefix, key)
        if isinstance(value, dict) and key not in ("options", "pathways"):
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
