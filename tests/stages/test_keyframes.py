"""Keyframes without a network: prepared, shown, and scored by answers that know nothing or everything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset
from actionbook.datasets.own_keyframes import own_keyframes
from actionbook.stages.keyframe_scores import by_frequency, by_truth, mistakes, score
from actionbook.stages.keyframes import KeyframeData, first_draft, open_keyframes


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
