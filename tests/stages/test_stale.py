"""No stage shows a result of other inputs than those that are there now: it says which notebook to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook import models
from actionbook.core.errors import BookError
from actionbook.core.record import read_record
from actionbook.core.stage_results import AccuracyResults, ConversionResults, TrainingResults
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.datasets.index import write_index
from actionbook.evaluation.formats import make_formats
from actionbook.stages import accuracy, conversion, training

Open = Callable[..., Stage]


class Averages(nn.Cell):
    """A dense layer on the mean colours of a clip: compiled in no time."""

    def __init__(self, classes: int, seed: int = 0) -> None:
        super().__init__()
        weight = np.random.default_rng(seed).standard_normal((classes, 3)).astype(np.float32)
        self.dense = nn.Dense(3, classes, Tensor(weight), "zeros")

    def construct(self, clip: Tensor) -> Tensor:
        return self.dense(clip.mean((2, 3, 4)) / 100)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that compiles in no time, and no exports: results are looked at, not files."""
    monkeypatch.setitem(models.MODELS, "averages", Averages)
    monkeypatch.setattr(conversion, "make_formats", partial(make_formats, only=("network",)))


@pytest.fixture
def opened(tiny_stage: Open, after_data: Callable[[Stage], Stage]) -> Open:
    """A function that opens stage 03 of the recipe with these differences, its data prepared."""

    def make(**differences: Any) -> Stage:
        settings = {"model": {"name": "averages", "options": {}}, "training": {"epochs": 1, "lr": 0.1}}
        return after_data(tiny_stage(**settings | differences))

    return make


def train(stage: Stage) -> None:
    training.train(replace(stage, name="03_training")).finish([])


def convert(stage: Stage) -> None:
    conversion.compare(conversion.convert(replace(stage, name="04_conversion"))).finish()


def score(stage: Stage) -> np.ndarray:
    return accuracy.score(replace(stage, name="05_accuracy")).found[stage.stream, "network"].outputs


def test_another_training_is_not_shown_with_the_scores_of_the_last_one(opened: Open) -> None:
    stage = opened()
    train(stage)
    convert(stage)
    first = score(stage)
    other = opened(training={"epochs": 1, "lr": 0.5})
    for use in (convert, score):
        with pytest.raises(BookError, match=r"run notebooks/tiny/03_training\.ipynb"):
            use(other)
    train(other)
    with pytest.raises(BookError, match=r"another training .*run notebooks/tiny/04_conversion\.ipynb again"):
        score(other)
    convert(other)
    assert np.abs(score(other) - first).max() > 1e-3
    # Back again, nothing is trained anew, and yet nothing old is shown.
    before = sorted(path.name for path in stage.folder.glob("training/*"))
    train(stage)
    assert sorted(path.name for path in stage.folder.glob("training/*")) == before
    with pytest.raises(BookError, match=r"run notebooks/tiny/04_conversion\.ipynb again"):
        score(stage)
    convert(stage)
    np.testing.assert_array_equal(score(stage), first)


def test_other_data_asks_for_another_training(opened: Open, prepared: Any) -> None:
    stage = opened()
    train(stage)
    convert(stage)
    index = prepared.index
    write_index(index.with_items(index.items.iloc[:-1]), dataset_of(stage).index_file)
    for use in (convert, score):
        with pytest.raises(BookError, match=r"run notebooks/tiny/03_training\.ipynb"):
            use(stage)
    write_index(index, dataset_of(stage).index_file)
    score(stage)


def test_a_stage_that_has_not_run_is_named(opened: Open) -> None:
    stage = opened()
    for use, earlier in ((convert, "03_training"), (score, "04_conversion")):
        with pytest.raises(
            BookError, match=rf"no result of stage {earlier}: run notebooks/tiny/{earlier}\.ipynb first"
        ):
            use(stage)


def test_streams_that_run_one_after_another_make_one_record(opened: Open) -> None:
    both = opened(streams={"one": {}, "two": {"training": {"lr": 0.5}}})
    one, two = (replace(both, chosen=(name,)) for name in ("one", "two"))

    def results(kind: Any) -> Any:
        return read_record(both.workspace).results(kind)

    for stage in (two, one):
        train(stage)
    assert [row.stream for row in results(TrainingResults).runs] == ["one", "two"]
    assert list(results(TrainingResults).models) == ["one", "two"]
    assert results(TrainingResults).fused == ()
    train(both)
    whole = results(TrainingResults)
    assert [list(row.values) for row in whole.fused] == [["one", "two", "joint"]]
    train(one)
    assert results(TrainingResults).fused == whole.fused
    convert(one)
    with pytest.raises(BookError, match=r"stage 04 does not hold two: run notebooks/tiny/04_conversion\.ipynb for it"):
        accuracy.score(replace(both, name="05_accuracy"))
    convert(two)
    assert list(results(ConversionResults).streams) == ["one", "two"]
    for stage in (one, both, two):
        accuracy.score(replace(stage, name="05_accuracy")).finish()
    assert [row.stream for row in results(AccuracyResults).scores] == ["one", "two", "joint"]
    assert list(results(AccuracyResults).protocols) == ["one", "two", "joint"]
    # Another conversion of the first one: its scores, and those of both together, hold no longer.
    entry = read_record(both.workspace).stages["04_conversion"]
    replace(one, name="04_conversion").finish(entry.results, {**entry.rests_on, "one.network": "another"})
    accuracy.score(replace(two, name="05_accuracy")).finish()
    assert [row.stream for row in results(AccuracyResults).scores] == ["two"]


def test_a_required_format_that_fails_is_an_error_after_the_record_is_written(opened: Open) -> None:
    stage = opened()
    train(stage)
    found = conversion.compare(conversion.convert(replace(stage, name="04_conversion")))
    (one,) = found.streams.values()
    wrong = {"passed": False, "reason": "relative difference 2.0e-01 is above 0.0001"}
    network = one.formats[0].model_copy(update={"required": True})
    made = {"ONNX": {"required": True}, "ONNX-int8": {"required": False}}
    one.formats = (network, *(network.model_copy(update={"format": k, **wrong, **v}) for k, v in made.items()))
    with pytest.raises(BookError, match=r"do not: ONNX: relative difference 2.0e-01 is above .*layer_differences"):
        found.finish()
    assert len(found.failed()) == 2
    record = read_record(stage.workspace).results(ConversionResults)
    assert record is not None
    assert [row.passed for row in record.streams["rgb"].formats] == [True, False, False]


def test_a_stream_that_was_trained_anew_is_no_longer_in_the_record_of_later_stages(opened: Open) -> None:
    both = opened(streams={"one": {}, "two": {}})
    two = replace(both, chosen=("two",))
    train(both)
    convert(both)
    accuracy.score(replace(both, name="05_accuracy")).finish()
    entry = read_record(both.workspace).stages["03_training"]
    replace(both, name="03_training").finish(entry.results, {**entry.rests_on, "one.checkpoint": "another"})
    # Stage 04 has not run again; what it says of the first stream does not count.
    accuracy.score(replace(two, name="05_accuracy")).finish()
    convert(two)
    record = read_record(both.workspace)
    assert list(record.results(ConversionResults).streams) == ["two"]
    assert [row.stream for row in record.results(AccuracyResults).scores] == ["two"]
