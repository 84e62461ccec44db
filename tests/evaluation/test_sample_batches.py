"""The outputs of a test set: interruptions, batch sizes, workers and the number of processes change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.clips.pipeline import tested
from actionbook.core.errors import BookError
from actionbook.core.spec import Spec
from actionbook.core.workspace import Stage
from actionbook.datasets.index import BOX, Index
from actionbook.evaluation import predict
from actionbook.evaluation.predict import SampleBatches, predict_share, predict_test, tested_samples
from actionbook.inference import InferenceError, NetworkEngine, read_results, run_batches

Open = Callable[..., Stage]
Made = Callable[..., SampleBatches]


class Killed(BaseException):
    """As if the process had ended."""


class Counting:
    """An engine that gives the mean and the largest value of each clip, and may be killed after so many batches."""

    name, sha256, batch_size = "counting", "0" * 64, None
    spec: Spec | None = None

    def __init__(self, batches: int | None = None) -> None:
        self.batches, self.runs = batches, 0

    def run(self, inputs: Any) -> np.ndarray:
        batch = inputs["image"]
        if self.runs == self.batches:
            raise Killed
        self.runs += 1
        return np.stack([batch.mean((1, 2, 3, 4)), batch.max((1, 2, 3, 4))], axis=1)


@pytest.fixture
def made(prepared: Any, tiny_stage: Open) -> Made:
    """A function that gives the tested clips of the 14 test videos in batches."""
    samples = tested_samples(tiny_stage(), prepared.index)
    return lambda batch=9, workers=2: SampleBatches(samples, batch, "1" * 64, workers)


def outputs(batches: SampleBatches, folder: Path, engine: Counting | None = None, **share: int) -> np.ndarray:
    run_batches(engine or Counting(), batches, folder, progress=False, **share)
    return read_results(folder, batches)[1]


def test_batches_are_the_samples_in_their_order_and_the_last_is_filled_up(made: Made) -> None:
    batches = made(9)
    clips = [sample.inputs["image"] for sample in tested(batches.samples, batches.samples.tests)]
    assert [name for ids in batches.ids for name in ids] == batches.samples.tests.item.tolist()
    last = len(batches.ids) - 1
    left = len(clips) - 9 * last
    assert 0 < left < 9
    second, end = (batch["image"] for batch in batches.ready([1, last]))
    np.testing.assert_array_equal(second, clips[9:18])
    np.testing.assert_array_equal(end[:left], clips[-left:])
    assert (end.shape, end[left:].any()) == (second.shape, False)


@pytest.mark.parametrize(("batch", "workers", "count"), [(1, 1, 1), (5, 3, 1), (16, 2, 2), (4, 2, 5), (200, 1, 3)])
def test_batches_workers_and_processes_change_nothing(
    *, tmp_path: Path, made: Made, batch: int, workers: int, count: int
) -> None:
    expected = outputs(made(7), tmp_path / "one")
    batches, folder = made(batch, workers), tmp_path / "other"
    for rank in reversed(range(count)):
        run_batches(Counting(), batches, folder, rank=rank, count=count, progress=False)
    found = read_results(folder, batches)[1]
    assert len(found) == len(batches.samples.tests)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kept", range(6))
def test_an_evaluation_that_is_killed_goes_on(tmp_path: Path, made: Made, kept: int) -> None:
    batches = made()
    with pytest.raises(Killed):
        outputs(batches, tmp_path / "cut", Counting(kept))
    with pytest.raises(InferenceError, match=r"no results|is missing"):
        read_results(tmp_path / "cut", batches)
    rest = Counting()
    np.testing.assert_array_equal(outputs(batches, tmp_path / "cut", rest), outputs(batches, tmp_path / "whole"))
    assert rest.runs == len(batches.ids) - kept


def test_what_is_finished_is_read_and_a_damaged_file_is_made_again(tmp_path: Path, made: Made) -> None:
    batches = made()
    first = outputs(batches, tmp_path)
    damaged = tmp_path / "1_0.bin"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    with pytest.raises(InferenceError, match=r"1_0\.bin: 69 bytes, expected 72"):
        read_results(tmp_path, batches)
    again = Counting()
    np.testing.assert_array_equal(outputs(batches, tmp_path, again), first)
    assert again.runs == 1
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    np.testing.assert_array_equal(outputs(batches, tmp_path, Counting(0)), first)  # would be killed by its first batch
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


class Averages(nn.Cell):
    """A dense layer on the mean colours of a clip: compiled in no time."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        weight = np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32)
        self.dense = nn.Dense(3, 2, Tensor(weight), "zeros")

    def construct(self, clip: Tensor) -> Tensor:
        return self.dense(clip.mean((2, 3, 4)))


class OfBoxes(nn.Cell):
    """The same for each box, the sum of its corners added."""

    def __init__(self) -> None:
        super().__init__()
        self.averages = Averages(1)

    def construct(self, clip: Tensor, boxes: Tensor) -> Tensor:
        return self.averages(clip).expand_dims(1) + boxes.sum(axis=2, keepdims=True)


def test_of_detection_an_output_has_boxes_and_classes(tiny_stage: Open, prepared: Any) -> None:
    stage = tiny_stage(task={"name": "detection", "boxes": 3}, sampling={"name": "keyframe", "frames": 4})
    corners = dict(zip(BOX, (0.1, 0.2, 0.8, 0.9), strict=True))
    index = Index(prepared.index.items, prepared.index.labels.assign(**corners))
    network = OfBoxes()
    found = predict_test(network, stage, index)
    samples = list(tested(tested_samples(stage, index), tested_samples(stage, index).tests))
    assert found.outputs.shape == (len(samples), 3, 2)
    inputs = (Tensor(np.stack([sample.inputs[name] for sample in samples])) for name in samples[0].inputs)
    np.testing.assert_allclose(found.outputs, network(*inputs).asnumpy(), atol=1e-4)


def test_other_weights_or_clips_are_other_predictions(tiny_stage: Open, prepared: Any) -> None:
    stage, index = tiny_stage(), prepared.index
    first, second = Averages(1), Averages(2)
    one = predict_test(first, stage, index)
    other = predict_test(second, stage, index)
    assert (one.outputs != other.outputs).any()
    np.testing.assert_array_equal(predict_test(first, stage, index).outputs, one.outputs)
    fewer = predict_test(first, stage, index.with_items(index.items.iloc[:-1]))
    assert len(fewer.outputs) < len(one.outputs)
    assert len(list(stage.folder.glob("predictions/*/0_0.bin"))) == 3


def test_processes_share_a_test_set_and_the_first_says_what_it_rests_on(
    tiny_stage: Open, prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, network = [tiny_stage("one"), tiny_stage("two")], Averages(1)
    alone = predict_test(network, stages[0], prepared.index)
    folder, batches = predict_share(network, stages[1], prepared.index, rank=1, count=2)
    assert not (folder / "rests_on.json").exists()
    predict_share(network, stages[1], prepared.index, rank=0, count=2)
    assert json.loads((folder / "rests_on.json").read_text())["network"] == NetworkEngine(network).sha256
    assert len(list(folder.glob("*.bin"))) == len(batches.ids)
    monkeypatch.setattr(NetworkEngine, "run", lambda *_: pytest.fail("nothing is left to be run"))
    np.testing.assert_array_equal(predict_test(network, stages[1], prepared.index).outputs, alone.outputs)


def test_outputs_that_are_missing_although_all_were_made(
    tiny_stage: Open, prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*given: Any, **options: Any) -> Path:
        folder = run_batches(*given, **options)
        (folder / "2_0.bin").unlink()
        return folder

    monkeypatch.setattr(predict, "run_batches", run)
    with pytest.raises(BookError, match=r"predictions/[0-9a-f]{16}/2_0\.bin is missing\. Run again"):
        predict_test(Averages(1), tiny_stage(), prepared.index)


def test_no_test_videos(tiny_stage: Open, prepared: Any) -> None:
    with pytest.raises(BookError, match="there are no test videos"):
        predict_test(Averages(1), tiny_stage(), prepared.index.of_subset("train"))
