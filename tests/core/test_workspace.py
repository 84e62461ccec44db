"""Stages: known parameters only, results only from a stage that ran with the same recipe, a record that stays whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actionbook.core import workspace as module
from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS, ROOT
from actionbook.core.recipe import Recipe
from actionbook.core.streams import Streams
from actionbook.core.workspace import PARAMETERS, Stage, Workspace


@pytest.fixture
def parameters(tmp_path: Path) -> dict[str, Any]:
    values = {"recipe": "mini", "data_root": None, "work_root": str(tmp_path), "device": "auto", "workers": None}
    return values | {"overrides": None}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real report is tested with the runtime; here a word stands for it."""
    monkeypatch.setattr(module.runtime, "environment", lambda: {"python": "3.11"})


def test_open(parameters: dict[str, Any], tmp_path: Path) -> None:
    stage = Stage.open("efficient3d", "01_data", parameters)
    assert stage.name == "01_data"
    assert stage.recipe == Recipe.load(NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml")
    assert stage.folder == tmp_path.resolve() / "efficient3d" / "mini"
    assert stage.data_root == ROOT / "data" / "mini_ucf101"
    assert stage.workers == module.runtime.default_workers()
    assert stage.manifest.name == "mini_ucf101"
    assert not stage.folder.exists()


def test_open_in_a_notebook_sees_only_plain_values(parameters: dict[str, Any]) -> None:
    def helper() -> None: ...

    names = {"Path": Path, "json": json, "helper": helper, "In": [""], "Out": {}, "_i": "x", "__name__": "__main__"}
    assert Stage.open("efficient3d", "01_data", parameters | names).recipe.name == "mini"


def test_open_with_values_of_ones_own(parameters: dict[str, Any], tmp_path: Path) -> None:
    mine = {"workers": 3, "data_root": str(tmp_path / "d"), "overrides": "{training: {epochs: 1}}", "device": "CPU"}
    stage = Stage.open("efficient3d", "03_training", parameters | mine)
    assert (stage.workers, stage.data_root, stage.device) == (3, tmp_path.resolve() / "d", "CPU")
    assert stage.recipe.training.epochs == 1


def test_work_root_comes_from_the_environment(
    parameters: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONBOOK_WORK", str(tmp_path / "elsewhere"))
    stage = Stage.open("efficient3d", "01_data", parameters | {"work_root": None})
    assert stage.work_root == (tmp_path / "elsewhere").resolve()
    monkeypatch.setenv("ACTIONBOOK_WORK", "")
    assert Stage.open("efficient3d", "01_data", parameters | {"work_root": None}).work_root == ROOT / "work"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recpie": "mini"}, "unknown parameter 'recpie'"),
        ({"workers": 0.5}, "workers: expected a whole number"),
        ({"workers": -1}, "workers: expected a whole number"),
        ({"workers": True}, "workers: expected a whole number"),
        ({"workers": "2"}, "workers: expected a whole number"),
        ({"device": "cpu"}, "device 'cpu': expected one of auto, CPU, GPU, Ascend"),
        ({"recipe": 5}, "recipe: expected a name or the path"),
        ({"recipe": "maxi"}, r"recipe 'maxi': notebooks/efficient3d/recipes/maxi\.yaml does not exist; .*has: .*mini"),
        ({"recipe": "/nowhere/mine.yaml"}, r"/nowhere/mine\.yaml: cannot be read"),
        ({"overrides": "[1]"}, "overrides: expected a mapping"),
        ({"overrides": "{clips: {sise: 32}}"}, r"unknown key 'clips\.sise'"),
    ],
)
def test_open_refuses(parameters: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BookError, match=message):
        Stage.open("efficient3d", "01_data", parameters | changes)


@pytest.mark.parametrize("name", PARAMETERS)
def test_open_refuses_a_parameter_that_is_not_set(parameters: dict[str, Any], name: str) -> None:
    del parameters[name]
    with pytest.raises(BookError, match=f"parameter '{name}' is not set. The parameters are: recipe, data_root"):
        Stage.open("efficient3d", "01_data", parameters)


def test_open_takes_a_recipe_by_path_but_only_of_its_chapter(parameters: dict[str, Any], tmp_path: Path) -> None:
    text = (NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("name: mini\n", "name: mine\n"), encoding="utf-8")
    assert Stage.open("efficient3d", "01_data", parameters | {"recipe": str(path)}).folder.name == "mine"
    path.write_text(text.replace("chapter: efficient3d", "chapter: i3d"), encoding="utf-8")
    with pytest.raises(BookError, match="belongs to chapter 'i3d', this is 'efficient3d'"):
        Stage.open("efficient3d", "01_data", parameters | {"recipe": str(path)})


def test_recipes_that_want_the_same_frames_share_a_store(parameters: dict[str, Any], tmp_path: Path) -> None:
    first = Stage.open("efficient3d", "01_data", parameters)
    assert first.frame_store == tmp_path.resolve() / "frames" / "mini_ucf101-h72-q95"

    def store(**data: Any) -> Path:
        return Stage.open("efficient3d", "01_data", parameters | {"overrides": {"data": data}}).frame_store

    assert store(split=2) == store(flow={"bound": 15.0}) == first.frame_store
    others = [store(frames={"height": 64}), store(frames={"quality": 80}), store(frames={"side": "short"})]
    assert len({first.frame_store, *others}) == 4
    assert others[2].name == "mini_ucf101-s72-q95"


FLOW: dict[str, Any] = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}


def test_flow_lies_in_a_store_of_its_own_beside_the_frames(parameters: dict[str, Any]) -> None:
    def stage(**flow: Any) -> Stage:
        overrides = {"clips": FLOW, "data": {"flow": flow}}
        return Stage.open("i3d", "01_data", parameters | {"recipe": "ucf101_rgb", "overrides": overrides})

    first = stage()
    assert first.frame_store == first.flow_store != first.colour_store
    assert first.flow_store.name == "ucf101-s256-q95-tvl1-b20-q95"
    assert first.colour_store.name == "ucf101-s256-q95"
    others = [stage(algorithm="opencv"), stage(bound=12.0), stage(bound=12.5), stage(quality=80)]
    assert len({first.flow_store, *(other.flow_store for other in others)}) == 5
    assert {other.colour_store for other in others} == {first.colour_store}


def test_frames_that_others_have_prepared_take_the_stores_place(parameters: dict[str, Any], tmp_path: Path) -> None:
    def stage(**data: Any) -> Stage:
        own = {"recipe": "ucf101_rgb", "data_root": str(tmp_path / "data"), "overrides": {"data": data}}
        return Stage.open("i3d", "01_data", parameters | own)

    root, frames = tmp_path.resolve(), tmp_path.resolve() / "work_of_others"
    plain = stage()
    assert (plain.frames_folder, plain.flow_folder, plain.annotation_json) == (None, None, None)
    given = stage(frames_folder="../work_of_others/jpg", flow_folder=str(frames / "flow"), annotation_json="a.json")
    assert given.frames_folder == given.colour_store == given.frame_store == frames / "jpg"
    assert given.flow_folder == given.flow_store == frames / "flow"
    assert given.annotation_json == root / "data" / "a.json"
    assert given.index_file == plain.index_file
    # Flow that the book computes never lies among the files of others, nor that of two folders in one place.
    own = [stage(frames_folder=name).flow_store for name in ("jpg", "jpg2", str(tmp_path / "data" / "jpg"))]
    assert {path.parent for path in own} == {root / "frames"}
    assert own[0] == own[2] != own[1]
    assert own[0] != plain.flow_store
    assert stage(flow_folder="flow").colour_store == plain.colour_store


def test_another_folder_of_frames_asks_for_its_index_first(parameters: dict[str, Any]) -> None:
    def stage(folder: str | None) -> Stage:
        return Stage.open("efficient3d", "01_data", parameters | {"overrides": {"data": {"frames_folder": folder}}})

    stage("a").finish({"videos": 3})
    assert stage("a").require("01_data", "data") == {"videos": 3}
    for other in ("b", None):
        with pytest.raises(BookError, match="01_data ran with another 'data' section"):
            stage(other).require("01_data", "data")
    # Trainings go by what is in the folder, not by where it lies: a move costs none of them.
    assert stage("a").recipe.sha256() == stage("b").recipe.sha256() != stage(None).recipe.sha256()


def test_streams_pass_on_parameters_of_a_notebooks_own(parameters: dict[str, Any]) -> None:
    own = parameters | {"modality": "joint", "scheduler": None}
    assert len(Streams.open("i3d", "01_data", own, extra=("scheduler",)).all) == 3
    with pytest.raises(BookError, match="unknown parameter 'scheduler'"):
        Streams.open("i3d", "01_data", own)


def test_every_data_set_and_split_has_an_index_of_its_own(parameters: dict[str, Any]) -> None:
    def index(**data: Any) -> Path:
        return Stage.open("efficient3d", "01_data", parameters | {"overrides": {"data": data}}).index_file

    first = Stage.open("efficient3d", "01_data", parameters)
    assert first.index_file == first.folder / "index-mini_ucf101-1.csv"
    assert len({first.index_file, index(split=2), index(manifest="ucf101")}) == 3
    assert index(frames={"height": 64}) == first.index_file


RUNS = [
    {"name": "clip"},
    {"name": "short", "overrides": {"clips": {"frames": 4}}},
    {"name": "second", "overrides": {"data": {"split": 2}}},
    {"name": "large", "overrides": {"data": {"manifest": "ucf101", "frames": {"height": 240}}}},
    {"name": "flow", "overrides": {"clips": FLOW}},
    {"name": "large_again", "overrides": {"data": {"manifest": "ucf101", "frames": {"height": 240}}}},
]


def test_a_runs_stage_differs_in_what_the_run_changes(parameters: dict[str, Any], tmp_path: Path) -> None:
    own = {"data_root": str(tmp_path / "sets" / "mine"), "overrides": {"training": {"runs": RUNS}}}
    stage = Stage.open("efficient3d", "03_training", parameters | own)
    clip, short, second, large, flow, again = (stage.for_run(run) for run in stage.recipe.training.runs)
    assert (clip.recipe.clips, clip.index_file, clip.frame_store) == (
        stage.recipe.clips, stage.index_file, stage.frame_store,
    )  # fmt: skip
    assert short.recipe.clips.frames == 4
    assert {one.folder for one in (stage, clip, second, large, flow)} == {stage.folder}
    assert {one.parent is stage for one in (clip, short, second, large, flow, again)} == {True}
    assert stage.parent is None
    # Another data set lies beside the recipe's own, under its manifest's name.
    assert large.data_root == again.data_root == tmp_path.resolve() / "sets" / "ucf101"
    assert {one.data_root for one in (clip, short, second, flow)} == {tmp_path.resolve() / "sets" / "mine"}
    assert large.index_file == stage.folder / "index-ucf101-1.csv"
    assert flow.frame_store == stage.flow_store
    # A run's stage leads to itself again, and still knows the recipe of all runs.
    once_more = large.for_run(large.recipe.main_run)
    assert (once_more.recipe, once_more.data_root, once_more.parent) == (large.recipe, large.data_root, stage)


def test_the_data_sets_of_all_runs_each_once(parameters: dict[str, Any]) -> None:
    stage = Stage.open("efficient3d", "01_data", parameters | {"overrides": {"training": {"runs": RUNS}}})
    found = stage.data_sets()
    assert found[0] is stage
    assert [(one.index_file.name, one.frame_store.name) for one in found] == [
        ("index-mini_ucf101-1.csv", "mini_ucf101-h72-q95"),
        ("index-mini_ucf101-2.csv", "mini_ucf101-h72-q95"),
        ("index-ucf101-1.csv", "ucf101-h240-q95"),
        ("index-mini_ucf101-1.csv", "mini_ucf101-h72-q95-tvl1-b20-q95"),
    ]
    plain = Stage.open("efficient3d", "01_data", parameters)
    assert [one is plain for one in plain.data_sets()] == [True]


def test_a_notebook_may_have_parameters_of_its_own(parameters: dict[str, Any]) -> None:
    assert Stage.open("efficient3d", "01_data", parameters | {"video": None}, ("video",)).recipe.name == "mini"
    with pytest.raises(BookError, match=r"parameter 'video' is not set\. The parameters are: .*, video$"):
        Stage.open("efficient3d", "01_data", parameters, ("video",))


def test_a_later_stage_gets_an_earlier_ones_results(parameters: dict[str, Any]) -> None:
    Stage.open("efficient3d", "01_data", parameters).finish({"videos": 500})
    later = Stage.open("efficient3d", "03_training", parameters)
    assert later.require("01_data", "data", "clips") == {"videos": 500}


def test_require_names_the_notebook_to_run_first(parameters: dict[str, Any]) -> None:
    stage = Stage.open("efficient3d", "03_training", parameters)
    with pytest.raises(BookError, match=r"no result of stage 01_data: run notebooks/efficient3d/01_data\.ipynb first"):
        stage.require("01_data")


def test_require_names_the_section_that_changed(parameters: dict[str, Any]) -> None:
    Stage.open("efficient3d", "01_data", parameters).finish({"videos": 500})
    changed = Stage.open("efficient3d", "03_training", parameters | {"overrides": {"clips": {"flip": 0.125}}})
    with pytest.raises(
        BookError, match=r"01_data ran with another 'clips' section .*run notebooks/efficient3d/01_data\."
    ):
        changed.require("01_data", "data", "clips")
    assert changed.require("01_data", "data") == {"videos": 500}


def test_record_of_a_stage(parameters: dict[str, Any]) -> None:
    stage = Stage.open("efficient3d", "01_data", parameters)
    with stage.timed("prepare"):
        pass
    stage.finish({"videos": 500})
    record = json.loads(stage.workspace.record_file.read_text(encoding="utf-8"))
    assert (record["chapter"], record["recipe"]) == ("efficient3d", "mini")
    assert record["title"] == stage.recipe.title
    assert record["recipe_sha256"] == stage.recipe.sha256()
    entry = record["stages"]["01_data"]
    assert entry["results"] == {"videos": 500}
    assert set(entry["timings"]) == {"prepare"}
    assert entry["seconds"] >= 0
    assert entry["finished"].endswith("+00:00")
    assert entry["environment"] == {"python": "3.11"}
    assert entry["recipe_sections"]["clips"] == stage.recipe.sha256("clips")
    assert set(entry["recipe_sections"]) == set(stage.recipe.as_dict())


def test_stages_stand_side_by_side_in_order(parameters: dict[str, Any]) -> None:
    for name in ("03_training", "01_data", "03_training"):
        Stage.open("efficient3d", name, parameters).finish({"of": name})
    record = Stage.open("efficient3d", "05_accuracy", parameters).workspace.read_record()
    assert {name: entry["results"]["of"] for name, entry in record["stages"].items()} == {
        "01_data": "01_data",
        "03_training": "03_training",
    }
    assert list(record["stages"]) == ["01_data", "03_training"]


def test_no_record_yet(tmp_path: Path) -> None:
    assert Workspace(tmp_path).read_record() == {"stages": {}}


@pytest.mark.parametrize("content", [b"", b'{"stages": {', b"\xff\xfe", b"[]", b"{}", b'{"stages": []}'])
def test_a_damaged_record_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    space = Workspace(tmp_path)
    space.record_file.write_bytes(content)
    for use in (space.read_record, lambda: space.write_stage("01_data", {})):
        with pytest.raises(
            BookError, match=r"record\.json: (cannot be read|is not a record).*delete it and run the stages again"
        ):
            use()
    assert space.record_file.read_bytes() == content
