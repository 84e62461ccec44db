"""Logits in parts: interruptions, batch sizes, workers and the number of processes change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.clips.pipeline import window_table
from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.datasets.index import read_index, subset
from actionbook.evaluation.parts import LEAST_CLIPS, Parts
from actionbook.evaluation.predict import predict_test
from actionbook.models import create_model

Open = Callable[..., Stage]


class Killed(BaseException):
    """As if the process had ended."""


class Counting:
    """An engine that gives the mean and the largest value of each clip, and may be killed after so many batches."""

    def __init__(self, batches: int | None = None) -> None:
        self.batches, self.clips = batches, 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        if self.batches == 0:
            raise Killed
        if self.batches is not None:
            self.batches -= 1
        self.clips += len(batch)
        return np.stack([batch.mean((1, 2, 3, 4)), batch.max((1, 2, 3, 4))], axis=1)


@pytest.fixture
def table(prepared: Any, tiny_stage: Open) -> pd.DataFrame:
    """Clips of the 14 test videos, three times over: more than two parts."""
    once = window_table(subset(prepared.index, "test"), tiny_stage().recipe)
    return pd.concat([once] * 3, ignore_index=True)


def make(parts: Parts, prepared: Any, stage: Stage, run: Any, workers: int = 2, **share: int) -> None:
    parts.make(run, prepared.store, stage.recipe.tested, workers, **share)


@pytest.mark.parametrize(("batch", "workers", "count"), [(1, 1, 1), (5, 3, 1), (16, 2, 2), (16, 2, 5), (200, 1, 3)])
def test_batches_workers_and_processes_change_nothing(
    *, tmp_path: Path, prepared: Any, tiny_stage: Open, table: pd.DataFrame, batch: int, workers: int, count: int
) -> None:
    stage = tiny_stage()
    expected = Parts(tmp_path / "one", table, 7)
    make(expected, prepared, stage, Counting())
    parts = Parts(tmp_path / "other", table, batch)
    for rank in reversed(range(count)):
        make(parts, prepared, stage, Counting(), workers, rank=rank, count=count)
    found = parts.read()
    assert found is not None
    assert len(found) == len(table) > 2 * LEAST_CLIPS
    np.testing.assert_array_equal(found, expected.read())


@pytest.mark.parametrize("batches", range(0, 21, 4))
def test_an_evaluation_that_is_killed_goes_on(
    *, tmp_path: Path, prepared: Any, tiny_stage: Open, table: pd.DataFrame, batches: int
) -> None:
    stage = tiny_stage()
    whole = Parts(tmp_path / "whole", table, 8)
    make(whole, prepared, stage, Counting())
    cut = Parts(tmp_path / "cut", table, 8)
    with pytest.raises(Killed):
        make(cut, prepared, stage, Counting(batches))
    assert cut.read() is None
    rest = Counting()
    make(cut, prepared, stage, rest)
    kept = batches // (LEAST_CLIPS // 8) * LEAST_CLIPS
    assert rest.clips == len(table) - kept
    np.testing.assert_array_equal(cut.read(), whole.read())


def test_what_is_finished_is_read_and_a_damaged_part_is_made_again(
    tmp_path: Path, prepared: Any, tiny_stage: Open, table: pd.DataFrame
) -> None:
    stage = tiny_stage()
    parts = Parts(tmp_path / "parts", table, 16)
    make(parts, prepared, stage, Counting())
    damaged = sorted(parts.folder.glob("part-*.npy"))[1]
    damaged.write_bytes(damaged.read_bytes()[:-3])
    assert parts.read() is None
    again = Counting()
    make(parts, prepared, stage, again)
    assert again.clips == LEAST_CLIPS
    first = parts.read()
    assert [path.name for path in parts.folder.iterdir()] == ["logits.npy"]
    make(parts, prepared, stage, Counting(0))  # would be killed by its first batch
    np.testing.assert_array_equal(parts.read(), first)


def test_other_weights_or_clips_are_other_predictions(tiny_stage: Open) -> None:
    stage = tiny_stage()
    index = read_index(stage.index_file)
    first, second = (create_model("mobilenetv2_3d", num_classes=2, seed=seed, width=0.2) for seed in (1, 2))
    one = predict_test(first, stage, index)
    other = predict_test(second, stage, index)
    assert (one.logits != other.logits).any()
    np.testing.assert_array_equal(predict_test(first, stage, index).logits, one.logits)
    fewer = predict_test(first, stage, index.drop(index=index.index[index.subset == "test"][-1]))
    assert len(fewer.logits) < len(one.logits)
    assert len(list(stage.folder.glob("predictions/*/logits.npy"))) == 3


def test_no_test_videos(tiny_stage: Open) -> None:
    stage = tiny_stage()
    index = read_index(stage.index_file)
    network = create_model("mobilenetv2_3d", num_classes=2, width=0.2)
    with pytest.raises(BookError, match="there are no test videos"):
        predict_test(network, stage, index[index.subset == "train"])
