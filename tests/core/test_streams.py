"""Streams: networks of one recipe that see the same items, what each changes, and where its files lie."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from actionbook.core import workspace as module
from actionbook.core.errors import BookError
from actionbook.core.recipe import Recipe
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of

FLOW: dict[str, Any] = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}
PAIR: dict[str, Any] = {
    "chapter": "pair",
    "name": "tiny",
    "title": "Two streams",
    "data": {"manifest": "mini_ucf101"},
    "sampling": {"name": "centre", "frames": 8},
    "transforms": {"size": 32},
    "model": {"name": "i3d"},
    "training": {"epochs": 1, "batch_size": 2, "lr": 0.1},
    "published": ["both"],
    "streams": {
        "rgb": {"title": "Colour", "published": ["colour"]},
        "flow": {"transforms": FLOW, "training": {"epochs": 3, "lr_steps": [2]}},
    },
}


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of recipes of a chapter `pair`: `tiny` has two streams, `alone` none, `moving` none and is of flow."""
    folder = tmp_path / "notebooks" / "pair" / "recipes"
    folder.mkdir(parents=True)
    alone = {key: value for key, value in PAIR.items() if key != "streams"} | {"name": "alone"}
    moving = alone | {"name": "moving", "transforms": {"size": 32, **FLOW}}
    for data in (PAIR, alone, moving):
        (folder / f"{data['name']}.yaml").write_text(json.dumps(data), encoding="utf-8")
    monkeypatch.setattr(module, "NOTEBOOKS", tmp_path / "notebooks")
    return folder


def opened(work: Path, recipe: str = "tiny", **changes: Any) -> Stage:
    return Stage.open("pair", "03_training", recipe=recipe, work_root=work, device="CPU", workers=1, **changes)


def load(folder: Path, overrides: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    path = folder / "own.yaml"
    path.write_text(json.dumps(PAIR | changes), encoding="utf-8")
    return Recipe.load(path, overrides)


def test_a_stream_is_the_recipe_with_its_differences(tmp_path: Path) -> None:
    recipe = load(tmp_path)
    assert recipe.stream_names == ("rgb", "flow")
    rgb, flow = map(recipe.for_stream, recipe.stream_names)
    expected = copy.deepcopy(recipe.as_dict()) | {"streams": {}}
    assert rgb.as_dict() == expected | {"title": "Colour", "published": ["colour"]}
    expected["transforms"] |= FLOW
    expected["training"] |= {"epochs": 3, "lr_steps": [2]}
    # What all streams together aim at is not what each of them does.
    assert flow.as_dict() == expected | {"published": []}
    assert flow.spec(5).inputs == {"image": (2, 8, 32, 32)}
    assert flow.model_options == {"in_channels": 2}


@pytest.mark.parametrize(("modality", "transforms"), [("rgb", {"size": 32}), ("flow", {"size": 32, **FLOW})])
def test_a_recipe_without_streams_is_its_only_one(tmp_path: Path, modality: str, transforms: dict[str, Any]) -> None:
    recipe = load(tmp_path, streams={}, transforms=transforms)
    assert recipe.stream_names == (modality,)
    assert recipe.for_stream(modality) == recipe


def test_a_stream_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"own.*no stream 'depth', only rgb, flow"):
        load(tmp_path).for_stream("depth", "own")
    with pytest.raises(BookError, match="no stream 'flow', only rgb"):
        load(tmp_path, streams={}).for_stream("flow")


@pytest.mark.parametrize(
    ("streams", "parts"),
    [
        ({"rgb": {}}, ["two or more", "rgb"]),
        ({"rgb": {}, "joint": {}}, ["none called 'joint'"]),
        ({"rgb": {}, "flow": {"chapter": "x"}}, ["chapter belong to the whole recipe"]),
        ({"rgb": {"name": "x", "task": {}}, "flow": {}}, ["name, task belong to the whole recipe"]),
        ({"rgb": {}, "flow": {"data": {"split": 2}}}, ["data belong to the whole recipe"]),
        ({"rgb": {}, "../flow": {}}, ["streams", "../flow", "of the form"]),
        ({"rgb": {}, "flow": {"transforms": {"sise": 2}}}, ["stream 'flow'", "transforms.sise", "did you mean 'size'"]),
        ({"rgb": {}, "flow": {"transforms": {"modality": "flow"}}}, ["stream 'flow'", "mean has 3 values"]),
        ({"rgb": {}, "flow": {"weights": {"run": "b"}}}, ["run 'clip' starts from run 'b'"]),
        ({"rgb": {}, "flow": {"streams": {}}}, ["streams belong to the whole recipe"]),
    ],
)
def test_streams_that_cannot_be(tmp_path: Path, streams: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(BookError) as caught:
        load(tmp_path, streams=streams)
    assert "own.yaml" in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_overrides_hold_in_all_streams(tmp_path: Path) -> None:
    changes = {"training": {"epochs": 7}, "transforms": {"size": 48}, "sampling": {"name": "windows", "frames": 4}}
    recipe = load(tmp_path, changes)
    for stream in map(recipe.for_stream, recipe.stream_names):
        assert (stream.training.epochs, stream.transforms.size) == (7, 48)
        assert (stream.sampling.name, stream.sampling.frames) == ("windows", 4)
    # What a stream says beside that stays.
    assert recipe.for_stream("flow").training.lr_steps == (2,)
    assert recipe.for_stream("flow").transforms.modality == "flow"


def test_overrides_of_one_stream(tmp_path: Path) -> None:
    changes = {"training": {"epochs": 7}, "streams": {"flow": {"training": {"epochs": 9, "lr": 0.5}}}}
    recipe = load(tmp_path, changes)
    rgb, flow = (recipe.for_stream(name).training for name in recipe.stream_names)
    assert (rgb.epochs, rgb.lr, flow.epochs, flow.lr, flow.lr_steps) == (7, 0.1, 9, 0.5, (2,))


def test_titles_of_streams_survive_overrides(tmp_path: Path) -> None:
    recipe = load(tmp_path, {"title": "Mine", "published": ["other"]})
    assert (recipe.title, recipe.published) == ("Mine", ("other",))
    assert (recipe.for_stream("rgb").title, recipe.for_stream("rgb").published) == ("Colour", ("colour",))


def test_runs_are_checked_in_every_stream(tmp_path: Path) -> None:
    runs = [{"name": "clip"}, {"name": "odd", "overrides": {"transforms": {"mean": [1.0, 2.0, 3.0]}}}]
    with pytest.raises(BookError, match=r"own\.yaml.*run 'odd'.*mean has 3 values, flow has 2 channels"):
        load(tmp_path, training={**PAIR["training"], "runs": runs})


def test_a_written_out_recipe_of_streams_is_the_same(tmp_path: Path) -> None:
    recipe = load(tmp_path, {"training": {"epochs": 7}})
    path = tmp_path / "again.yaml"
    path.write_text(json.dumps(recipe.as_dict()), encoding="utf-8")
    assert Recipe.load(path) == recipe


def test_every_stream_has_a_folder_in_the_workspace(recipes: Path, tmp_path: Path) -> None:
    stage = opened(tmp_path / "work")
    assert stage.folder == stage.workspace == tmp_path.resolve() / "work" / "pair" / "tiny"
    assert {name: one.folder for name, one in stage.streams.items()} == {
        "rgb": stage.workspace / "rgb",
        "flow": stage.workspace / "flow",
    }
    assert {one.workspace for one in stage.streams.values()} == {stage.workspace}
    assert [one.whole for one in stage.streams.values()] == [stage.recipe] * 2
    assert [one.recipe for one in stage.streams.values()] == [stage.recipe.for_stream(n) for n in ("rgb", "flow")]
    assert stage.first.stream == "rgb"


@pytest.mark.parametrize(("recipe", "stream"), [("alone", "rgb"), ("moving", "flow")])
def test_a_single_streams_folder_is_the_workspace(recipes: Path, tmp_path: Path, recipe: str, stream: str) -> None:
    stage = opened(tmp_path, recipe)
    assert list(stage.streams) == [stage.first.stream] == [stream]
    assert stage.first.folder == stage.workspace
    assert stage.first.recipe == stage.recipe


def test_one_stream_is_chosen(recipes: Path, tmp_path: Path) -> None:
    stage = opened(tmp_path, stream="flow")
    assert list(stage.streams) == ["flow"]
    assert stage.first.folder == opened(tmp_path).streams["flow"].folder
    assert opened(tmp_path, "alone", stream="rgb").first.folder.name == "alone"
    # A stream's stage goes on with itself alone.
    assert list(stage.first.streams) == ["flow"]


@pytest.mark.parametrize(("recipe", "stream"), [("tiny", "joint"), ("tiny", ""), ("tiny", ["rgb"]), ("alone", "flow")])
def test_another_stream_is_refused(recipes: Path, tmp_path: Path, recipe: str, stream: Any) -> None:
    with pytest.raises(BookError, match=r"stream .*: expected one of rgb"):
        opened(tmp_path, recipe, stream=stream)


def test_streams_share_index_and_colour_frames(recipes: Path, tmp_path: Path) -> None:
    rgb, flow = (dataset_of(stage) for stage in opened(tmp_path).streams.values())
    assert rgb.index_file == flow.index_file
    assert rgb.store("rgb") == flow.colour_store != flow.store("flow") == rgb.flow_store


def test_runs_of_a_stream_lie_in_its_folder(recipes: Path, tmp_path: Path) -> None:
    flow = opened(tmp_path).streams["flow"]
    own = flow.for_run(flow.recipe.main_run)
    assert (own.folder, own.stream, own.parent) == (flow.folder, "flow", flow)


def test_overrides_of_a_stage_reach_every_stream(recipes: Path, tmp_path: Path) -> None:
    stage = opened(tmp_path, overrides="{training: {epochs: 7}}")
    assert [one.recipe.training.epochs for one in (stage, *stage.streams.values())] == [7, 7, 7]


def test_the_streams_of_the_book(tmp_path: Path) -> None:
    stage = Stage.open("i3d", "03_training", recipe="ucf101_1card", work_root=tmp_path)
    assert {name: one.recipe.spec(101).inputs["image"] for name, one in stage.streams.items()} == {
        "rgb": (3, 64, 224, 224),
        "flow": (2, 64, 224, 224),
    }
    assert {name: one.recipe.weights and one.recipe.weights.file for name, one in stage.streams.items()} == {
        "rgb": "rgb_imagenet.pt",
        "flow": "flow_imagenet.pt",
    }
    assert stage.streams["flow"].recipe.training.batch_size == 8
