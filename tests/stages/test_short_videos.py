"""A test video that is too short for a clip is named in stage 01, and counts as a miss in stage 05."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.datasets.figures import write_avi
from actionbook.datasets.index import Index
from actionbook.datasets.preparation import Prepared
from actionbook.stages import data as module
from actionbook.stages.accuracy import Scored
from actionbook.stages.data import class_strips, prepare_data, read
from actionbook.tasks import Predictions
from actionbook.tasks.classification import Classification

SHORT = "too short for a tested clip, so it counts as a miss"


@pytest.fixture
def short(prepared: Any) -> tuple[Index, list[str]]:
    """The tiny data set with one frame in a training and in two test videos, and the names of these two."""
    items = prepared.index.items
    test = items["item"][items.subset == "test"].tolist()[2:4]
    one = items["item"].isin([*test, items["item"][items.subset == "train"].iloc[0]])
    return Index(items.assign(frames=items.frames.where(~one, 1)), prepared.index.labels), test


def test_stage_01_names_them_beside_the_failures(
    tiny_stage: Callable[..., Stage], short: tuple[Index, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, names = short
    stage = tiny_stage()
    rows = [
        (video, frames, 9, "", "odd" if video == names[1] else "")
        for video, frames in index.items[["video", "frames"]].values
    ]
    table = pd.DataFrame(rows, columns=["video", "frames", "bytes", "error", "note"])
    done = Prepared(dataset_of(stage.first), index, table, None, 1.0)
    monkeypatch.setattr(module, "prepare", lambda *_, **__: done)
    found = prepare_data(read(stage))["tiny"]
    assert found.remarks.to_numpy().tolist() == [[names[0], "", SHORT], [names[1], "", f"odd; {SHORT}"]]
    assert table.note.ne("").sum() == 1  # what was given is left as it was
    whole = prepare_data(read(tiny_stage(sampling={"name": "centre"})))["tiny"]
    assert whole.remarks.to_numpy().tolist() == [[names[1], "", "odd"]]


def test_a_video_that_cannot_be_shown_gives_way_to_the_next_of_its_class(
    tiny_stage: Callable[..., Stage], tiny: Any, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(tiny.root, root)
    data = read(tiny_stage(root=root))
    whole = class_strips(data, 2)
    firsts = data.index.table.drop_duplicates("label").path.tolist()
    write_avi(root / firsts[0], np.zeros((1, 48, 64, 3), np.uint8), width=64, height=48)
    (root / firsts[1]).write_bytes(b"")
    found = class_strips(data, 2)
    assert [(one.title, one.frames.shape) for one in found] == [(one.title, one.frames.shape) for one in whole]
    assert all((mine.frames != theirs.frames).any() for mine, theirs in zip(found, whole, strict=True))
    table = data.index.table
    for path in table.path[table.label == found[0].title]:
        (root / path).write_bytes(b"")
    assert [one.title for one in class_strips(data, 2)] == [found[1].title]


def test_stage_05_shows_both_numbers(tiny_stage: Callable[..., Stage], short: tuple[Index, list[str]]) -> None:
    index, names = short
    stage, test = tiny_stage(), index.of_subset("test")
    items = [item for item in test.items["item"] if item not in names]
    outputs = pd.get_dummies(test.truth.loc[items]).reindex(columns=range(2), fill_value=False).to_numpy(float)
    found = Predictions(items, outputs, test, stage.recipe.evaluation, Classification())
    scored = Scored(stage, index, {("rgb", "ONNX"): found}, {})
    assert scored.without_clip == dict.fromkeys(names, "too short for a clip (1 frame)")
    assert scored.missing == 2
    row = scored.table().iloc[0]
    assert (row["top1"], row["correct"], row["N evaluated"], row["N expected"]) == (12 / 14, 12, 12, 14)
    assert row["of those evaluated"] == 1.0
    every = test.truth.index.tolist()
    whole = Predictions(every, pd.get_dummies(test.truth).to_numpy(float), test, stage.recipe.evaluation, found.task)
    assert "of those evaluated" not in Scored(stage, index, {("rgb", "ONNX"): whole}, {}).table()
