"""The line beside every score that says how it was measured."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.datasets.index import Index
from actionbook.stages.accuracy import Scored, protocol
from actionbook.stages.data import warn_of_partial_copy

MINI = NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml"
CHANGES: dict[str, Any] = {
    "data": {"manifest": "ucf101", "split": 2},
    "sampling": {"frames": 16, "stride": 1, "window": 16},
    "transforms": {"size": 112},
    "evaluation": {"pool": "softmax_mean", "skip_last_video": False},
    "training": {"runs": [{"name": "clip"}], "result": None},
}
PLAIN = (
    "ucf101 split 2, video level, clips of 16 frames (stride 1) at every 16-frame window, 1 centre crop, "
    "short side 112, crop 112, mean of softmax"
)


def of(**changes: Any) -> str:
    return protocol(Recipe.load(MINI, CHANGES | changes))


def test_it_says_how_a_number_was_measured() -> None:
    assert of() == PLAIN
    assert protocol(Recipe.load(MINI, CHANGES), split=3) == PLAIN.replace("split 2", "split 3")
    quirk = of(evaluation={"pool": "logit_mean", "skip_last_video": True})
    assert quirk == PLAIN.replace("mean of softmax", "mean of logits, last video not scored")


def test_it_names_flow_the_centre_and_another_length() -> None:
    changes: dict[str, Any] = {
        "data": {"manifest": "ucf101"},
        "sampling": {"name": "centre", "frames": 64, "stride": 1},
        "transforms": {"modality": "flow", "mean": [0.0, 0.0], "std": [1.0, 1.0], "size": 224, "short_side": 256},
        "evaluation": {"pool": "logit_mean"},
    }
    centre = "ucf101 split 1, video level, optical flow, 1 clip of the middle 64 frames (stride 1), 1 centre crop, "
    scaled = "short side 256, crop 224, mean of logits"
    assert of(**changes) == centre + scaled
    changes["sampling"]["test_frames"] = 250
    assert of(**changes) == centre.replace("64", "250") + scaled
    changes["sampling"] = {"name": "windows", "frames": 64, "stride": 1, "test_frames": 80, "window": 100}
    assert "clips of 80 frames (stride 1) at every 100-frame window, 1 centre crop" in of(**changes)


SEGMENTS: dict[str, Any] = {
    "data": {"manifest": "ucf101"},
    "sampling": {"name": "segments", "frames": 4},
    "transforms": {"size": 224, "short_side": 256, "channel_order": "bgr"},
}


def test_it_names_segments_and_a_square_scaling() -> None:
    segments = "ucf101 split 1, video level, 1 clip of the middle frames of 4 equal parts, 1 centre crop, "
    assert of(**SEGMENTS) == segments + "short side 256, crop 224, mean of softmax"
    port: dict[str, Any] = {
        **SEGMENTS,
        "sampling": {"name": "segments", "frames": 4, "test_parts": "whole"},
        "transforms": {**SEGMENTS["transforms"], "keep_aspect": False},
    }
    assert "1 clip of the middle frames of 4 parts of a whole number of frames, 1 centre crop" in of(**port)
    assert ", scaled to 256 x 256, crop 224, " in of(**port)
    port["transforms"] = {"size": 224, "box": [341, 256]}
    assert ", scaled to 341 x 256, crop 224, " in of(**port)


def test_it_names_super_images() -> None:
    changes: dict[str, Any] = {**SEGMENTS, "sampling": {"name": "superframes"}}
    assert "video level, 1 clip of the middle 5 frames of each of 7 equal parts, 1 centre crop" in of(**changes)
    changes["sampling"] |= {"test_frames": 125, "test_start": "late"}
    assert "1 clip of the 5 frames from the middle on of each of 25 equal parts, 1 centre crop" in of(**changes)


DETECTION: dict[str, Any] = {
    "task": {"name": "detection", "boxes": 28},
    "data": {"manifest": "ava"},
    "sampling": {"name": "keyframe", "frames": 32, "stride": 2},
    "transforms": {"size": 224, "short_side": 256, "test_size": [256, 640], "jitter": [256, 320]},
}


def test_it_names_whole_frames_and_whose_boxes_are_scored() -> None:
    clip = "1 clip of 32 frames (stride 2) around the keyframe"
    whole = f"{clip}, whole frames, short side 256, at the top left of 256 x 640, mean of sigmoid"
    detected = "ava split 1, up to 28 an item of the detector's boxes of a score of at least 0.8, "
    assert of(**DETECTION) == detected + whole
    sure = {**DETECTION, "data": {"manifest": "ava", "boxes": {"min_score": 0.9}}}
    assert of(**sure) == detected.replace("0.8", "0.9") + whole
    given = "ava split 1, up to 28 given boxes an item, "
    assert of(**{**DETECTION, "data": {"manifest": "ava", "boxes": {"test": "truth"}}}) == given + whole
    without = {**DETECTION, "data": {"manifest": "ucf101"}}  # no detector has looked at it
    assert of(**without) == given.replace("ava", "ucf101") + whole


@pytest.mark.parametrize(("size", "crop"), [(112, "crop 112"), ([96, 128], "crop 96 x 128"), ([64, 64], "crop 64")])
def test_it_names_a_rectangle_by_both_sides(size: Any, crop: str) -> None:
    assert f", {crop}, " in of(transforms={"size": size, "short_side": 128})


def test_it_says_what_a_partial_copy_lacks(
    tiny_stage: Callable[..., Stage], prepared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage, items = replace(tiny_stage(), name="05_accuracy"), prepared.index.items
    gone = (items.subset == "test") & items.store.str.startswith("MoonWalk/")
    partly = Index(items.assign(frames=items.frames.where(~gone, 0)), prepared.index.labels)
    names = items.video[gone].tolist()
    line = (
        f"partial copy of tiny: 7 of 20 videos are missing: {', '.join(names[:3])} and 4 more; "
        "no video at all of MoonWalk (test)"
    )
    whole, part = (Scored(stage, index, {}, {}).finish().protocols for index in (prepared.index, partly))
    assert part == {name: f"{text}; {line}" for name, text in whole.items()}
    with caplog.at_level(logging.WARNING):
        for index in (prepared.index, partly):
            warn_of_partial_copy(dataset_of(stage), index)
    assert caplog.messages == [line]
