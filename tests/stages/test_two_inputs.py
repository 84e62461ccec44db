"""A network of two pathways on keyframes in AVA's form: every stage's own functions, from videos to a record.

Its recipe, its data set (`tiny_ava`) and its network alone distinguish it from the chapters.
"""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pandas as pd
import pytest
from mindspore import Tensor, nn, ops

from actionbook import models
from actionbook.clips.samples import Samples
from actionbook.core.errors import BookError
from actionbook.core.recipe import Recipe
from actionbook.core.record import Record, read_record
from actionbook.core.score import WITHIN_GROUPS
from actionbook.core.stage_results import AccuracyResults, ConversionResults, DataResults, TrainingResults
from actionbook.core.workspace import Stage
from actionbook.datasets.ava import at_every, keyframe_id
from actionbook.datasets.ava_writing import CORNERS
from actionbook.datasets.dataset import dataset_of, store_path
from actionbook.evaluation.ava import every_class, mean_average_precision
from actionbook.evaluation.fusion import FusionError, fuse
from actionbook.inference import read_results
from actionbook.results.proof import ladder_of
from actionbook.results.scoreboard import scoreboard
from actionbook.stages import accuracy, conversion, data, own_people, training
from actionbook.tasks import TaskError
from actionbook.video.frame_folder import open_frames

BOXES, CLASSES = 8, 4
SCORED = {1: "upper", 2: "large", 4: "Walking"}
INPUTS = {"slow": (3, 2, 16, 32), "fast": (3, 4, 16, 32), "boxes": (BOXES, 4)}
ASKED = 13
"""Keyframes that the detector has found somebody in, of 14."""
SAME = ("network", "MINDIR", "ONNX")
RECIPE = {
    "chapter": "toy",
    "name": "toy",
    "title": "Two pathways and boxes",
    "task": {"name": "detection", "boxes": BOXES},
    "data": {"manifest": "", "frames": {"height": None}},
    "sampling": {"name": "keyframe", "frames": 4, "stride": 1, "pathways": {"slow": 2, "fast": 1}},
    # Frames of 64 x 48 pixels are tested as 21 x 16.
    "transforms": {
        "size": 16,
        "jitter": [16, 18],
        "short_side": 16,
        "test_size": [16, 32],
        "std": [57.0, 57.0, 57.0],
    },
    "model": {"name": "toy_pathways", "options": {"width": 8}},
    "training": {"epochs": 30, "batch_size": 4, "lr": 0.03, "optimizer": "adam", "weight_decay": 0},
    "evaluation": {"validate_every": 2},
    "export": {"inference_batch": 5, "calibration_clips": 6},
}


class Pathways(nn.Cell):
    """Two clips of other rates, and the corners and size of each box -> logits (N, M, classes)."""

    def __init__(self, num_classes: int, width: int, seed: int = 0) -> None:
        super().__init__()
        ms.set_seed(seed)
        self.slow, self.fast = nn.Conv3d(3, 4, (1, 3, 3)), nn.Conv3d(3, 4, 3)
        self.corners, self.clip, self.head = nn.Dense(4, width), nn.Dense(8, width), nn.Dense(width, num_classes)

    def construct(self, slow: Tensor, fast: Tensor, boxes: Tensor) -> Tensor:
        """(N, 3, 2, H, W), (N, 3, 4, H, W), and corners in pixels (N, M, 4)."""
        slow, fast = ops.tanh(self.slow(slow)), ops.tanh(self.fast(fast))
        seen = ops.concat((slow.mean(axis=(2, 3, 4)), fast.mean(axis=(2, 3, 4))), 1)
        return self.head(ops.relu(self.corners(boxes / 8 - 1) + self.clip(seen).expand_dims(1)))


@pytest.fixture(scope="module")
def made(tiny_ava, tmp_path_factory):
    """(stage, index, trainings, conversions, scored) of all stages, run as the notebooks run them."""
    folder = tmp_path_factory.mktemp("toy")
    recipe = {**RECIPE, "data": {**RECIPE["data"], "manifest": str(tiny_ava.manifest)}}
    (folder / "toy.yaml").write_text(json.dumps(recipe), encoding="utf-8")

    def stage(name: str) -> Stage:
        places = {"recipe": str(folder / "toy.yaml"), "data_root": tiny_ava.root, "work_root": folder / "work"}
        return Stage.open("toy", name, **places, device="CPU", workers=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "toy_pathways", Pathways)
        first = stage("01_data")
        data.obtain(first)
        found = data.read(first)
        data.finish(found, data.prepare_data(found))

        trainings = training.train(stage("03_training"))
        trainings.finish([])
        conversions = conversion.compare(conversion.convert(stage("04_conversion")))
        conversions.finish()
        scored = accuracy.score(stage("05_accuracy"))
        scored.finish()
        yield first, dataset_of(first.first).index(), trainings, conversions, scored


@pytest.fixture(scope="module")
def record(made) -> Record:
    """What all of it left on disk, read and checked anew."""
    return read_record(made[0].workspace)


def test_every_stage_is_in_the_record(made, record):
    assert list(record.stages) == ["01_data", "03_training", "04_conversion", "05_accuracy"]
    assert record.results(DataResults).dataset.videos_found == 20
    assert record.results(DataResults).dataset.index_sha256 == made[1].sha256


def test_the_ladder_reads_it(record):
    states = [rung.state for rung in ladder_of("toy", [record])]
    # It makes no claim of rung 3, and aims at no published figure of rung 5.
    assert states == ["not run here", "not run here", "not run here", "shown", "not run here"]


def test_the_cut_is_stored_as_it_is_in_the_index(made, record):
    stage, index, *_ = made
    items = index.items
    # 0.7 s are 14 pictures, and the two that the FFmpeg commands make more: of this rate they leave out too few.
    assert record.results(DataResults).dataset.frames == 20 * 16
    assert items.frame[items.subset == "train"].tolist() == [0, 9] * 6  # seconds 0 and 0.45 at 20 frames a second
    with open_frames(store_path(dataset_of(stage.first).colour_store, items.store[0])) as frames:
        assert (len(frames), frames.frame_size) == (16, (64, 48))


def test_what_was_trained_is_scored_by_average_precision(made, record, tiny_ava):
    _, index, trainings, _, _ = made
    (row,) = record.results(TrainingResults).runs
    (log,) = trainings.logs.values()
    assert log.loss.iloc[-1] < 0.6 * log.loss.iloc[0]
    assert (row.score.metric, row.score.correct, row.further) == ("mAP", None, ())
    # The keyframe in which nobody was found has been evaluated, and its boxes are misses.
    assert (row.score.evaluated, row.score.expected) == (14, 14)
    assert set(row.score.parts) == set(SCORED.values())
    assert row.score.value == pytest.approx(np.mean(list(row.score.parts.values())))
    # Where a box lies is plain from its corners; at chance a class has the share of boxes that have it.
    for number in (1, 2):
        share = found_share(tiny_ava, number)
        assert share - 0.05 < row.score.parts[SCORED[number]] <= share + 1e-9 < 1
    assert trainings.table.value.tolist() == [row.score.value]
    assert len(index.subset("train")) == 12


def found_share(ava, number):
    """The share of the truth's boxes of a class that the detector has found, with a score that is high enough."""
    truth = ava.truth[ava.truth.label == number]
    truth = truth[(truth.video != ava.excluded[0]) | (truth.second != ava.excluded[1])]
    boxes = ava.detected[ava.detected["last"] >= 0.8]
    found = [
        (abs(boxes.loc[(boxes.video == row.video) & (boxes.second == row.second), list(CORNERS)] - corners) < 0.003)
        .all(axis=1)
        .any()
        for row, corners in zip(truth.itertuples(), truth[list(CORNERS)].to_numpy(), strict=True)
    ]
    return np.mean(found)


def test_keyframes_of_every_second_second_are_scored_while_it_trains(made):
    stage, index, trainings, _, _ = made
    (log,), (found,) = trainings.logs.values(), trainings.predictions.values()
    some = at_every(index, stage.manifest, 2).of_subset("test")
    assert len(some) == 5
    kept = [number for number, item in enumerate(found.items) if item in set(some.items["item"])]
    again = replace(found, items=[found.items[number] for number in kept], outputs=found.outputs[kept], index=some)
    assert log.centre_clip_mAP.iloc[-1] == pytest.approx(again.score.value, abs=1e-6)


def test_the_score_is_that_of_the_tables(made, record, tiny_ava):
    """Truth and what is excluded as they were made up, before they were written and read; scores from predictions."""
    found = made[4].found["rgb", "ONNX"]
    asked = found.index.boxes
    confidence = 1 / (1 + np.exp(-found.outputs.astype(np.float64)))
    rows, boxes = [], []
    for item, shares in zip(found.items, confidence, strict=True):
        own = asked[asked["item"] == item]
        rows.append(shares[: len(own), [number - 1 for number in SCORED]])
        video, second = item.split("@")
        boxes.append(own[list(CORNERS)].astype(np.float32).assign(video=video, second=float(second)))
    detections = every_class(pd.concat(boxes, ignore_index=True), np.concatenate(rows), SCORED)
    expected = mean_average_precision(tiny_ava.truth, detections, SCORED, [tiny_ava.excluded])
    (score,) = (row.main for row in record.results(AccuracyResults).scores if row.format == "ONNX")
    assert score.value == pytest.approx(expected.value, abs=1e-9)
    assert score.parts == pytest.approx(expected.by_name, abs=1e-9)
    assert (expected.counts.detections_keyframes, expected.counts.truth_keyframes) == (ASKED, 14)
    # The truth of the excluded keyframe would count for something.
    assert mean_average_precision(tiny_ava.truth, detections, SCORED).value < expected.value - 0.01


def test_what_is_asked(made, tiny_ava):
    _, index, _, _, scored = made
    missed, excluded = (keyframe_id(*keyframe) for keyframe in (tiny_ava.missed, tiny_ava.excluded))
    assert missed in set(index.items["item"])
    assert excluded not in set(index.items["item"])
    assert scored.best().items == [item for item in index.of_subset("test").items["item"] if item != missed]
    assert len(index.boxes) == sum(tiny_ava.detected["last"] >= 0.8) - 2  # those of the excluded one
    assert set(index.labels.label[index.labels["item"].isin(index.boxes["item"])]) == set(SCORED.values())
    learned = index.labels[index.labels["item"] == index.items["item"][0]]
    # 3 boxes drawn and found, and one found on nobody: the class that it was given once has too low a score.
    assert len(learned.drop_duplicates(list(CORNERS))) == 7
    assert learned.label[learned.x1 == 0.7].tolist() == [""]
    assert "unscored" in set(learned.label)


def test_every_format_agrees_with_the_network(made, record):
    _, _, _, conversions, _ = made
    found = {row.format: row for row in record.results(ConversionResults).streams["rgb"].formats}
    assert set(SAME) <= set(found)
    for name in SAME:
        assert found[name].passed
        assert found[name].relative_difference <= found[name].tolerance < 1e-3
        assert found[name].cosine == pytest.approx(1, abs=1e-6)
        assert (found[name].samples, found[name].score.metric) == (ASKED, "mAP")
    assert {step.format for step in record.results(ConversionResults).streams["rgb"].not_run} == {
        "OM",
        "MINDIR for MindSpore Lite",
    }
    assert conversions.summary.passed.tolist()[:3] == [True] * 3
    assert conversions.summary["mAP, %"].tolist()[:3] == [pytest.approx(100 * found["network"].score.value)] * 3


@pytest.fixture(scope="module")
def kept(made):
    """The one stream of a stage 04 that keeps the files of its batches, in the workspace of the one that does not."""
    first, _, _, conversions, _ = made
    places = {"recipe": str(first.work_root.parent / "toy.yaml"), "data_root": first.data_root, "workers": 1}
    overrides = {"export": {"keep_batches": True}}
    stage = Stage.open("toy", "04_conversion", **places, work_root=first.work_root, device="CPU", overrides=overrides)
    (bare,) = conversions.streams.values()
    assert not list(bare.batches.folder.rglob("*.bin"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion.shutil, "disk_usage", lambda _: SimpleNamespace(free=554_879))
        with pytest.raises(BookError, match=r"batches: batches of 13 samples take 0\.000555 GB, 0\.000555 GB are free"):
            conversion.convert(stage)
        patch.setattr(conversion.shutil, "disk_usage", lambda _: SimpleNamespace(free=554_880))
        (one,) = conversion.convert(stage).streams.values()
    return one


def test_batches_are_the_same_whether_their_files_are_kept_or_not(made, kept):
    (bare,) = made[3].streams.values()
    assert (bare.batches.sha256, bare.batches.ids) == (kept.batches.sha256, kept.batches.ids)
    for name, array in bare.batches.load(2).items():
        np.testing.assert_array_equal(array, kept.batches.load(2)[name])
    command = kept.ais_bench
    assert bare.ais_bench == (
        f'# takes 0.000555 GB of files: run again with -y "overrides: {{export: {{keep_batches: true}}}}"\n{command}'
    )


def test_batches_lie_in_a_folder_of_each_input(made, kept):
    stage, index, *_ = made
    assert dict(kept.spec.inputs) == dict(kept.batches.spec.inputs) == INPUTS
    for name, shape in INPUTS.items():
        files = sorted(kept.batches.folder_of(name).glob("*.bin"))
        assert kept.batches.folder_of(name).name == name
        assert [path.stat().st_size for path in files] == [4 * 5 * int(np.prod(shape))] * 3  # 13 in batches of 5
    samples = Samples(index.subset("test"), dataset_of(stage.first).colour_store, stage.first.recipe, CLASSES)
    last = kept.batches.load(2)
    sample = samples.test(samples.tests.number[12], samples.tests.frames[12])
    for name, array in sample.inputs.items():
        np.testing.assert_array_equal(last[name][2], array)
    np.testing.assert_array_equal(last["slow"][2], last["fast"][2][:, [0, 3]])


def test_engines_take_and_give_what_the_spec_says(made):
    _, _, _, conversions, scored = made
    (one,) = conversions.streams.values()
    batch = one.batches.load(0)
    outputs = {name: one.made.engines[name].run(batch) for name in SAME}
    for name in SAME:
        assert dict(one.made.engines[name].spec.inputs) == INPUTS
        assert outputs[name].shape == (5, BOXES, CLASSES)
        np.testing.assert_allclose(outputs[name], outputs["network"], atol=1e-4)
        items, stored = read_results(one.stage.folder / "results" / name, one.batches)
        assert (len(items), stored.shape) == (ASKED, (ASKED, BOXES, CLASSES))
        np.testing.assert_array_equal(stored, scored.found["rgb", name].outputs)


@pytest.mark.parametrize("name", INPUTS)
def test_every_input_has_a_say(made, name):
    (one,) = made[3].streams.values()
    batch = one.batches.load(0)
    other = {**batch, name: batch[name] + 3}
    found = [one.made.engines["ONNX"].run(inputs) for inputs in (batch, other)]
    assert np.abs(found[0] - found[1]).max() > 1e-2


def test_all_formats_are_scored(made, record):
    rows = {row.format: row for row in record.results(AccuracyResults).scores}
    assert set(SAME) <= set(rows)
    trained = record.results(TrainingResults).runs[0].score
    for name in SAME:
        assert [score.metric for score in rows[name].scores] == ["mAP"]  # no quirk of the originals' top-1
        assert rows[name].main.value == pytest.approx(trained.value, abs=1e-6)
        assert set(rows[name].main.parts) == set(SCORED.values())
        assert (rows[name].main.evaluated, rows[name].main.expected) == (14, 14)
    assert made[4].table("ONNX").mAP.tolist() == [rows["ONNX"].main.value]
    assert made[4].missing == 0  # all videos have frames


def test_the_protocol_speaks_of_boxes(record):
    (protocol,) = record.results(AccuracyResults).protocols.values()
    assert "1 clip of 4 frames (stride 1) around the keyframe" in protocol
    assert "up to 8 an item of the detector's boxes of a score of at least 0.8" in protocol
    assert "whole frames, short side 16, at the top left of 16 x 32" in protocol
    assert "crop" not in protocol
    assert "sigmoid" in protocol
    assert "video level" not in protocol
    assert "softmax" not in protocol


def test_the_drawing_rule_speaks_of_whole_frames(made):
    assert data.drawing_rule(made[0].first.recipe) == (
        "4 frames (stride 1) around the keyframe, whole frames scaled to a shorter side of 16 to 18 pixels, "
        "16 × 16 cut out anywhere, mirrored with probability 0.5"
    )


def test_two_of_them_are_fused_by_the_sum_of_their_logits(made):
    found = made[4].found["rgb", "ONNX"]
    other = replace(found, items=found.items[::-1], outputs=found.outputs[::-1] + 1)
    joint = fuse({"one": found, "two": other})
    np.testing.assert_allclose(joint.outputs, 2 * found.outputs.astype(np.float64) + 1, rtol=1e-6)
    assert joint.score.value == pytest.approx(found.score.value)  # the order of confidences is the same
    with pytest.raises(FusionError, match="softmax_mean is of classification"):
        fuse({"one": found, "two": other}, "softmax_mean")
    boxes = replace(found.index, boxes=found.index.boxes.iloc[1:])
    with pytest.raises(FusionError, match="disagree about the labels or boxes of v_MoonWalk_g01_c01@0000"):
        fuse({"one": found, "two": replace(found, index=boxes)})


@pytest.mark.parametrize("of_one_class", [accuracy.right_and_wrong, accuracy.one_stream_wrong, accuracy.gains])
def test_what_is_of_one_class_a_video_is_refused(made, of_one_class):
    scored = made[4]
    best = scored.best()
    scored = replace(scored, found={("rgb", "ONNX"): best, ("flow", "ONNX"): best, ("joint", "ONNX"): best})
    with pytest.raises(TaskError, match="of classification, where a video has one class; the recipe's task is detect"):
        of_one_class(scored)


def test_its_trainings_are_shown_by_their_own_score(made):
    trainings = made[2]
    assert training.order_claims(trainings) == training.stream_claims(trainings) == ()
    seeds = trainings.seeds
    assert (seeds["ylabel"], "chance" in seeds) == ("mAP", False)
    assert seeds["values"].value.tolist() == [trainings.rows[0].score.value]
    # Of boxes with one of two classes that are each other's reversal, which of them scores higher?
    groups = trainings.stage.manifest.model_copy(update={"class_groups": {data.PAIRS: (("upper", "large"),)}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "manifest", groups)
        again = training.train(replace(trainings.stage))
        (pairs,) = again.rows[0].further
        assert (pairs.metric, pairs.evaluated) == (WITHIN_GROUPS, pairs.expected)
        assert again.seeds["values"].value.tolist() == [pairs.value]
        assert (again.seeds["chance"], again.seeds["ylabel"]) == (0.5, "right within reversed pairs")
        assert again.within(data.PAIRS).expected.tolist() == [pairs.expected]


def test_the_scoreboard_has_columns_of_its_score_alone(record):
    shown = {**record.stages, "01_data": _generated(record)}
    text = scoreboard("toy", [replace(record, stages=shown)])
    assert "| Recipe | Engine | mAP | N evaluated / expected |" in text
    assert "| Recipe | Training | Seeds | mAP, mean ± spread | N evaluated / expected |\n" in text
    assert "op-1" not in text


def _generated(record):
    """The entry of its data stage, as that of a miniature."""
    entry = record.stages["01_data"]
    rows = {name: row.model_copy(update={"generated": True}) for name, row in entry.results.sets.items()}
    return entry.model_copy(update={"results": entry.results.model_copy(update={"sets": rows})})


def test_people_of_a_video_are_asked_about(made, tiny_ava, monkeypatch):
    """A test video as a file from elsewhere: its boxes get the answers that the tested samples get."""
    stage, index, _, _, scored = made
    found = scored.found["rgb", "ONNX"]
    item = found.items[0]
    row = index.items[index.items["item"] == item].iloc[0]
    second = row.frame / 20
    boxes = index.boxes[index.boxes["item"] == item]
    path = dataset_of(stage.first).root / row.path
    people = boxes.assign(video=path.name, second=second, label="")[["video", "second", *CORNERS, "label", "score"]]
    other = people.iloc[:1].assign(second=second + 0.1)
    monkeypatch.setattr(own_people, "find_people", lambda video: pd.concat([other, people]))
    whole = own_people.Cut(start=0, seconds=0.7, rate=20)  # the cut that the data set was prepared with
    monkeypatch.setattr(own_people, "cut_of", lambda path, cut: whole)
    frames, table = own_people.ask_people(replace(stage, name="05_accuracy"), path, most=1)
    assert list(frames) == [(path.name, second)]
    confidence = 1 / (1 + np.exp(-found.outputs[0, : len(boxes)].astype(np.float64)))
    assert table.groupby(["x1", "y1"], sort=False).score.max().tolist() == pytest.approx(
        confidence[boxes.score.argsort(kind="stable")[::-1]].max(axis=1).tolist(),
        abs=1e-3,  # stores are JPEG
    )
    assert set(table.label) == set(stage.manifest.classes)
    monkeypatch.setattr(own_people, "find_people", lambda video: people.iloc[:0])
    frames, table = own_people.ask_people(replace(stage, name="05_accuracy"), path)
    assert (frames, len(table)) == ({}, 0)
    with pytest.raises(BookError, match=r"gone\.mp4 does not exist"):
        own_people.ask_people(stage, path.with_name("gone.mp4"))


def test_a_recipe_file_says_all_of_it(made):
    stage = made[0]
    recipe: Recipe = stage.first.recipe
    assert dict(recipe.spec(CLASSES).inputs) == INPUTS
    assert recipe.spec(CLASSES).output == (BOXES, CLASSES)
    assert replace(stage, name="04_conversion").require("03_training", "task", "sampling") is not None
