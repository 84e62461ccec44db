"""Keyframes without a network: prepared, shown, and scored by answers that know nothing or everything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.clips.samples import Samples
from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.core.sections import Evaluation
from actionbook.datasets.ava import keyframe_id
from actionbook.datasets.own_keyframes import own_keyframes
from actionbook.stages.keyframe_scores import by_frequency, by_truth, mistakes, score
from actionbook.stages.keyframes import KeyframeData, first_draft, open_keyframes, sample_boxes
from actionbook.tasks import Detection, Predictions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of nine drawn videos, six of them for training."""
    folder = tmp_path_factory.mktemp("keyframes")
    data = load_dataset("mini_ava").model_dump(mode="json")
    data |= {"name": "few_ava", "videos": 9, "splits": {"1": {"train": 6, "test": 3}}}
    data["generator"]["groups"] = 9
    (folder / "few.yaml").write_text(json.dumps(data))
    return folder


def opened(folder: Path, **more: Any) -> KeyframeData:
    places = {"data_root": folder / "data", "work_root": folder / "work", "workers": 2}
    return open_keyframes(str(folder / "few.yaml"), **{**places, **more})


@pytest.fixture(scope="module")
def data(folder: Path) -> KeyframeData:
    found = opened(folder)
    assert found.expected.startswith("9 videos, 2,430 frames: about ")
    return found.prepare()


def test_all_videos_are_drawn_cut_and_resampled(data: KeyframeData, folder: Path) -> None:
    assert data.came == f"{data.dataset.manifest.title}: 9 videos drawn from seed 23"
    assert set(data.index.items.frames) == {270}  # nine seconds at 30 a second, from videos of 24, 25 and 30
    again = opened(folder).prepare()
    assert again.expected == "nothing is left to prepare"
    assert again.index.sha256 == data.index.sha256


def test_tables_say_what_the_index_says(data: KeyframeData) -> None:
    assert set(data.truth.second) <= set(range(2, 10))
    assert len(data.truth) == (data.index.labels["item"].isin(data.index.of_subset("test").items["item"])).sum()
    assert data.counts.loc["kick (a person)"].tolist()[1:] == [0, False]
    assert data.counts.train.sum() + data.counts.test.sum() == (data.index.labels.target >= 0).sum()
    assert data.boxes.score.min() >= 0.8


def test_frames_shown_are_those_of_the_keyframes(data: KeyframeData) -> None:
    frames = data.frames(3)
    assert len({video for video, _ in frames}) == len(frames) == 3
    for (video, second), frame in frames.items():
        assert frame.shape == (120, 160, 3)
        people = data.truth.query("video == @video and second == @second").drop_duplicates(["x1", "y1", "x2", "y2"])
        assert len(people) > 1
        strip = data.strip(video, second, length=32, stride=2, every=16)
        np.testing.assert_array_equal(strip.frames[1], frame)  # the first of the second half is the keyframe


def test_keyframes_in_a_row_are_of_one_video(data: KeyframeData) -> None:
    frames = data.seconds(4)
    assert len({video for video, _ in frames}) == 1
    moments = [second for _, second in frames]
    assert moments == sorted(moments)
    assert len(moments) == 4
    video = next(iter(frames))[0]
    kinds = data.truth.groupby("video").label.nunique()
    assert kinds[video] == kinds.max()


def test_boxes_of_samples_are_those_of_the_frames_that_are_shown(data: KeyframeData) -> None:
    """The box of a person, as shares of the frame, is where the cut has left that person."""
    mini = Recipe.load(NOTEBOOKS / "slowfast/recipes/mini.yaml")
    classes = len(data.dataset.manifest.classes)
    train = Samples(data.index.subset("train"), data.dataset.colour_store, mini, classes)
    sample = train.train(0, np.random.default_rng(1))
    frames, table = sample_boxes(data, {"draw": sample}, mini)
    ((title, second),) = frames
    assert (title, frames[title, second].shape) == ("draw", (64, 80, 3))
    assert keyframe_id(data.index.items.video[0], second) == sample.item
    count = int(sample.mask.sum())
    corners = table[["x1", "y1", "x2", "y2"]].drop_duplicates().to_numpy() * [80, 64, 80, 64]
    assert {tuple(one) for one in corners.round(4).tolist()} == {
        tuple(one) for one in sample.inputs["boxes"][:count].astype(float).round(4).tolist()
    }
    names = data.dataset.manifest.classes
    assert sorted(set(table.label) - {""}) == sorted(
        {names[k] for k in np.flatnonzero(sample.target[:count].any(axis=0))}
    )


def test_detections_are_what_was_said_of_the_boxes(data: KeyframeData) -> None:
    """Answers that know everything, as logits of a network, score as the same answers in a table."""
    best = by_truth(data)
    index, classes = data.index.of_subset("test"), data.dataset.manifest.classes
    asked = index.boxes.groupby("item", sort=False)
    logits = np.full((len(asked), 8, len(classes)), -30.0)
    said = best.set_index(["video", "second", "x1", "label"]).score
    for row, (item, boxes) in enumerate(asked):
        video, second = str(item).split("@")
        for place, x1 in enumerate(boxes.x1):
            for number, name in enumerate(classes):
                share = said.get((video, float(second), x1, name), 0.0)
                logits[row, place, number] = np.log(share / (1 - share)) if 0 < share < 1 else -30 if not share else 30
    found = Predictions(list(asked.groups), logits, index, Evaluation(), Detection())
    table = data.detections(found)
    assert score(data, table).value == pytest.approx(score(data, best).value, abs=1e-6)
    assert score(data, table).value == pytest.approx(found.score.value, abs=1e-9)


def test_an_answer_that_knows_all_lacks_whom_the_detector_missed(data: KeyframeData) -> None:
    blind, best = score(data, by_frequency(data)), score(data, by_truth(data))
    assert 0 < blind.value < 0.6 < best.value <= 1
    for label, value in best.per_class.items():
        curve = best.curve(label)
        if best.ranked[label].wanted:
            assert value == pytest.approx(curve.recall.max())  # right as far as it goes
    lower = opened(data.dataset.root.parent, min_score=0.3).prepare()
    assert len(lower.boxes) > len(data.boxes)
    assert score(lower, by_truth(lower)).value >= best.value


def test_every_mistake_costs_and_is_told_apart(data: KeyframeData) -> None:
    table = mistakes(data, by_truth(data)).set_index("mistake")
    right = table.mAP["none"]
    assert right == score(data, by_truth(data)).value
    assert table.diagnosis["none"] == "nothing is wrong"
    assert (table.mAP.drop("none") < 0.8 * right).all()
    assert table.diagnosis.is_unique


def test_a_first_draft_of_boxes(data: KeyframeData) -> None:
    frames, found = first_draft(data.first_video, most=2)
    assert len(frames) == 2
    assert {name for name, _ in frames} == {data.first_video.name}
    assert set(found.label) == {""}
    assert {second for _, second in frames} <= set(found.second)
    with pytest.raises(BookError, match=r"gone\.mp4"):
        first_draft(data.dataset.root / "gone.mp4")


def test_a_data_set_of_videos_is_refused(folder: Path) -> None:
    with pytest.raises(BookError, match="mini_ucf101: expected a data set of keyframes"):
        open_keyframes("mini_ucf101", data_root=folder / "ucf", work_root=folder / "work")
    assert not (folder / "ucf").exists()


def test_own_videos_without_a_detector_are_asked_about_their_own_boxes(data: KeyframeData, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    table = pd.concat([data.truth[data.truth.video == name].head(4) for name in data.truth.video.unique()])
    paths = data.index.videos.set_index("video").path
    for name in table.video.unique():
        shutil.copy(data.dataset.root / paths[name], videos)
    subsets = dict(zip(table.video.unique(), ("train", "train", "test"), strict=True))
    table = table.assign(subset=table.video.map(subsets))
    written = own_keyframes(videos, table, tmp_path / "own")
    own = open_keyframes(str(written.manifest), data_root=tmp_path / "own", work_root=tmp_path / "work", workers=1)
    assert own.index.boxes is None
    own = own.prepare()
    assert len(own.boxes) == len(own.truth.drop_duplicates(["second", "x1", "y1"]))
    assert score(own, by_truth(own)).value == 1
    assert [video for video, _ in own.frames(2)] == [own.truth.video[0]]  # two keyframes of one video
