"""The doctor before workspaces: what has run, what is stale, damaged or half finished; and nothing is changed."""

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
from actionbook.datasets.dataset import dataset_of
from actionbook.doctor.workspaces import stages, workspace_checks
from actionbook.training import FLOORS

TABLES = ("items", "labels")
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


@pytest.fixture
def found(table: Any, tmp_path: Path) -> Callable[..., Any]:
    """A function that looks at the stages that have finished."""
    return lambda **overrides: table.of(stages, open_stage(tmp_path, **overrides))


def test_stages_that_have_run(found: Callable[..., Any], tmp_path: Path, table: Any) -> None:
    table.of_all(workspace_checks, open_stage(tmp_path)).row("record", "ok", "nothing has run")
    open_stage(tmp_path).workspace.mkdir(parents=True)
    found().row("record", "ok", "begin with notebook 01_data")
    finish(tmp_path, TRAINING)
    found().row(TRAINING, "ok", "with this recipe and library")


def test_stages_that_are_stale(found: Callable[..., Any], tmp_path: Path) -> None:
    for name in (TRAINING, CONVERSION, ACCURACY):
        finish(tmp_path, name)
    rows = found(evaluation={"pool": "softmax_mean"})
    assert [row.status for row in rows] == ["ok", "ok", "warning"]
    rows.row(ACCURACY, "warning", "another evaluation of the recipe", "i3d/05_accuracy.ipynb")
    rows = found(streams={"flow": {"training": {"lr": 0.5}}})
    rows.row(TRAINING, "warning", "another streams of the recipe", "03_training.ipynb")
    finish(tmp_path, TRAINING, finished="2999-01-01T00:00:00+00:00")
    rows = found()
    rows.row(CONVERSION, "warning", "before the last run of 03_training", "again")
    finish(tmp_path, TRAINING, finished="2020-01-01T00:00:00+00:00")
    finish(tmp_path, CONVERSION, environment={"library_sha256": "0"})
    found().row(CONVERSION, "warning", "another version of the library", "if figures matter")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"head": {}}'])
def test_damaged_records(content: str, found: Callable[..., Any], tmp_path: Path) -> None:
    finish(tmp_path, TRAINING)
    (open_stage(tmp_path).workspace / "record" / f"{TRAINING}.json").write_text(content)
    found().row("it", "problem", "record/03_training.json", "mend")


def test_frames_that_are_missing_or_damaged(tiny_stage: Callable[..., Stage], table: Any) -> None:
    dataset = dataset_of(stage := tiny_stage())
    store = dataset.colour_store
    kept = shutil.copytree(store, store.with_name("kept"))
    store.unlink()
    kept.rename(store)

    def assert_frames(*row: str) -> None:
        table.of_all(workspace_checks, stage).row("frames", *row)

    assert_frames("ok", "holds all 20 videos of the index")
    files = sorted(store.rglob("*.zip"))
    content = files[0].read_bytes()
    files[0].unlink()
    assert_frames("problem", f"lacks 1 of 20 videos, first {files[0].stem}", "01_data")
    files[0].write_bytes(content)
    for file in files:
        file.write_bytes(b"PK")
    assert_frames("problem", "is not a whole frame store file", "01_data")
    for file in files:
        file.write_bytes(content)
    assert_frames("problem", "frames, the index says")
    items, labels = (dataset.index_file.with_name(f"{dataset.index_file.name}-{part}.csv") for part in TABLES)
    items.write_text("a,b\n1,2\n")
    assert_frames("problem", items.name, "mend")
    items.unlink()
    assert_frames("problem", items.name, "mend")
    labels.unlink()
    assert_frames("warning", "do not exist", "01_data")


def test_frames_of_every_stream(tiny_stage: Callable[..., Stage], table: Any) -> None:
    flow = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}
    stage = tiny_stage(streams={"rgb": {}, "flow": {"transforms": flow}})
    dataset = dataset_of(stage)
    dataset.flow_store.unlink()
    rows = table.of_all(workspace_checks, stage)
    rows.row("frames", "ok", f"{dataset.colour_store} holds all 20")
    rows.row("frames", "problem", f"{dataset.flow_store} lacks 20 of 20", "01_data")


def test_half_finished_trainings_and_leftovers(tiny_stage: Callable[..., Stage], table: Any) -> None:
    stage = tiny_stage(training={"epochs": 9})
    digest = runtime.code_sha256(*FLOORS)[:8]
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
    rows.row("training", "warning", "half-seed1", "03_training")
    rows.row("training", "warning", "would go on after epoch 2 of 9", "03_training")
    rows.row("training", "warning", "old-seed1-0-00000000 is half finished, but belongs to another", "any_library")
    rows.row("training", "problem", f"empty-seed1-0-{digest}: state.ckpt is empty", "delete")
    rows.row("training", "problem", f"lost-seed1-0-{digest} is finished, but has no network.ckpt", "delete")
    rows.row("training", "warning", f"begun-seed1-0-{digest} is half finished and has no state", "first epoch")
    rows.row("training", "ok", "2 finished")
    rows.row("leftovers", "warning", "1 temporary files", "delete them")
    (stage.folder / "training" / f"half-seed1-0-{digest}" / "log.jsonl").write_text("{")
    rows = table.of_all(workspace_checks, stage)
    rows.row("training", "warning", "would go on from its last state (its log cannot be read)", "03_training")


def test_trainings_of_every_stream(tiny_stage: Callable[..., Stage], table: Any) -> None:
    stage = tiny_stage(streams={"a": {}, "b": {"training": {"lr": 0.5}}})
    for stream in stage.streams.values():
        folder = stream.folder / "training" / f"clip-seed1-0-{stream.stream}"
        folder.mkdir(parents=True)
        for name in ("done.json", "network.ckpt"):
            (folder / name).write_text("{}")
    table.of_all(workspace_checks, stage).row("training", "ok", "2 finished trainings")


def test_nothing_is_changed(examine: Callable[..., Any], tmp_path: Path, tiny: Any) -> None:
    examine()

    def tree() -> dict[str, tuple[int, int]]:
        files = [p for root in (tmp_path, tiny.root) for p in root.rglob("*") if p.is_file()]
        ours = [p for p in files if p.suffix == ".yaml" or p.name.startswith("index-")]  # the fixture's
        return {str(p): (p.lstat().st_mtime_ns, p.lstat().st_size) for p in files if p not in ours}

    before = tree()
    examine()
    assert tree() == before
