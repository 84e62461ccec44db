"""What a score of boxes means: scores of answers that need no network, and of common mistakes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from actionbook.datasets.index import BOX
from actionbook.evaluation.ava import AveragePrecision, every_class, mean_average_precision
from actionbook.evaluation.ava_diagnosis import diagnose
from actionbook.stages.keyframes import KeyframeData
from actionbook.tasks.boxes import Boxes, nearest


def score(data: KeyframeData, detections: pd.DataFrame) -> AveragePrecision:
    """AVA's mean average precision in the test of detections whose labels are names of classes."""
    return mean_average_precision(data.truth, detections, data.scored)


def by_frequency(data: KeyframeData) -> pd.DataFrame:
    """Answers of somebody who has seen no picture: each box has every class as often as a box in training."""
    learned = data.index.of_subset("train").labels
    boxes = len(learned.drop_duplicates(["item", *BOX]))
    shares = np.array([(learned.label == name).sum() / boxes for name in data.scored])
    return every_class(data.boxes, np.tile(shares, (len(data.boxes), 1)), data.scored)


def by_truth(data: KeyframeData) -> pd.DataFrame:
    """Answers of somebody who knows all: a box of the detector has the classes of the true box on which it lies.

    As sure as the detector is of the box.
    """
    boxes, rows = data.boxes, data.truth.assign(here=1)
    wide = rows.pivot_table(index=["video", "second", *BOX], columns="label", values="here", fill_value=0, sort=False)
    people, has = wide.index.to_frame(index=False), wide.reindex(columns=data.scored, fill_value=0).to_numpy()
    keyframe = pd.concat([people, boxes]).groupby(["video", "second"], sort=False).ngroup().to_numpy()
    true, found = (
        Boxes(numbers, np.zeros(len(numbers), np.int64), table[list(BOX)].to_numpy(np.float64).T)
        for table, numbers in ((people, keyframe[: len(people)]), (boxes, keyframe[len(people) :]))
    )
    number, overlap = nearest(true, found)
    scores = np.where((overlap >= 0.5)[:, None], has[number], 0) * boxes.score.to_numpy()[:, None]
    return every_class(boxes, scores, data.scored)


def mistakes(data: KeyframeData, detections: pd.DataFrame) -> pd.DataFrame:
    """What the mistakes of AVA's users make of the score of `detections`, and the first thing that `diagnose` says.

    Columns: mistake, mAP, diagnosis. Labels are numbers here, as in the lists.
    """
    cut, numbers = data.keyframes.cut, {name: n for n, name in enumerate(data.dataset.manifest.classes, 1)}
    classes = {numbers[name]: name for name in data.scored}
    truth, right = (table.assign(label=table.label.map(numbers)) for table in (data.truth, detections))
    height, width = data.clip(str(truth.video.iloc[0]), [0]).shape[1:3]
    x, y, seconds = ["x1", "x2"], ["y1", "y2"], (data.keyframes.first, data.keyframes.last)
    faults = {
        "none": right,
        "labels counted from 0": right.assign(label=right.label - 1),
        "boxes in pixels": right.assign(**(right[x] * width), **(right[y] * height)),
        "y before x": right.assign(x1=right.y1, y1=right.x1, x2=right.y2, y2=right.x2),
        "x, y, width, height": right.assign(x2=right.x2 - right.x1, y2=right.y2 - right.y1),
        "frame numbers in place of seconds": right.assign(second=(right.second - cut.start) * cut.rate),
        "names of files, not of videos": right.assign(video=right.video + ".mp4"),
        "one score for all": right.assign(score=0.5),
    }
    rows = []
    for name, faulty in faults.items():
        found = diagnose(truth, faulty, classes, seconds=seconds, rate=cut.rate, start=cut.start)
        value = mean_average_precision(truth, faulty, classes).value
        rows.append((name, value, found[0].what if found else "nothing is wrong"))
    return pd.DataFrame(rows, columns=["mistake", "mAP", "diagnosis"])
