"""The doctor before faulty recipes, data sets and workspaces: each fault is a row, and nothing is changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionbook.core import runtime
from actionbook.core.stage_results import AccuracyResults, ConversionResults, TrainingResults
from actionbook.core.workspace import Stage
from actionbook.doctor import Finding, doctor, environment, recipes
from actionbook.doctor.findings import ok, run_checks
from actionbook.doctor.workspaces import stages, workspace_checks

Rows = list[Finding]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that MindSpore takes."""
    monkeypatch.setattr(environment, "mindspore", lambda *_: [ok("MindSpore", "not tried here")])


@pytest.fixture
def examine(quick: None, tiny_stage: Callable[..., Stage], tmp_path: Path) -> Callable[..., tuple[Rows, Stage]]:
    """A function that has the doctor look at the tiny recipe with these differences; the rows, and its stage."""

    def look(data_root: Path | None = None, **differences: Any) -> tuple[Rows, Stage]:
        stage = tiny_stage(**differences)
        rows = doctor(
            str(tmp_path / "recipe.yaml"),
            data_root=data_root or stage.data_root,
            work_root=stage.work_root,
            device="CPU",
        )
        assert not [row for row in rows if "this check itself failed" in row.message], rows
        return rows, stage

    return look


Examine = Callable[..., tuple[Rows, Stage]]


def section(rows: Rows, name: str) -> Rows:
    return [row for row in rows if row.section == name]


def test_a_recipe_with_all_in_place(examine: Examine) -> None:
    rows, stage = examine()
    assert not [row for row in rows if row.status == "problem"]
    assert [row.message for row in section(rows, "data")][:2] == [
        f"lists in {stage.data_root} agree with the manifest: 2 classes, 20 videos",
        "all 20 videos are there",
    ]
    assert "4 videos tried decode" in section(rows, "data")[2].message
    stage.finish(EMPTY[TRAINING])
    rows, _ = examine()
    rows.row("03_training", "ok", "with this recipe and library")
    rows.row("frames", "ok", "holds all 20 videos of the index")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("mini", "expected <chapter>/<name>, one of efficient3d/mini"),
        ("efficient3d/minni", "chapter efficient3d has: mini"),
        ("gone.yaml", "gone.yaml: cannot be read"),
    ],
)
def test_recipes_that_do_not_exist(recipe: str, message: str, tmp_path: Path) -> None:
    rows = doctor(recipe, work_root=tmp_path)
    rows.row("recipe", "problem", message, "mend")
    assert not section(rows, "data")


def test_a_mistake_in_a_recipe_and_a_split_that_is_not_there(
    examine: Examine, tiny_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    rows, _ = examine(data={"split": 9})
    message = "data.split is 9, but tiny has the splits 1, 2, 3"
    section(rows, "recipe").row("recipe", "problem", message, "one of them")
    tiny_stage()
    file = tmp_path / "recipe.yaml"
    file.write_text(file.read_text().replace('"epochs"', '"epoch"'))
    row = one(doctor(str(file), work_root=tmp_path), "recipe")
    assert_row(row, "problem", "unknown key 'training.epoch'; did you mean 'epochs'")


def test_advice_on_values_that_work(tiny_stage: Callable[..., Stage]) -> None:
    def advised(**differences: Any) -> set[str]:
        rows = table.of(recipes.advice, tiny_stage(**differences))
        assert all(row.status in ("ok", "warning") for row in rows)
        return {row.check for row in rows}

    assert advised() == {"advice"}
    assert advised(training={"epochs": 2, "warmup_epochs": 2}) == {"warm-up"}
    assert advised(training={"epochs": 2, "lr_steps": [40, 55]}) == {"advice"}
    assert advised(clips={"window": 2}) == {"windows"}
    assert advised(clips={"size": 48}) == {"size"}
    assert advised(training={"loss_scale": 8.0}) == {"loss scale"}
    assert advised(training={"epochs": 1, "amp_level": "O2"}) == {"loss scale"}


def test_weight_files(examine: Examine, tiny: Any, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.symlink_to(tiny.root)
    weights = {"manifest": "weights_i3d", "file": "rgb_imagenet.pt", "layout": "piergiaj"}
    row = one(examine(weights=weights)[0], "weights")
    assert_row(row, "problem", "rgb_imagenet.pt is missing", "https://")
    row = one(examine(weights={**weights, "file": "none.pt"})[0], "weights")
    assert_row(row, "problem", "no weight file 'none.pt'; there are: ")
    row = one(examine(weights={**weights, "layout": "torch"})[0], "weights")
    assert_row(row, "problem", "weight layout 'torch' is not known")


@pytest.fixture
def copied(tiny: Any, tmp_path: Path) -> Path:
    """The tiny data set, to be damaged."""
    return Path(shutil.copytree(tiny.root, tmp_path / "copied"))


def test_missing_and_damaged_videos(examine: Examine, copied: Path) -> None:
    videos = sorted((copied / "UCF-101").rglob("*.avi"))
    for path in videos[:2]:
        path.unlink()
    rows, _ = examine(copied)
    missing = next(row for row in section(rows, "data") if "videos are missing" in row.message)
    assert_row(missing, "problem", "2 of 20 videos are missing: v_MoonWalk", "data.allow_missing")
    rows, _ = examine(copied, data={"allow_missing": True})
    missing = next(row for row in section(rows, "data") if "videos are missing" in row.message)
    assert_row(missing, "warning", "2 of 20", "reproduction")
    for path in videos[2:]:
        path.write_bytes(b"RIFF")
    rows, _ = examine(copied)
    assert_row(next(row for row in rows if "do not decode" in row.message), "problem", "4 of 4 videos", "fetch them")
    (copied / "ucfTrainTestlist" / "classInd.txt").write_text("1 Walking\n")
    section(examine(copied)[0], "data").row("tiny split 1: videos", "problem", "is not the class list")
    shutil.rmtree(copied / "UCF-101")
    section(examine(copied)[0], "data").row("tiny split 1", "problem", "does not exist", "data_root")


EMPTY = {
    "03_training": TrainingResults(runs=(), models={}),
    "04_conversion": ConversionResults(streams={}),
    "05_accuracy": AccuracyResults(scores=(), protocols={}, missing=0),
}
TRAINING, CONVERSION, ACCURACY = EMPTY


def open_stage(tmp_path: Path, **overrides: Any) -> Stage:
    return Stage.open("i3d", "doctor", work_root=tmp_path, overrides=overrides)


def finish(tmp_path: Path, name: str, **changes: Any) -> None:
    """Let a stage of the miniature finish, with other values in its file's mapping ``stage``."""
    stage = open_stage(tmp_path)
    stage.name = name
    stage.finish(EMPTY[name])
    path = stage.workspace / "record" / f"{name}.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "stage": {**data["stage"], **changes}}))


def found(tmp_path: Path, **overrides: Any) -> Rows:
    return table.of(stages, open_stage(tmp_path, **overrides))


def test_stages_that_have_run(tmp_path: Path) -> None:
    (row,) = workspace_checks(open_stage(tmp_path))["record"]()
    assert_row(row, "ok", "nothing has run")
    open_stage(tmp_path).workspace.mkdir(parents=True)
    assert_row(found(tmp_path)[0], "ok", "begin with notebook 01_data")
    finish(tmp_path, TRAINING)
    assert_row(one(found(tmp_path), TRAINING), "ok", "with this recipe and library")


def test_stages_that_are_stale(tmp_path: Path) -> None:
    for name in (TRAINING, CONVERSION, ACCURACY):
        finish(tmp_path, name)
    rows = found(tmp_path, evaluation={"pool": "softmax_mean"})
    assert [row.status for row in rows] == ["ok", "ok", "warning"]
    assert_row(one(rows, ACCURACY), "warning", "another evaluation of the recipe", "i3d/05_accuracy.ipynb")
    rows = found(tmp_path, streams={"flow": {"training": {"lr": 0.5}}})
    assert_row(one(rows, TRAINING), "warning", "another streams of the recipe", "03_training.ipynb")
    finish(tmp_path, TRAINING, finished="2999-01-01T00:00:00+00:00")
    rows = found(tmp_path)
    assert_row(one(rows, CONVERSION), "warning", "before the last run of 03_training", "again")
    finish(tmp_path, TRAINING, finished="2020-01-01T00:00:00+00:00")
    finish(tmp_path, CONVERSION, environment={"library_sha256": "0"})
    assert_row(one(found(tmp_path), CONVERSION), "warning", "another version of the library", "if figures matter")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"head": {}}'])
def test_damaged_records(content: str, tmp_path: Path) -> None:
    finish(tmp_path, TRAINING)
    (open_stage(tmp_path).workspace / "record" / f"{TRAINING}.json").write_text(content)
    found(tmp_path).row("it", "problem", "record/03_training.json", "mend")


def test_frames_that_are_missing_or_damaged(tiny_stage: Callable[..., Stage]) -> None:
    stage = tiny_stage()
    kept = shutil.copytree(stage.colour_store, stage.colour_store.with_name("kept"))
    stage.colour_store.unlink()
    kept.rename(stage.colour_store)

    def frames() -> Finding:
        return one(table.of_all(workspace_checks, stage), "frames")

    assert frames().status == "ok"
    files = sorted(stage.colour_store.rglob("*.zip"))
    content = files[0].read_bytes()
    files[0].unlink()
    assert_row(frames(), "problem", f"lacks 1 of 20 videos, first {files[0].stem}", "01_data")
    files[0].write_bytes(content)
    for file in files:
        file.write_bytes(b"PK")
    assert_row(frames(), "problem", "is not a whole frame store file", "01_data")
    for file in files:
        file.write_bytes(content)
    assert "frames, the index says" in frames().message
    stage.index_file.write_text("a,b\n1,2\n")
    assert_row(frames(), "problem", "index", "mend")
    stage.index_file.unlink()
    assert_row(frames(), "warning", "does not exist", "01_data")


def test_half_finished_trainings_and_leftovers(tiny_stage: Callable[..., Stage]) -> None:
    stage = tiny_stage(training={"epochs": 9})
    digest = runtime.library_sha256()[:8]
    for name, files in {
        f"done-seed1-0-{digest}": {"done.json": "{}", "network.ckpt": "x"},
        f"half-seed1-0-{digest}": {"state.ckpt": "x", "log.jsonl": '{"epoch": 1}\n{"epoch": 2}\n'},
        "old-seed1-0-00000000": {"state.ckpt": "x", "log.jsonl": '{"epoch": 1}\n'},
        f"empty-seed1-0-{digest}": {"state.ckpt": ""},
        f"lost-seed1-0-{digest}": {"done.json": "{}"},
        f"begun-seed1-0-{digest}": {".tmp-12-x.ckpt": "abc"},
    }.items():
        for file, text in files.items():
            path = stage.folder / "training" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    rows = table.of_all(workspace_checks, stage)
    found = {row.message.split("-")[0]: row for row in rows if row.check == "training"}
    assert_row(found["half"], "warning", "after epoch 2 of 9", "03_training")
    assert_row(found["old"], "warning", "another version of the library", "any_library")
    assert_row(found["empty"], "problem", "state.ckpt is empty", "delete")
    assert_row(found["lost"], "problem", "no network.ckpt", "delete")
    assert_row(found["begun"], "warning", "no state to go on from", "first epoch")
    assert_row(found["2 finished trainings"], "ok", "2 finished")
    rows.row("leftovers", "warning", "1 temporary files", "delete them")
    (stage.folder / "training" / f"half-seed1-0-{digest}" / "log.jsonl").write_text("{")
    rows = table.of_all(workspace_checks, stage)
    found = {row.message.split("-")[0]: row for row in rows if row.check == "training"}
    assert_row(found["half"], "warning", "would go on from its last state (its log cannot be read)", "03_training")


def test_nothing_is_changed(examine: Examine, tmp_path: Path, tiny: Any) -> None:
    examine()

    def tree() -> dict[str, tuple[int, int]]:
        roots = (tmp_path, tiny.root)
        return {str(p): (p.lstat().st_mtime_ns, p.lstat().st_size) for r in roots for p in r.rglob("*") if p.is_file()}

    before = tree()
    stage = examine()[1]
    ours = {str(tmp_path / "recipe.yaml"), str(stage.index_file), *map(str, tmp_path.glob("*.yaml"))}  # the fixture's
    assert {k: v for k, v in before.items() if k not in ours} == {k: v for k, v in tree().items() if k not in ours}
