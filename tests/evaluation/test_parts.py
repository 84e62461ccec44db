"""Outputs in parts: interruptions, batch sizes, workers and the number of processes change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mindspore import Tensor, nn

from actionbook.clips.samples import Samples
from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.evaluation.parts import LEAST, Parts
from actionbook.evaluation.predict import predict_test, tested_samples

Open = Callable[..., Stage]


class Killed(BaseException):
    """As if the process had ended."""


class Counting:
    """An engine that gives the mean and the largest value of each clip, and may be killed after so many batches."""

    def __init__(self, batches: int | None = None) -> None:
        self.batches, self.clips = batches, 0

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        batch = inputs["image"]
        if self.batches == 0:
            raise Killed
        if self.batches is not None:
            self.batches -= 1
        self.clips += len(batch)
        return np.stack([batch.mean((1, 2, 3, 4)), batch.max((1, 2, 3, 4))], axis=1)


@pytest.fixture
def samples(prepared: Any, tiny_stage: Open) -> Samples:
    """Those of the 14 test videos."""
    return tested_samples(tiny_stage(), prepared.index)


@pytest.fixture
def table(samples: Samples) -> pd.DataFrame:
    """Clips of the 14 test videos, three times over: more than two parts."""
    return pd.concat([samples.tests] * 3, ignore_index=True)


BASIS = {"network": "a"}


def make(parts: Parts, samples: Samples, run: Any, workers: int = 2, **share: int) -> None:
    parts.make(run, samples, workers, BASIS, **share)


@pytest.mark.parametrize(("batch", "workers", "count"), [(1, 1, 1), (5, 3, 1), (16, 2, 2), (16, 2, 5), (200, 1, 3)])
def test_batches_workers_and_processes_change_nothing(
    *, tmp_path: Path, samples: Samples, table: pd.DataFrame, batch: int, workers: int, count: int
) -> None:
    expected = Parts(tmp_path / "one", table, 7)
    make(expected, samples, Counting())
    parts = Parts(tmp_path / "other", table, batch)
    for rank in reversed(range(count)):
        make(parts, samples, Counting(), workers, rank=rank, count=count)
    found = parts.read()
    assert found is not None
    assert len(found) == len(table) > 2 * LEAST
    np.testing.assert_array_equal(found, expected.read())


@pytest.mark.parametrize("batches", range(0, 21, 4))
def test_an_evaluation_that_is_killed_goes_on(
    *, tmp_path: Path, samples: Samples, table: pd.DataFrame, batches: int
) -> None:
    whole = Parts(tmp_path / "whole", table, 8)
    make(whole, samples, Counting())
    cut = Parts(tmp_path / "cut", table, 8)
    with pytest.raises(Killed):
        make(cut, samples, Counting(batches))
    assert cut.read() is None
    rest = Counting()
    make(cut, samples, rest)
    kept = batches // (LEAST // 8) * LEAST
    assert rest.clips == len(table) - kept
    np.testing.assert_array_equal(cut.read(), whole.read())


def test_what_is_finished_is_read_and_a_damaged_part_is_made_again(
    tmp_path: Path, samples: Samples, table: pd.DataFrame
) -> None:
    parts = Parts(tmp_path / "parts", table, 16)
    make(parts, samples, Counting())
    damaged = sorted(parts.folder.glob("part-*.npy"))[1]
    damaged.write_bytes(damaged.read_bytes()[:-3])
    assert parts.read() is None
    again = Counting()
    make(parts, samples, again)
    assert again.clips == LEAST
    first = parts.read()
    assert sorted(path.name for path in parts.folder.iterdir()) == ["outputs.npy", "rests_on.json"]
    assert json.loads((parts.folder / "rests_on.json").read_text()) == BASIS
    make(parts, samples, Counting(0))  # would be killed by its first batch
    np.testing.assert_array_equal(parts.read(), first)


class Boxes(Counting):
    """An engine whose outputs have an axis more, as for boxes."""

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return super().__call__(inputs)[:, None, :].repeat(3, axis=1)


def test_outputs_of_any_number_of_axes(tmp_path: Path, samples: Samples, table: pd.DataFrame) -> None:
    plain, boxes = Parts(tmp_path / "plain", table, 16), Parts(tmp_path / "boxes", table, 16)
    make(plain, samples, Counting())
    make(boxes, samples, Boxes())
    found, expected = boxes.read(), plain.read()
    assert found is not None
    assert expected is not None
    assert found.shape == (len(table), 3, 2)
    np.testing.assert_array_equal(found[:, 1], expected)


class Averages(nn.Cell):
    """A dense layer on the mean colours of a clip: compiled in no time."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        weight = np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32)
        self.dense = nn.Dense(3, 2, Tensor(weight), "zeros")

    def construct(self, clip: Tensor) -> Tensor:
        return self.dense(clip.mean((2, 3, 4)))


def test_other_weights_or_clips_are_other_predictions(tiny_stage: Open, prepared: Any) -> None:
    stage, index = tiny_stage(), prepared.index
    first, second = Averages(1), Averages(2)
    one = predict_test(first, stage, index)
    other = predict_test(second, stage, index)
    assert (one.outputs != other.outputs).any()
    np.testing.assert_array_equal(predict_test(first, stage, index).outputs, one.outputs)
    fewer = predict_test(first, stage, index.with_items(index.items.iloc[:-1]))
    assert len(fewer.outputs) < len(one.outputs)
    assert len(list(stage.folder.glob("predictions/*/outputs.npy"))) == 3


def test_no_test_videos(tiny_stage: Open, prepared: Any) -> None:
    with pytest.raises(BookError, match="there are no test videos"):
        predict_test(Averages(1), tiny_stage(), prepared.index.of_subset("train"))
