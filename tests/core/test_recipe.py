"""Recipes: the book's own load, and no mistake in one gets by unnamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from actionbook.clips.sampling import random_clip, window_clip
from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe, parse_overrides
from actionbook.core.spec import BOXES, Spec
from actionbook.training.schedule import step_rates

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


def test_a_run_may_learn_another_task_before(tmp_path: Path) -> None:
    boxes = {
        "task": {"name": "detection", "boxes": 7},
        "sampling": {"name": "keyframe", "frames": 8, "stride": 2},
    }
    clips = {"task": {"name": "classification"}, "sampling": {"name": "centre", "frames": 8, "stride": 1}}
    runs = [{"name": "clips", "overrides": clips}, {"name": "boxes", "overrides": {"weights": {"run": "clips"}}}]
    small = SMALL | {"training": SMALL["training"] | {"runs": runs, "result": "boxes"}} | boxes
    recipe = Recipe.load(write(tmp_path, small))
    first, second = (recipe.for_run(run) for run in recipe.training.runs)
    # What belongs to the other task and sampler alone is gone, and nothing else.
    assert first.as_dict()["task"] == {"name": "classification"}
    assert (first.sampling.name, first.sampling.frames, first.sampling.stride) == ("centre", 8, 1)
    assert (first.spec(5), second.spec(5).inputs[BOXES]) == (Spec({"image": (3, 8, 32, 32)}, (5,)), (7, 4))
    assert first.transforms == second.transforms == recipe.transforms
    lacking = [{"name": "plain"}, {"name": "boxes", "overrides": {"task": {"name": "detection"}}}]
    with pytest.raises(BookError, match=r"recipe\.yaml.*, run 'boxes': key 'task\.boxes' is missing; expected a whole"):
        Recipe.load(write(tmp_path, SMALL), {"training": {"runs": lacking}})
    # The same task, named again, keeps the recipe's values.
    again = recipe.training.runs[1].model_copy(update={"overrides": {"task": {"name": "detection"}}})
    assert recipe.for_run(again).task == recipe.task


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


def test_superframes_are_so_many_frames_of_each_segment(tmp_path: Path) -> None:
    changes = {"sampling": {"name": "superframes", "frames": 3, "segments": 4, "test_frames": 30}}
    recipe = Recipe.load(write(tmp_path, {**SMALL, **changes}), {"evaluation": {"compare_frames": [12]}})
    assert (recipe.sampling.drawn, recipe.sampling.tested) == (12, 30)
    assert recipe.spec(5, tested=False) == Spec({"image": (3, 12, 32, 32)}, (5,))
    assert recipe.spec(5) == Spec({"image": (3, 30, 32, 32)}, (5,))
    assert recipe.with_test_frames(12).spec(5) == recipe.spec(5, tested=False)
    said = "a clip of 31 frames is no multiple of the 3 of each part"
    for wrong in ({"sampling": {"test_frames": 31}}, {"evaluation": {"compare_frames": [31]}}):
        with pytest.raises(BookError, match=said):
            Recipe.load(write(tmp_path, {**SMALL, **changes}), wrong)


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


def test_weights_from_several_files(tmp_path: Path) -> None:
    weights = Recipe.load(write(tmp_path, SMALL | {"weights": {**FILE, "also": ["b.pth", "c.pth"]}})).weights
    assert weights is not None
    assert weights.files == ("a.pth", "b.pth", "c.pth")
    with pytest.raises(BookError, match="expected manifest and file before them"):
        Recipe.load(write(tmp_path, SMALL | {"weights": {"run": "clip", "also": ["b.pth"]}}))


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


def with_runs(*overrides: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"training": {"runs": [{"name": f"r{i}", "overrides": o, **fields} for i, o in enumerate(overrides)]}}


# Values out of range, and of another type, are those of test_every_key.py.
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no pathway": ({"sampling": {"pathways": {}}}, ["'sampling.pathways'", "{}"]),
    "a pathway that leaves a rest": (
        {"sampling": {"pathways": {"slow": 5}}},
        ["'sampling'", "pathway 'slow'", "16 frames", "multiple of 5"],
    ),
    "a pathway that leaves a rest of tested clips": (
        {"sampling": {"pathways": {"slow": 4}, "test_frames": 6}},
        ["'sampling'", "pathway 'slow': 6 frames are no multiple of 4"],
    ),
    "names of parameters that their kind does not take": (
        {"training": {"groups": [{"kind": "norms", "prefixes": ["a"]}]}},
        ["'training.groups.0'", "prefixes belong to 'named'"],
    ),
    "named parameters without a name": (
        {"training": {"groups": [{"kind": "named"}]}},
        ["'training.groups.0'", "'named'", "prefixes"],
    ),
    "steps that go back": ({"training": {"lr_steps": [3, 1]}}, ["'training'", "lr_steps must rise", "[3, 1]"]),
    "a step twice": ({"training": {"lr_steps": [2, 2]}}, ["'training'", "lr_steps must rise", "[2, 2]"]),
    "restarts that go back": (
        {"training": {"lr_restarts": [[3, 0.1], [3, 0.2]]}},
        ["'training'", "lr_restarts must rise", "[3, 3]"],
    ),
    "micro-batches that leave a rest": (
        {"training": {"batch_size": 32, "accumulate": 5}},
        ["'training'", "accumulate 5 does not divide batch_size 32"],
    ),
    "Nesterov's momentum with dampening": (
        {"training": {"nesterov": True}},
        ["'training'", "nesterov needs optimizer sgd, dampening 0 ", "dampening 0.9"],
    ),
    "Nesterov's momentum without a momentum": (
        {"training": {"nesterov": True, "dampening": 0.0, "momentum": 0.0}},
        ["'training'", "nesterov needs", "momentum above 0", "momentum 0"],
    ),
    "Nesterov's momentum of Adam": (
        {"training": {"nesterov": True, "dampening": 0.0, "optimizer": "adam"}},
        ["'training'", "nesterov needs", "optimizer adam"],
    ),
    "no run": ({"training": {"runs": []}}, ["'training'", "different names and at least one"]),
    "two runs of one name": (
        {"training": {"runs": [{"name": "a"}, {"name": "a"}]}},
        ["'training'", "different names", "['a', 'a']"],
    ),
    "a result that no run is": ({"training": {"result": "b"}}, ["'training'", "result 'b'", "['clip']"]),
    "a seed twice": (with_runs({}, seeds=[4, 1, 4]), ["'training.runs.0'", "seeds must differ", "[4, 1, 4]"]),
    "a run that renames the recipe": (
        with_runs({"name": "other"}),
        ["'training.runs.0'", "run 'r0'", "name belong to the whole recipe"],
    ),
    "a run that has runs": (
        with_runs({"training": {"runs": []}}),
        ["'training.runs.0'", "training.runs belong to the whole"],
    ),
    "a run that names the result": (
        with_runs({"training": {"result": "r0"}}),
        ["training.result belong to the whole recipe"],
    ),
    "a result with another task": (
        with_runs({"task": {"name": "detection", "boxes": 2}}),
        ["run 'r0' is the result", "its task is 'detection', the recipe's 'classification'", "training.result"],
    ),
    "a run with streams": (with_runs({"streams": {}}), ["run 'r0'", "streams belong to the whole recipe"]),
    "an extension in overrides": ({"extends": "mini"}, ["unknown key 'extends'"]),
    "weights from a run that is none": (
        {"weights": {"run": "gone"}},
        ["run 'clip' starts from run 'gone'", "not among the runs before"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused(name: str, tmp_path: Path) -> None:
    changes, parts = REFUSED[name]
    small = write(tmp_path, SMALL)
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
    "the same run twice under two names": with_runs({}, {}),
    "nothing trained": {"training": {"epochs": 0}},
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_can_work_is_left_alone(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, SMALL), ALLOWED[name])
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
    path.write_text(MINI.read_text() + extra + "\n", encoding="utf-8")
    with pytest.raises(
        BookError, match=r"own\.yaml: (unknown key 'transform'; did you mean 'transforms'|.*stands twice)"
    ):
        Recipe.load(path)


def test_all_mistakes_of_a_recipe_are_listed_at_once(tmp_path: Path) -> None:
    small = write(tmp_path, SMALL)
    changes = {"training": {"lr": -1.0, "epoch": 3}, "transforms": {"size": 33}, "data": {"split": 0}}
    with pytest.raises(BookError) as caught:
        Recipe.load(small, changes)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"{small} with overrides: ") for line in lines)
