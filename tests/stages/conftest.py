"""A tiny data set in AVA's form: the tiny videos, with made-up lists of boxes, classes and a detector's faults."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.manifest import DatasetManifest
from actionbook.datasets.ava_boxes import with_labels
from actionbook.datasets.ava_writing import COLUMNS, CORNERS, write_boxes, write_class_list, write_excluded
from actionbook.datasets.ucf101 import ucf101_index

CLASSES = ("upper", "large", "unscored", "Walking")
KINDS = {
    (0.30, 0.05, 0.50, 0.25): (1, 3),
    (0.22, 0.35, 0.75, 0.95): (2,),
    (0.25, 0.00, 0.78, 0.60): (1, 2),
}
"""Boxes as shares of the frame, and the numbers of the classes that they have in every video."""
NOBODY = (0.7, 0.7, 0.95, 0.95)
KEYFRAMES: dict[str, Any] = {
    # The videos have 25 frames a second, and 18 frames at least.
    "cut": {"start": 0, "seconds": 0.7, "rate": 20},
    "first": 0,
    "last": 0.5,
    "truth": {"train": "ava_train_v2.2.csv", "test": "ava_val_v2.2.csv"},
    "detected": {"train": "boxes/train.csv", "test": "boxes/val.csv"},
    "excluded": {"test": "excluded.csv"},
    "class_list": "classes.pbtxt",
    "unscored": ["unscored"],
}
Keyframe = tuple[str, float]


@dataclass(frozen=True)
class TinyAva:
    """The data set, and what its lists of the test say. Columns of the tables are those of `ava_writing`."""

    root: Path
    manifest: Path
    truth: pd.DataFrame
    """That of the excluded keyframe included."""
    detected: pd.DataFrame
    missed: Keyframe
    """One in which the detector has found nobody."""
    excluded: Keyframe


def boxes_of(video: str, second: float, number: int) -> list[tuple[object, ...]]:
    """Two or three boxes with their classes; of a video called Walking, that as well."""
    walking = (4,) if "Walking" in video else ()
    return [
        (video, second, *box, label, person)
        for person, (box, labels) in list(enumerate(KINDS.items()))[number % 2 :]
        for label in (*labels, *walking)
    ]


def found_in(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """What the detector makes of every box of the truth: its corners up to 0.002 off, no class, a high score."""
    boxes = truth.drop_duplicates(["video", "second", *CORNERS]).reset_index(drop=True)
    off = rng.integers(-2, 3, (len(boxes), 4)) / 1000
    boxes[list(CORNERS)] = np.clip(boxes[list(CORNERS)].to_numpy(float) + off, 0, 1)
    return boxes.assign(label=pd.NA, last=rng.uniform(0.8, 1, len(boxes)))


def table_of(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture(scope="session")
def tiny_ava(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> TinyAva:
    """Two keyframes of each of 6 training videos and one of each of 14 test videos, and one more that is excluded."""
    root, rng = tmp_path_factory.mktemp("tiny_ava"), np.random.default_rng(17)
    videos = ucf101_index(tiny.root, tiny.manifest, 1).items
    (root / "trainval").mkdir()
    for video, path in zip(videos.video, videos.path, strict=True):
        (root / "trainval" / f"{video}.avi").symlink_to(tiny.root / path)
    train, test = (videos.video[videos.subset == name].tolist() for name in ("train", "test"))

    learned = table_of([row for n, v in enumerate(train) for second in (0, 0.45) for row in boxes_of(v, second, n)])
    nobody = learned.drop_duplicates(["video", "second"]).assign(**dict(zip(CORNERS, NOBODY, strict=True)), last=0.9)
    boxes = with_labels(pd.concat([found_in(learned, rng), nobody]), learned)
    doubtful = (train[0], 0, *NOBODY, 1, 0.79)  # a class that the network must not learn there

    asked = [(video, (0, 0.25, 0.5)[number % 3]) for number, video in enumerate(test)]
    missed, excluded = asked[3], (test[0], 0.5)
    truth = table_of([row for n, (v, second) in enumerate(asked) for row in boxes_of(v, second, n)])
    detected = found_in(truth, rng)
    detected = detected[(detected.video != missed[0]) | (detected.second != missed[1])].reset_index(drop=True)
    detected.loc[detected.index[detected.video == test[2]][-1], "last"] = 0.79
    detected = pd.concat([detected, table_of([(test[4], asked[4][1], *NOBODY, pd.NA, 0.95)])], ignore_index=True)
    # Of an excluded keyframe all classes are wrong, so that its boxes would cost precision.
    wrong = table_of([(*excluded, *box, 3 - labels[0], 0) for box, labels in list(KINDS.items())[:2]])
    truth = pd.concat([truth, wrong], ignore_index=True)
    detected = pd.concat([detected, found_in(wrong, rng)], ignore_index=True)

    lists = root / "annotations"
    (lists / "boxes").mkdir(parents=True)
    write_boxes(lists / "ava_train_v2.2.csv", learned)
    write_boxes(lists / "ava_val_v2.2.csv", truth)
    write_boxes(lists / "boxes" / "train.csv", pd.concat([boxes, table_of([doubtful])]))
    write_boxes(lists / "boxes" / "val.csv", detected)
    write_excluded(lists / "excluded.csv", [excluded])
    write_class_list(
        lists / "classes.pbtxt", {n: (name, "") for n, name in enumerate(CLASSES, 1) if name != "unscored"}
    )
    manifest = DatasetManifest.model_validate(
        {
            **tiny.manifest.model_dump(mode="json"),
            "name": "tiny_ava",
            "dataset": "ava",
            "layout": {"videos": "trainval", "annotations": "annotations"},
            "splits": {"1": {"train": len(train), "test": len(test)}},
            "classes": CLASSES,
            "keyframes": KEYFRAMES,
        }
    )
    (root / "tiny_ava.yaml").write_text(json.dumps(manifest.model_dump(mode="json")), encoding="utf-8")
    return TinyAva(root, root / "tiny_ava.yaml", truth, detected, missed, excluded)
