"""What a mistake in the order of frames costs: the same clips, changed on their way to the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.workspace import Stage
from actionbook.datasets.index import Index, make_index
from actionbook.evaluation import predict
from actionbook.stages import accuracy

CLASSES = 6
LEFT, RIGHT = 2, 3


class Rising:
    """A network that says "right" where a clip gets brighter, "left" where it gets darker, and kicking else."""

    def run(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        (clips,) = batch.values()
        assert clips.flags.c_contiguous
        change = clips[:, 0, -1, 0, 0] - clips[:, 0, 0, 0, 0]
        logits = np.zeros((len(clips), CLASSES), np.float32)
        logits[:, LEFT], logits[:, RIGHT], logits[:, 1] = -change, change, 0.5
        return logits


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Eight videos: two that rise, two that fall, of either class by its number, and four that do neither."""
    opened = Stage.open("stnet", "05_accuracy", work_root=tmp_path)
    rows = [
        {"video": f"v{n}", "label": opened.manifest.classes[target], "target": target, "subset": "test", "path": ""}
        for n, target in enumerate((LEFT, RIGHT, LEFT, RIGHT, 1, 1, 1, 5))
    ]
    index = make_index(rows)
    slopes = {LEFT: -1.0, RIGHT: 1.0}

    def batches(table: pd.DataFrame, batch: int) -> Iterator[tuple[list[str], dict[str, np.ndarray]]]:
        for first in range(0, len(table), batch):
            some = table.iloc[first : first + batch]
            ramp = np.arange(10, dtype=np.float32)[None, None, :, None, None]
            slope = np.array([slopes.get(target, 0.0) for target in some.target], np.float32)
            yield some["item"].tolist(), {"image": slope[:, None, None, None, None] * ramp * np.ones((1, 3, 1, 2, 2))}

    def samples(_: Stage, index: Index) -> Any:
        return SimpleNamespace(classes=CLASSES, tests=index.table[["item", "target"]])

    for name, stand_in in {
        "trained_network": lambda _: None, "engine_of": lambda *_: Rising(), "tested_samples": samples,
        "dataset_of": lambda _: SimpleNamespace(index=lambda: index),
    }.items():  # fmt: skip
        monkeypatch.setattr(accuracy, name, stand_in)
    monkeypatch.setattr(predict, "tested", lambda _, few, __: few)
    monkeypatch.setattr(predict, "batched", batches)
    return opened


CHANGES = {"none": lambda x: x, "backwards": lambda x: x[:, :, ::-1], "still": lambda x: x * 0}


def test_a_change_costs_what_rests_on_it_and_nothing_else(stage: Stage) -> None:
    table = accuracy.rearranged(stage, CHANGES)
    assert table.columns.tolist() == ["top1", "reversed_pairs", "same_actions"]
    assert table.top1.tolist() == [7 / 8, 3 / 8, 3 / 8]  # v7 is waving, which nothing says
    assert table.reversed_pairs.tolist() == [1.0, 0.0, 0.5]  # of a tie the first class is taken
    assert table.same_actions.tolist() == [0.0, 0.0, 0.0]  # there is no such video


def test_of_a_long_list_some_videos_from_all_over_it_are_taken(stage: Stage) -> None:
    table = accuracy.rearranged(stage, CHANGES, most=4)  # v0, v2, v4, v6
    assert table.top1.tolist() == [1.0, 0.5, 0.5]
    assert table.reversed_pairs.tolist() == [1.0, 0.0, 1.0]
