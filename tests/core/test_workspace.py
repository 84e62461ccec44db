"""Stages: parameters by name, results only from a stage that ran with the same recipe, an entry in the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionbook.core import workspace as module
from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS, ROOT, build_root
from actionbook.core.recipe import Recipe
from actionbook.core.record import STAGES, read_record
from actionbook.core.stage_results import DataResults, DatasetRow
from actionbook.core.workspace import PARAMETERS, Stage

DIGEST = "0" * 64
ROW = DatasetRow(
    manifest="mini_ucf101",
    manifest_sha256=DIGEST,
    generated=True,
    split=1,
    videos_expected=500,
    videos_found=500,
    missing=(),
    missing_sha256=None,
    frames=9000,
    store_bytes=1,
    index_sha256=DIGEST,
)
RESULTS = DataResults(own="mini_ucf101", sets={"mini_ucf101": ROW})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real report is tested with the runtime; here a word stands for it."""
    monkeypatch.setattr(module.runtime, "environment", lambda: {"python": "3.11"})


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """A function that opens a stage of the first chapter, in a work root of the test's own."""

    def open_stage(name: str = "01_data", **parameters: Any) -> Stage:
        return Stage.open("efficient3d", name, **{"work_root": str(tmp_path), **parameters})

    return open_stage


def test_open(opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACTIONBOOK_DATA", raising=False)
    stage = opened()
    assert stage.name == "01_data"
    assert stage.recipe == stage.whole == Recipe.load(NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml")
    assert stage.folder == stage.workspace == tmp_path.resolve() / "efficient3d" / "mini"
    assert stage.data_root == ROOT / "data" / "mini_ucf101"
    assert (stage.workers, stage.devices, stage.scheduler) == (module.runtime.default_workers(), 1, None)
    assert stage.manifest.name == "mini_ucf101"
    assert not stage.folder.exists()


def test_open_with_values_of_ones_own(opened: Any, tmp_path: Path) -> None:
    mine = {"workers": 3, "devices": 2, "overrides": "{training: {epochs: 1}}", "device": "CPU", "scheduler": "tcp://a"}
    stage = opened("03_training", data_root=tmp_path / "d", **mine)
    assert (stage.workers, stage.devices, stage.device, stage.scheduler) == (3, 2, "CPU", "tcp://a")
    assert stage.data_root == tmp_path.resolve() / "d"
    assert stage.recipe.training.epochs == 1


def test_parameters_go_by_name() -> None:
    with pytest.raises(TypeError):
        Stage.open("efficient3d", "01_data", "mini")  # type: ignore[misc]
    with pytest.raises(TypeError, match="recpie"):
        Stage.open("efficient3d", "01_data", recpie="mini")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("variable", "found", "usual"),
    [
        ("ACTIONBOOK_DATA", lambda: Stage.open("efficient3d", "01_data").data_root.parent, "data"),
        ("ACTIONBOOK_WORK", lambda: Stage.open("efficient3d", "01_data").work_root, "work"),
        ("ACTIONBOOK_BUILD", build_root, "_build"),
    ],
)
def test_folders_come_from_the_environment(
    variable: str, found: Callable[[], Path], usual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # relative ones begin at the checkout: a kernel's folder is another than make's
    for value, wanted in {
        str(tmp_path / "elsewhere"): tmp_path / "elsewhere",
        "~/here": tmp_path / "here",
        "../beside": ROOT.parent / "beside",
        "": ROOT / usual,
    }.items():
        monkeypatch.setenv(variable, value)
        assert found() == wanted.resolve()
    monkeypatch.delenv(variable)
    assert found() == ROOT / usual


def test_a_stage_is_not_begun_where_its_results_cannot_be_written(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        BookError, match=r"file/work cannot be written \(Not a directory\): set work_root .*ACTIONBOOK_WORK"
    ):
        opened(work_root=tmp_path / "file" / "work")
    assert opened("doctor", work_root=tmp_path / "file" / "work").name == "doctor"  # which has a row for it
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 0}, "^workers: expected a whole number of at least 1, .*found 0$"),
        ({"devices": "2"}, "^devices: expected a whole number of at least 1, .*found '2'$"),
        ({"data_root": ""}, "^data_root: expected the path of a folder"),
        ({"work_root": ["a"]}, "^work_root: expected the path of a folder"),
        ({"device": "cpu"}, "device 'cpu': expected one of auto, CPU, GPU, Ascend"),
        ({"device": None}, "device None: expected one of auto"),
        ({"device": ""}, "device '': expected one of auto"),
        ({"stream": "flow"}, "stream 'flow': expected one of rgb$"),
        ({"stream": ""}, "stream '': expected one of rgb$"),
        ({"scheduler": ""}, "scheduler: expected an address .*found ''"),
        ({"scheduler": 8786}, "scheduler: expected an address .*found 8786"),
        ({"recipe": 5}, "recipe: expected a name or the path"),
        ({"recipe": None}, "recipe: expected a name or the path"),
        ({"recipe": ""}, "recipe: expected a name or the path"),
        ({"recipe": "maxi"}, r"recipe 'maxi': notebooks/efficient3d/recipes/maxi\.yaml does not exist; .*has: .*mini"),
        ({"recipe": "/nowhere/mine.yaml"}, r"/nowhere/mine\.yaml: cannot be read"),
        ({"overrides": "[1]"}, "overrides: expected a mapping"),
        ({"overrides": ["a"]}, "overrides: expected a mapping"),
        ({"overrides": "{transforms: {sise: 32}}"}, r"unknown key 'transforms\.sise'"),
    ],
)
def test_open_refuses(opened: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BookError, match=message):
        opened(**changes)


def test_open_takes_a_recipe_by_path_but_only_of_its_chapter(opened: Any, tmp_path: Path) -> None:
    text = (NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("name: mini\n", "name: mine\n"), encoding="utf-8")
    assert opened(recipe=str(path)).folder.name == "mine"
    path.write_text(text.replace("chapter: efficient3d", "chapter: i3d"), encoding="utf-8")
    with pytest.raises(BookError, match="belongs to chapter 'i3d', this is 'efficient3d'"):
        opened(recipe=str(path))


FLOW: dict[str, Any] = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}
RUNS = [
    {"name": "clip"},
    {"name": "short", "overrides": {"sampling": {"frames": 4}}},
    {"name": "second", "overrides": {"data": {"split": 2}}},
    {"name": "large", "overrides": {"data": {"manifest": "ucf101", "frames": {"height": 240}}}},
    {"name": "flow", "overrides": {"transforms": FLOW}},
]


def test_a_runs_stage_differs_in_what_the_run_changes(opened: Any, tmp_path: Path) -> None:
    overrides = {"training": {"runs": RUNS}}
    stage = opened("03_training", data_root=str(tmp_path / "sets" / "mine"), overrides=overrides)
    clip, short, second, large, flow = (stage.for_run(run) for run in stage.recipe.training.runs)
    assert clip.recipe.sampling == stage.recipe.sampling
    assert short.recipe.sampling.frames == 4
    assert (second.recipe.data.split, flow.recipe.transforms.modality) == (2, "flow")
    for one in (clip, short, second, large, flow):
        assert (one.folder, one.workspace, one.whole) == (stage.folder, stage.workspace, stage.recipe)
        assert one.parent is stage
    assert stage.parent is None
    # Another data set lies beside the recipe's own, under its manifest's name.
    assert large.data_root == tmp_path.resolve() / "sets" / "ucf101"
    assert {one.data_root for one in (clip, short, second, flow)} == {tmp_path.resolve() / "sets" / "mine"}
    # A run's stage leads to itself again, and still knows the recipe of all runs.
    once_more = large.for_run(large.recipe.main_run)
    assert (once_more.recipe, once_more.data_root, once_more.parent) == (large.recipe, large.data_root, stage)


def test_a_later_stage_gets_an_earlier_ones_results(opened: Any) -> None:
    opened().finish(RESULTS)
    assert opened("03_training").require("01_data", "data", "sampling") == RESULTS


def test_a_stream_s_stage_asks_the_record_of_the_recipe(opened: Any) -> None:
    opened().finish(RESULTS)
    assert opened("03_training").first.require("01_data", "data") == RESULTS


def test_require_names_the_notebook_to_run_first(opened: Any) -> None:
    with pytest.raises(BookError, match=r"no result of stage 01_data: run notebooks/efficient3d/01_data\.ipynb first"):
        opened("03_training").require("01_data")


def test_require_names_the_section_that_changed(opened: Any) -> None:
    opened().finish(RESULTS)
    changed = opened("03_training", overrides={"transforms": {"flip": 0.125}})
    with pytest.raises(
        BookError, match=r"01_data ran with another 'transforms' section .*run notebooks/efficient3d/01_data\."
    ):
        changed.require("01_data", "data", "transforms")
    assert changed.require("01_data", "data") == RESULTS


def test_require_sees_what_only_a_stream_changes(opened: Any) -> None:
    opened().finish(RESULTS)
    streams = {"one": {}, "two": {"transforms": {"flip": 0.0}}}
    with pytest.raises(BookError, match="01_data ran with another 'streams' section"):
        opened("03_training", overrides={"streams": streams}).require("01_data", "data")


def test_another_folder_of_frames_asks_for_its_index_first(opened: Any) -> None:
    def stage(folder: str | None) -> Stage:
        return opened(overrides={"data": {"frames_folder": folder}})

    stage("a").finish(RESULTS)
    assert stage("a").require("01_data", "data") == RESULTS
    for other in ("b", None):
        with pytest.raises(BookError, match="01_data ran with another 'data' section"):
            stage(other).require("01_data", "data")


def test_record_of_a_stage(opened: Any) -> None:
    stage = opened(workers=2, devices=3)
    with stage.timed("prepare"):
        pass
    with stage.first.timed("inside a stream"):
        pass
    stage.finish(RESULTS, {"mini_ucf101.index": DIGEST})
    record = read_record(stage.workspace)
    head, entry = record.heads["01_data"], record.stages["01_data"]
    assert (head.chapter, head.recipe, head.title) == ("efficient3d", "mini", stage.recipe.title)
    assert (head.recipe_sha256, head.streams) == (stage.recipe.sha256(), ("rgb",))
    assert entry.results == RESULTS
    assert set(entry.timings) == {"prepare", "inside a stream"}
    assert entry.seconds >= 0
    assert entry.finished.endswith("+00:00")
    assert (entry.device, entry.devices) == ("auto", 3)
    assert entry.environment == {"python": "3.11"}
    assert entry.rests_on == {"mini_ucf101.index": DIGEST}
    assert entry.recipe_sections == {key: stage.recipe.sha256(key) for key in stage.recipe.as_dict()}


def test_the_recipe_as_it_ran_lies_beside_the_record(opened: Any) -> None:
    stage = opened(overrides={"streams": {"one": {}, "two": {"transforms": {"flip": 0.0}}}, "training": {"lr": 1e-5}})
    stage.finish(RESULTS)
    again = Recipe.load(stage.workspace / "recipe.yaml")
    assert again == stage.whole
    assert again.sha256() == read_record(stage.workspace).heads["01_data"].recipe_sha256


def test_a_stage_of_one_stream_writes_of_the_whole_recipe(opened: Any) -> None:
    stage = opened(overrides={"streams": {"one": {}, "two": {"transforms": {"flip": 0.0}}}}, stream="two")
    stage.finish(RESULTS)
    record = read_record(stage.workspace)
    assert record.heads["01_data"].streams == ("one", "two")
    assert record.stages["01_data"].recipe_sections["transforms"] == stage.whole.sha256("transforms")


def test_a_damaged_record_of_other_streams_is_replaced(opened: Any) -> None:
    stage = opened(overrides={"streams": {"one": {}, "two": {}}}, stream="two")
    stage.finish(RESULTS)
    (stage.workspace / "record" / "01_data.json").write_text("{")
    stage.finish(RESULTS)
    assert read_record(stage.workspace).results(DataResults) == RESULTS


def test_the_parameters_are_those_of_open() -> None:
    import inspect

    names = [name for name, one in inspect.signature(Stage.open).parameters.items() if one.kind is one.KEYWORD_ONLY]
    assert set(PARAMETERS) - set(names) == {"video"}  # of the notebook that looks at one
    assert set(names) < set(PARAMETERS)
    assert "01_data" in STAGES
