"""What the network of a finished chapter says of people in a video file, whom OpenCV's detector has found."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from actionbook.clips.sampling import keyframe_clip
from actionbook.clips.whole_frames import whole_boxes, whole_clip
from actionbook.core.errors import BookError
from actionbook.core.keyframes import Cut
from actionbook.core.sampling import Keyframe
from actionbook.core.sections import Detection
from actionbook.core.workspace import Stage
from actionbook.datasets.ava import keyframes_of
from actionbook.datasets.index import BOX
from actionbook.datasets.people_detector import find_people
from actionbook.evaluation.ava import every_class
from actionbook.stages.own_video import exported_engine, video_file
from actionbook.tasks.pooling import sigmoid
from actionbook.video.resample import cut_of, read_resampled, resampled

_LONGEST = 3600.0
"""Seconds of a video that are looked at."""


def ask_people(
    stage: Stage, video: str | os.PathLike[str], most: int = 4
) -> tuple[dict[tuple[str, float], np.ndarray], pd.DataFrame]:
    """The seconds of a video with the most people, at most so many, and what the network says of each of these people.

    Frames uint8 (H, W, 3) by (name, second), and a table of video, second, x1, y1, x2, y2, label, score: what
    `results.detection_pictures.boxes_plot` takes. The video is brought to the rate of the recipe's data set, and its
    frames are cut and scaled as in the test. Of a second's people the surest are asked about, as many as the recipe has
    room for. Raises BookError for a file that is missing, empty or no video, for a recipe whose clips are not around
    keyframes, and where the network has not been exported.
    """
    recipe, path, classes = stage.recipe, video_file(video), stage.manifest.classes
    sampling, transforms, task = recipe.sampling, recipe.transforms, recipe.task
    if not isinstance(task, Detection) or not isinstance(sampling, Keyframe) or transforms.test_size is None:
        raise BookError(f"recipe {recipe.name!r}: expected one of detection, of whole frames around keyframes")
    engine, rate = exported_engine(stage), keyframes_of(stage.manifest).cut.rate
    found = find_people(path)
    best = found.groupby("second").size().sort_values(ascending=False, kind="stable").index[:most]
    cut = cut_of(path, Cut(start=0, seconds=_LONGEST, rate=rate, at_most=True))
    count = sum(1 for _ in resampled(path, cut)) if len(best) else 0
    frames: dict[tuple[str, float], np.ndarray] = {}
    tables = []
    for second in sorted(map(float, best)):
        numbers = keyframe_clip(round(second * rate), count, sampling.tested, sampling.stride)
        pictures = read_resampled(path, cut, numbers.tolist())
        height, width = pictures.shape[1:3]
        people = found[found.second == second].nlargest(task.boxes, "score")
        boxes = np.zeros((1, task.boxes, 4), np.float32)
        boxes[0, : len(people)] = whole_boxes(people[list(BOX)].to_numpy(), height, width, transforms)
        clip = whole_clip(list(pictures), transforms)
        shares = sampling.shared_out(sampling.tested)
        logits = engine.run({**{name: clip[None, :, taken] for name, taken in shares.items()}, "boxes": boxes})
        said = sigmoid(logits[0, : len(people)])
        frames[path.name, second] = pictures[len(pictures) // 2]
        tables.append(every_class(people[["video", "second", *BOX]], said, classes))
    columns = ["video", "second", *BOX, "label", "score"]
    return frames, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
