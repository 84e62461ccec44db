"""What stage 01 shows: the frames that it names, reversals moment by moment, and what a recipe draws."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from actionbook.clips.samples import Samples
from actionbook.clips.transforms import tested_clip, to_pixels
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import store_path
from actionbook.stages.accuracy import Scored, one_stream_wrong, right_and_wrong
from actionbook.stages.data import class_strips, drawing_rule, drawn_strips, read, split_table, tested_strips
from actionbook.tasks import Predictions
from actionbook.tasks.classification import Classification
from actionbook.video.decode import probe, read_frames
from actionbook.video.frame_folder import open_frames


def test_of_a_reversal_the_second_class_shows_the_same_moments_backwards(
    tiny_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    stage = tiny_stage()
    path = tmp_path / "tiny.yaml"
    groups = {"class_groups": {"reversed_pairs": [["MoonWalk", "Walking"]]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | groups), encoding="utf-8")
    data = read(stage)
    first, second = class_strips(data)
    assert (first.title, second.title) == ("MoonWalk", "Walking")
    assert first.numbers == list(range(1, 16))
    paths = data.index.table.drop_duplicates("label").path
    for strip, video in zip((first, second), paths, strict=True):
        assert strip.numbers is not None
        own = read_frames(data.own.root / video, [number - 1 for number in strip.numbers])
        np.testing.assert_array_equal(strip.frames, own)
    difference = np.abs(first.frames.astype(int) - second.frames[::-1]).mean()
    assert difference < 0.3 * np.abs(first.frames.astype(int) - second.frames).mean()


def test_a_whole_video_is_shown_from_its_first_frame_to_its_last(tiny_stage: Callable[..., Stage]) -> None:
    data = read(tiny_stage())
    paths = data.index.table.drop_duplicates("label").path
    for strip, video in zip(class_strips(data, whole=True), paths, strict=True):
        frames = probe(data.own.root / video).frames
        assert strip.numbers is not None
        assert (strip.numbers[0], strip.numbers[-1]) == (1, frames)
        assert max(np.diff(strip.numbers)) - min(np.diff(strip.numbers)) <= 1
        own = read_frames(data.own.root / video, [number - 1 for number in strip.numbers])
        np.testing.assert_array_equal(strip.frames, own)


def test_a_video_whose_header_says_no_number_of_frames_is_shown_whole(
    tiny: Any, tiny_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    data = read(tiny_stage(root=Path(shutil.copytree(tiny.root, tmp_path / "copied"))))
    found = data.index.table.drop_duplicates("label").path
    expected = {path: probe(data.own.root / path).frames for path in found}
    for path in found:  # Matroska and WebM count no frames; the suffix is left as the list has it
        _remuxed(data.own.root / path, "matroska")
        assert probe(data.own.root / path).frames == 0
    strips = class_strips(data, whole=True)
    assert [(s.numbers or [0])[-1] for s in strips] == list(expected.values())
    assert all(len(s.frames) == 15 for s in strips)


def _remuxed(path: Path, container: str) -> None:
    """The same frames in another container, losslessly, in place."""
    with av.open(str(path)) as source:
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    with av.open(str(path), "w", format=container) as sink:
        stream = sink.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "bgr0"
        for pixels in frames:
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        sink.mux(stream.encode())


def test_clips_are_shown_with_the_numbers_of_their_frames(tiny_stage: Callable[..., Stage], prepared: Any) -> None:
    stage = tiny_stage(transforms={"size": 32, "scales": [1.0], "crop": "center", "flip": 0.0})
    for subset, strips in (("train", drawn_strips), ("test", tested_strips)):
        samples = Samples(prepared.index.subset(subset), prepared.store, stage.recipe, 2)
        for strip in strips(samples, 2):
            assert strip.numbers is not None
            video = 0 if subset == "train" else samples.index.table.label.tolist().index(strip.title)
            with open_frames(store_path(prepared.store, samples.index.items.store[video])) as opened:
                own = opened.read([number - 1 for number in strip.numbers])
            seen = to_pixels(tested_clip(own, stage.recipe.transforms), stage.recipe.transforms)
            assert np.abs(strip.frames.astype(int) - seen).mean() < 4  # two ways of scaling


def test_segments_of_blue_clips_are_shown_as_they_are(tiny_stage: Callable[..., Stage], prepared: Any) -> None:
    """With the numbers of frames from all over the video, and red as red."""
    transforms = {"size": 32, "channel_order": "bgr", "mean": [104.0, 117.0, 128.0]}
    stage = tiny_stage(transforms=transforms, sampling={"name": "segments", "frames": 4})
    samples = Samples(prepared.index.subset("test"), prepared.store, stage.recipe, 2)
    (strip, *_), row = tested_strips(samples), samples.index.items.iloc[0]
    assert strip.numbers == [int(row.frames * (i + 0.5) / 4) + 1 for i in range(4)]
    with open_frames(store_path(prepared.store, row.store)) as opened:
        own = opened.read([number - 1 for number in strip.numbers])
    left = round((own[0].shape[1] - 32) / 2)
    np.testing.assert_array_equal(strip.frames, np.stack(own)[:, :, left : left + 32])


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        ({"flip": 0.0}, "never mirrored"),
        ({"flip": 0.25}, "mirrored with probability 0.25"),
        ({"flip": 1.0}, "always mirrored"),
        ({"scales": [1.0, 0.5]}, "a square of 1 or 0.5 times the frame's shorter side anywhere"),
        (
            {"size": [16, 32], "crop": "corner"},
            "a rectangle of 1 times the largest that fits in a corner or the middle",
        ),
        ({"size": [16, 32]}, "scaled to 32 × 16 pixels"),
        (
            {"size": 224, "jitter": [256, 320]},
            " frames scaled to a shorter side of 256 to 320 pixels, 224 × 224 cut out "
            "anywhere, mirrored with probability 0.5",
        ),
        ({"size": [16, 32], "jitter": [40, 40]}, "a shorter side of 40 pixels, 32 × 16 cut out anywhere"),
    ],
)
def test_the_recipe_says_what_is_drawn(tiny_stage: Callable[..., Stage], transforms: dict[str, Any], said: str) -> None:
    recipe = tiny_stage(transforms={"scales": [1.0]} | transforms, sampling={"stride": 2}).recipe
    assert said in drawing_rule(recipe)
    assert drawing_rule(recipe).startswith("4 frames (stride 2) from a random start, ")


def test_the_recipe_says_which_segments_and_rectangles_are_drawn(tiny_stage: Callable[..., Stage]) -> None:
    sampling, transforms = {"name": "segments", "frames": 4}, {"crop": "tsn", "scales": [1.0, 0.875, 0.75, 0.66]}
    assert drawing_rule(tiny_stage(transforms=transforms, sampling=sampling).recipe) == (
        "a random frame of each of 4 equal parts of the video, a rectangle of two sides that are the same or "
        "neighbouring ones of 1 or 0.875 or 0.75 or 0.66 times the frame's shorter side at one of 13 places, scaled to "
        "16 × 16 pixels, mirrored with probability 0.5"
    )


def test_splits_without_unused_videos_have_no_column_of_them(tiny_stage: Callable[..., Stage]) -> None:
    assert split_table(tiny_stage()).columns.tolist() == ["train", "test"]


def test_what_was_right_and_wrong_is_shown_with_its_frames(tiny_stage: Callable[..., Stage], prepared: Any) -> None:
    stage, test = tiny_stage(), prepared.index.of_subset("test")
    items, classes = test.items["item"].tolist(), np.eye(2)
    guess = test.truth.to_numpy().copy()
    guess[3] = 1 - guess[3]
    found, whole = (
        Predictions(items, classes[said], test, stage.recipe.evaluation, Classification())
        for said in (guess, test.truth.to_numpy())
    )
    strips = right_and_wrong(Scored(stage, prepared.index, {("rgb", "ONNX"): found}, {}), count=1)
    assert [one.title for one in strips] == ["MoonWalk: right", "MoonWalk: taken for Walking"]
    streams = {("rgb", "ONNX"): found, ("flow", "ONNX"): whole, ("joint", "ONNX"): whole}
    (alone,) = one_stream_wrong(Scored(stage, prepared.index, streams, {}))
    assert alone.title == "MoonWalk: rgb says Walking"
    for strip, number in ((strips[0], 0), (strips[1], 3), (alone, 3)):
        assert strip.numbers == [1, 3, 5, 7, 9, 11, 13, 15]
        with open_frames(store_path(prepared.store, test.items.store[number])) as opened:
            np.testing.assert_array_equal(strip.frames, opened.read(range(0, 16, 2)))
