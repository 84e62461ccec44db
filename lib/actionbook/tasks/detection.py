"""Detection: any number of classes for each box, a sigmoid each, average precision by class.

Where the boxes are given, those of the labels, what is scored is which classes each box has. Where a detector has
proposed them (``index.boxes``), a box must also lie on one of the labels': the score of AVA, see `tasks.boxes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from actionbook.clips.targets import boxes_of
from actionbook.core.boxes import overlap
from actionbook.core.score import WITHIN_GROUPS, Score
from actionbook.datasets.index import BOX
from actionbook.tasks.boxes import Boxes, ranked
from actionbook.tasks.pooling import sigmoid

if TYPE_CHECKING:
    from mindspore import nn

    from actionbook.datasets.index import Index
    from actionbook.tasks.predictions import Predictions


IOU = 0.5
"""How far a detected box must overlap one of the truth."""


class Detection:
    """See `Task`."""

    main = "mAP"

    def loss(self) -> nn.Cell:
        """Mean binary cross-entropy of the real boxes; takes logits and targets (N, M, classes) and a mask (N, M)."""
        from actionbook.tasks.losses import MaskedBinaryCrossEntropy  # noqa: PLC0415 (MindSpore is slow to import)

        return MaskedBinaryCrossEntropy()

    def scores(self, found: Predictions) -> list[Score]:
        """Mean average precision over the classes that occur, with that of each class.

        The samples of an item are averaged after the sigmoid. The boxes of an item without a prediction are never
        found; an item in which a detector has found no box has been evaluated without one. Raises ValueError for items
        that were not asked for, and for outputs that are not finite.
        """
        items, means = found.index.items, confidences(found)
        ids = items["item"].tolist()
        if found.index.boxes is None:
            parts, evaluated = _of_given_boxes(found.index, means, found.outputs.shape[-1]), set(means)
        else:
            parts = _of_detected_boxes(found.index, means, found.outputs.shape[-1])
            evaluated = set(means) | (set(items["item"][items.frames > 0]) - set(found.index.boxes["item"]))
        names = found.index.labels.drop_duplicates("target").set_index("target").label
        mean_ap = float(np.mean(list(parts.values()))) if parts else 0.0
        counts = Score.of_share("mAP", 0, evaluated, ids)
        named = {names[k]: value for k, value in parts.items()}
        return [counts.model_copy(update={"value": min(mean_ap, 1.0), "correct": None, "parts": named})]

    def within_groups(self, found: Predictions, groups: Iterable[tuple[int, ...]]) -> Score:
        """Of boxes that have one class of a group and that a box lies on which was asked about; see `Task`.

        An overlap of one half is asked for, of several boxes the one with the largest is taken. Boxes on which none
        lies are left out. Raises ValueError as `scores`.
        """
        means, classes = confidences(found), found.outputs.shape[-1]
        asked, truth = boxes_of(found.index, classes), boxes_of(replace(found.index, boxes=None), classes)
        among = [np.asarray(group) for group in groups]
        seen, correct = [], 0
        for item in (item for item in truth if item in means and item in asked):
            overlaps = overlap(truth[item].places.T[:, :, None], asked[item].places.T[:, None])
            for number, (own, has) in enumerate(zip(np.nan_to_num(overlaps), truth[item].targets, strict=True)):
                said = means[item][own.argmax()]
                for group in among if own.max() >= IOU else ():
                    if has[group].sum() == 1:
                        seen.append(f"{item}, box {number}")
                        correct += bool(has[group[said[group].argmax()]])
        return Score.of_share(WITHIN_GROUPS, correct, seen, seen)

    def winners(self, outputs: np.ndarray) -> np.ndarray:
        """Which classes each box has: bool (N, M, classes)."""
        return np.asarray(outputs > 0)


def confidences(found: Predictions) -> dict[str, np.ndarray]:
    """Sigmoids of each item's boxes (M, classes), the mean of its samples. Raises ValueError as `Detection.scores`."""
    strangers = sorted(set(found.items) - set(found.index.items["item"]))
    if strangers:
        raise ValueError(f"predictions for items that were not asked for: {', '.join(strangers[:5])}")
    if not np.isfinite(found.outputs).all():
        raise ValueError("predictions hold values that are not finite")
    samples: dict[str, list[np.ndarray]] = {}
    for item, logits in zip(found.items, found.outputs, strict=True):
        samples.setdefault(item, []).append(sigmoid(logits))
    return {item: np.mean(of_item, axis=0) for item, of_item in samples.items()}


def _of_given_boxes(index: Index, means: Mapping[str, np.ndarray], classes: int) -> dict[int, float]:
    """Average precision of every class that occurs; `means` are the confidences (M, classes) of an item's boxes."""
    boxes, none = boxes_of(index, classes), np.zeros((0, classes))
    truth = {item: boxes[item].targets if item in boxes else none for item in index.items["item"]}
    confidence = np.concatenate([none, *(mean[: len(truth[item])] for item, mean in means.items())])
    true = np.concatenate([none, *(truth[item] for item in means)]).astype(bool)
    wanted = np.concatenate([none, *truth.values()]).sum(axis=0).astype(int)
    return {int(k): average_precision(confidence[:, k], true[:, k], wanted[k]) for k in np.flatnonzero(wanted)}


def _of_detected_boxes(index: Index, means: Mapping[str, np.ndarray], classes: int) -> dict[int, float]:
    """AVA's average precision of every class that occurs, a detection for each box and each such class.

    Keyframes are taken in the order of the index, boxes in that of the detector's list. Its corners are float32, as in
    the original (slowfast/datasets/ava_dataset.py).
    """
    labels = index.labels[index.labels.target >= 0]
    occurring, target = np.unique(labels.target.to_numpy(), return_inverse=True)
    numbers = {item: number for number, item in enumerate(index.items["item"])}
    truth = Boxes(labels["item"].map(numbers).to_numpy(np.int64), target, labels[list(BOX)].to_numpy(np.float64).T)
    boxes = boxes_of(index, classes)
    asked = [item for item in numbers if item in means and item in boxes]
    counts = [len(boxes[item].places) for item in asked]
    places = np.concatenate([np.zeros((0, 4)), *(boxes[item].places for item in asked)])
    confidence = np.concatenate(
        [np.zeros((0, classes)), *(means[item][:n] for item, n in zip(asked, counts, strict=True))]
    )
    keyframe = np.repeat(np.array([numbers[item] for item in asked], np.int64), counts)
    each = len(occurring)
    detections = Boxes(
        np.repeat(keyframe, each),
        np.tile(np.arange(each), len(keyframe)),
        np.repeat(places.astype(np.float32).astype(np.float64), each, axis=0).T,
    )
    found = ranked(truth, detections, confidence[:, occurring].ravel(), each, iou=IOU)
    return {int(k): one.value for k, one in zip(occurring, found, strict=True)}


def average_precision(confidence: np.ndarray, true: np.ndarray, wanted: int | None = None) -> float:
    """Area under precision against recall, precision made falling first (PASCAL VOC since 2010). 0..1.

    `confidence` and `true` (n,). Boxes of equal confidence are found together, so that their order makes no difference.
    `wanted` counts the true ones, those without a confidence included; None: all have one.
    """
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.diff(confidence[order], append=np.nan) != 0)  # the last one of each group of equals
    hits = np.cumsum(true[order])[ends]
    precision, recall = hits / (ends + 1), hits / max(int(true.sum()) if wanted is None else wanted, 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * falling))
