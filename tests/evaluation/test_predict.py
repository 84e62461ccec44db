"""From an engine and clips to predictions: every clip once, in order, whatever the batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mindspore import Tensor, nn

from actionbook.clips.pipeline import centre_table, window_table
from actionbook.clips.pipeline import test_clips as clips_of_windows
from actionbook.core.runtime import set_device
from actionbook.core.workspace import Stage
from actionbook.datasets.index import missing_sha256, subset
from actionbook.evaluation import predict as module
from actionbook.evaluation.predict import (
    centre_validation,
    expected_truth,
    group_accuracy,
    predict,
    predict_test,
)

Open = Callable[..., Stage]


class Means(nn.Cell):
    """Logits that are the means of red and green: what a clip gives does not hang on its batch."""

    def construct(self, clip: Tensor) -> Tensor:
        return clip.mean((2, 3, 4))[:, :2]


class Counting:
    """An engine that gives the first pixel of every clip, and notes the batches it gets."""

    name, sha256, batch_size = "counting", "", None

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.logits: list[np.ndarray] = []

    @property
    def sizes(self) -> list[int]:
        return [shape[0] for shape in self.shapes]

    def run(self, batch: np.ndarray) -> np.ndarray:
        self.shapes.append(batch.shape)
        self.logits.append(batch[:, :2, 0, 0, 0])
        return self.logits[-1]


@pytest.fixture(autouse=True, scope="module")
def _device() -> None:
    set_device("CPU")


@pytest.fixture
def stage(tiny_stage: Open) -> Stage:
    return tiny_stage(evaluation={"pool": "logit_mean"})


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """The engine in place of every network."""
    engine = Counting()
    monkeypatch.setattr(module, "_engine", lambda network, batch: engine)
    return engine


def test_predict_runs_every_clip_once_in_order() -> None:
    engine = Counting()
    clips = [(f"v{i // 3}", np.full((3, 2, 4, 4), i, np.float32)) for i in range(7)]
    videos, logits = predict(engine, clips, 3)
    assert videos == ["v0", "v0", "v0", "v1", "v1", "v1", "v2"]
    assert logits.tolist() == [[i, i] for i in range(7)]
    assert engine.sizes == [3, 3, 1]


def test_predict_test_covers_all_windows_of_all_test_videos(prepared: Any, stage: Stage) -> None:
    found = predict_test(Means(), stage, prepared.index)
    test = subset(prepared.index, "test")
    recipe = stage.recipe
    windows = window_table(test, recipe)
    assert found.videos == windows.video.tolist()
    assert len(found.videos) % 5  # the last batch is not full
    expected = np.stack([c for _, c in clips_of_windows(windows, prepared.store, recipe.clips)]).mean((2, 3, 4))[:, :2]
    np.testing.assert_allclose(found.logits, expected, atol=1e-3)
    pd.testing.assert_series_equal(found.truth, test.set_index("video").target, check_names=False)
    assert found.scores.index.tolist() == test.video.tolist()
    pooled = pd.DataFrame(found.logits.astype(np.float64)).groupby(np.array(found.videos), sort=False).mean()
    np.testing.assert_allclose(found.scores.to_numpy(), pooled.to_numpy())
    accuracy = found.accuracy()
    assert (accuracy.evaluated, accuracy.expected) == (14, 14)
    assert accuracy.correct == (pooled.to_numpy().argmax(1) == test.target.to_numpy()).sum()
    assert found.accuracy(2).value == 1
    assert found.accuracy(2, skip_last_video=True).correct == 13


@pytest.mark.parametrize(("frames", "tested"), [(None, 4), (10, 10), (40, 40)])
def test_the_centre_protocol_runs_one_clip_of_the_tested_length_for_every_video(
    prepared: Any, tiny_stage: Open, counting: Counting, frames: int | None, tested: int
) -> None:
    stage = tiny_stage(evaluation={"clips": "centre", "frames": frames})
    found = predict_test(Means(), stage, prepared.index)
    test = subset(prepared.index, "test")
    assert found.videos == test.video.tolist()
    assert counting.shapes == [(5, 3, tested, 16, 16)] * 2 + [(4, 3, tested, 16, 16)]
    assert (found.accuracy().evaluated, found.accuracy().expected) == (14, 14)
    recipe = stage.recipe
    expected = clips_of_windows(window_table(test, recipe), prepared.store, recipe.tested)
    np.testing.assert_array_equal(found.logits, np.stack([clip[:2, 0, 0, 0] for _, clip in expected]))


def test_windows_of_another_length_than_in_training(prepared: Any, tiny_stage: Open, counting: Counting) -> None:
    videos = [predict_test(Means(), tiny_stage(evaluation={"frames": n}), prepared.index).videos for n in (None, 12)]
    assert videos[0] == videos[1]
    assert {shape[2] for shape in counting.shapes} == {4, 12}


def test_validation_sees_the_frames_of_training(prepared: Any, tiny_stage: Open, counting: Counting) -> None:
    """Another clip length would be another network to compile in every epoch."""
    stage = tiny_stage(evaluation={"clips": "centre", "frames": 10})
    centre_validation(stage, prepared.index)(Means())
    assert counting.shapes == [(5, 3, 4, 16, 16)] * 2 + [(4, 3, 4, 16, 16)]
    clips = stage.recipe.clips
    middle = clips_of_windows(centre_table(subset(prepared.index, "test"), clips), prepared.store, clips)
    np.testing.assert_array_equal(np.concatenate(counting.logits), [clip[:2, 0, 0, 0] for _, clip in middle])


def test_a_runs_stage_is_tested_by_its_own_recipe(prepared: Any, tiny_stage: Open, counting: Counting) -> None:
    runs = [
        {"name": "clip"},
        {"name": "short", "overrides": {"clips": {"frames": 2}, "export": {"inference_batch": 7}}},
    ]
    stage = tiny_stage(training={"runs": runs}, evaluation={"clips": "centre"})
    own = stage.for_run(stage.recipe.training.runs[1])
    predict_test(Means(), own, prepared.index)
    centre_validation(own, prepared.index)(Means())
    assert counting.shapes == [(7, 3, 2, 16, 16)] * 4


def test_validation_is_the_accuracy_of_centre_clips(prepared: Any, stage: Stage) -> None:
    network = Means()
    validate = centre_validation(stage, prepared.index)
    first = validate(network)
    assert first == validate(network)
    assert list(first) == ["centre_clip_top1"]
    # 14 videos, 7 of each class: a network that always says the same is right half of the time.
    biased = nn.SequentialCell(Means(), _Always())
    assert validate(biased) == {"centre_clip_top1": 0.5}


class _Always(nn.Cell):
    def construct(self, logits: Tensor) -> Tensor:
        return logits * 0 + Tensor(np.array([[0.0, 1.0]], np.float32))


def test_missing_videos_are_expected_and_never_right(prepared: Any, stage: Stage) -> None:
    gone = subset(prepared.index, "test").video.iloc[3]
    index = prepared.index.copy()
    index.loc[index.video == gone, ["path", "frames"]] = ["", 0]
    truth = expected_truth(index)
    pd.testing.assert_series_equal(truth, expected_truth(prepared.index))
    found = predict_test(Means(), stage, index)
    assert gone not in found.videos
    accuracy = found.accuracy(2)  # of two classes, one of the two best is always right
    assert (accuracy.correct, accuracy.evaluated, accuracy.expected) == (13, 13, 14)
    assert accuracy.missing_sha256 == missing_sha256([gone])


def test_group_accuracy_asks_only_between_the_classes_of_a_group() -> None:
    truth = pd.Series([0, 1, 2, 3, 1], index=list("abcde"))
    scores = pd.DataFrame(
        [[0.2, 0.1, 0.9, 0.0],  # class 0 beats class 1: right, though class 2 has most
         [0.3, 0.2, 0.1, 0.4],  # wrong
         [0.9, 0.8, 0.2, 0.1],  # class 2 beats class 3: right
         [0.0, 0.0, 0.6, 0.4]],  # wrong
        index=list("abcd"),
    )  # fmt: skip
    found = group_accuracy(scores, truth, [(0, 1), (2, 3)])
    assert (found.correct, found.evaluated, found.expected) == (2, 4, 5)
    only = group_accuracy(scores, truth, [(2, 3)])
    assert (only.correct, only.evaluated, only.expected) == (1, 2, 2)
    assert group_accuracy(scores, truth, [(1, 0)]).correct == 1
