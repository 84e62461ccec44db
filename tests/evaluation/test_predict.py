"""From an engine and samples to predictions: every sample once, in order, whatever the batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mindspore import Tensor, nn

from actionbook.clips.pipeline import tested
from actionbook.clips.samples import Sample
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json
from actionbook.core.runtime import set_device
from actionbook.core.spec import Spec
from actionbook.core.workspace import Stage
from actionbook.datasets.index import Index
from actionbook.evaluation import predict as module
from actionbook.evaluation.predict import (
    centre_validation,
    engine_of,
    expected,
    missing_rule,
    predict_test,
    run_samples,
    samples_of,
    tested_samples,
    without_clip,
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
        self.outputs: list[np.ndarray] = []

    @property
    def sizes(self) -> list[int]:
        return [shape[0] for shape in self.shapes]

    def run(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        (clips,) = batch.values()
        self.shapes.append(clips.shape)
        self.outputs.append(clips[:, :2, 0, 0, 0])
        return self.outputs[-1]


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
    monkeypatch.setattr(module, "_engine", lambda *_: engine)
    return engine


def clips_of(stage: Stage, index: Index, table: pd.DataFrame | None = None) -> list[Sample]:
    """The tested samples of the test items, or of a table of them."""
    samples = tested_samples(stage, index)
    return list(tested(samples, samples.tests if table is None else table))


def test_every_sample_runs_once_in_order(prepared: Any, stage: Stage) -> None:
    engine, samples = Counting(), tested_samples(stage, prepared.index)
    items, outputs = run_samples(engine.run, samples, samples.tests, 9, workers=3)
    assert items == samples.tests.item.tolist()
    expected_ = [sample.inputs["image"][:2, 0, 0, 0] for sample in clips_of(stage, prepared.index)]
    np.testing.assert_array_equal(outputs, expected_)
    assert set(engine.sizes[:-1]) == {9}
    assert sum(engine.sizes) == len(items)
    assert 0 < engine.sizes[-1] < 9


def test_predict_test_covers_all_windows_of_all_test_videos(prepared: Any, stage: Stage) -> None:
    found = predict_test(Means(), stage, prepared.index)
    test = prepared.index.subset("test")
    clips = clips_of(stage, prepared.index)
    assert list(found.items) == [sample.item for sample in clips]
    assert len(found.items) % 5  # the last batch is not full
    means = np.stack([sample.inputs["image"] for sample in clips]).mean((2, 3, 4))[:, :2]
    np.testing.assert_allclose(found.outputs, means, atol=1e-3)
    pd.testing.assert_series_equal(found.index.truth, test.truth)
    pooled = pd.DataFrame(found.outputs.astype(np.float64)).groupby(np.array(found.items), sort=False).mean()
    assert pooled.index.tolist() == test.items.item.tolist()
    assert (found.score.evaluated, found.score.expected) == (14, 14)
    assert found.score.correct == (pooled.to_numpy().argmax(1) == test.truth.to_numpy()).sum()
    assert found.scores[1].value == 1  # of two classes, the five best are both
    quirk = replace(found, evaluation=found.evaluation.model_copy(update={"skip_last_video": True}))
    assert quirk.scores[1].correct == 13


@pytest.mark.parametrize(("frames", "length"), [(None, 4), (10, 10), (40, 40)])
def test_the_centre_protocol_runs_one_clip_of_the_tested_length_for_every_video(
    prepared: Any, tiny_stage: Open, counting: Counting, frames: int | None, length: int
) -> None:
    stage = tiny_stage(sampling={"name": "centre", "frames": 4, "test_frames": frames})
    found = predict_test(Means(), stage, prepared.index)
    assert list(found.items) == prepared.index.subset("test").items.item.tolist()
    assert counting.shapes == [(5, 3, length, 16, 16)] * 3  # the last is filled up
    assert (found.score.evaluated, found.score.expected) == (14, 14)
    expected_ = [sample.inputs["image"][:2, 0, 0, 0] for sample in clips_of(stage, prepared.index)]
    np.testing.assert_array_equal(found.outputs, np.stack(expected_))


def test_windows_of_another_length_than_in_training(prepared: Any, tiny_stage: Open, counting: Counting) -> None:
    items = [predict_test(Means(), tiny_stage(sampling={"test_frames": n}), prepared.index).items for n in (None, 12)]
    assert items[0] == items[1]
    assert {shape[2] for shape in counting.shapes} == {4, 12}


def test_validation_sees_the_frames_of_training(prepared: Any, tiny_stage: Open, counting: Counting) -> None:
    """Another clip length would be another network to compile in every epoch."""
    stage = tiny_stage(sampling={"name": "centre", "frames": 4, "test_frames": 10})
    centre_validation(stage, prepared.index)(Means())
    assert counting.shapes == [(5, 3, 4, 16, 16)] * 2 + [(4, 3, 4, 16, 16)]
    middles = tested_samples(stage, prepared.index).middles(4)
    clips = [sample.inputs["image"][:2, 0, 0, 0] for sample in clips_of(stage, prepared.index, middles)]
    np.testing.assert_array_equal(np.concatenate(counting.outputs), clips)


def test_a_runs_stage_is_tested_by_its_own_recipe(prepared: Any, tiny_stage: Open, counting: Counting) -> None:
    runs = [
        {"name": "clip"},
        {"name": "short", "overrides": {"sampling": {"frames": 2}, "export": {"inference_batch": 7}}},
    ]
    stage = tiny_stage(training={"runs": runs}, sampling={"name": "centre", "frames": 4})
    own = stage.for_run(stage.recipe.training.runs[1])
    predict_test(Means(), own, prepared.index)
    centre_validation(own, prepared.index)(Means())
    assert counting.shapes == [(7, 3, 2, 16, 16)] * 4


class Always(nn.Cell):
    """Class 1, whatever the clip."""

    def construct(self, clip: Tensor) -> Tensor:
        return clip.mean((2, 3, 4))[:, :2] * 0 + Tensor(np.array([[0.0, 1.0]], np.float32))


@pytest.mark.parametrize("skip", [False, True])
def test_validation_is_the_accuracy_of_centre_clips(prepared: Any, tiny_stage: Open, skip: bool) -> None:
    network = Means()
    stage = tiny_stage(evaluation={"pool": "logit_mean", "skip_last_video": skip})
    validate = centre_validation(stage, prepared.index)
    first = validate(network)
    assert first == validate(network)
    assert list(first) == ["centre_clip_top1"]
    # 14 videos, 7 of each class, the last one of class 1: all of them count, whatever is reported in the end.
    assert prepared.index.subset("test").truth.iloc[-1] == 1
    assert validate(Always()) == {"centre_clip_top1": 0.5}


def test_missing_videos_are_expected_and_never_right(prepared: Any, stage: Stage) -> None:
    whole = prepared.index
    gone = whole.subset("test").items.item.iloc[3]
    missing = whole.items.item == gone
    index = Index(whole.items.assign(frames=whole.items.frames.where(~missing, 0)), whole.labels)
    pd.testing.assert_series_equal(expected(index).truth, expected(whole).truth)
    found = predict_test(Means(), stage, index)
    assert gone not in found.items
    score = found.scores[1]  # of two classes, one of the five best is always right
    assert (score.correct, score.evaluated, score.expected) == (13, 13, 14)
    assert score.missing_sha256 == sha256_json([gone])
    # While training, only what is there is counted.
    assert centre_validation(stage, index)(Always()) == {"centre_clip_top1": round(7 / 13, 6)}


def test_videos_too_short_for_a_clip_are_misses_with_a_reason(prepared: Any, stage: Stage) -> None:
    whole = prepared.index
    gone, short = whole.subset("test").items.item.iloc[[3, 5]]
    counts = whole.items.frames.where(whole.items.item != gone, 0).where(whole.items.item != short, 1)
    index = Index(whole.items.assign(frames=counts), whole.labels)
    reasons = {gone: "no frames", short: "too short for a clip (1 frame)"}
    assert without_clip(stage, index) == reasons
    assert missing_rule({"rgb": stage}, index) == "miss"
    score = predict_test(Means(), stage, index).scores[1]  # of two classes, one of the five best is always right
    assert (score.correct, score.evaluated, score.expected) == (12, 12, 14)
    assert score.missing_sha256 == sha256_json(sorted(reasons))
    assert (without_clip(stage, whole), missing_rule({"rgb": stage}, whole)) == ({}, "error")
    none = Index(whole.items.assign(frames=1), whole.labels)
    with pytest.raises(BookError, match=r"all 14 test videos are too short for a clip \(v_.*01_data"):
        tested_samples(stage, none)


def test_one_compilation_serves_all_calls_for_a_network() -> None:
    network, spec = Means(), Spec({"image": (3, 4, 16, 16)}, (2,))
    first = engine_of(network, spec, 5)
    assert engine_of(network, Spec({"image": (3, 4, 16, 16)}, (2,)), 5) is first
    # Validation and test may differ in the number of frames, turn by turn.
    longer = engine_of(network, Spec({"image": (3, 8, 16, 16)}, (2,)), 5)
    assert longer is not first
    assert engine_of(network, spec, 5) is first
    assert engine_of(Means(), spec, 5) is not first
    assert engine_of(network, spec, 6) is not first


def test_samples_are_those_of_the_stages_store(prepared: Any, stage: Stage) -> None:
    samples = samples_of(stage, prepared.index.subset("train"))
    assert samples.store.resolve() == prepared.store.resolve()
    assert (len(samples), samples.classes) == (6, 2)
