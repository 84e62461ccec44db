"""Detection: any number of classes for each box, a sigmoid each, average precision by class.

The boxes are given (those of the labels), so what is scored is which classes each box has. Boxes that a detector has
proposed, and their overlap with those of the labels, are a matter of the data set's own evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actionbook.clips.targets import boxes_of
from actionbook.core.score import Score

if TYPE_CHECKING:
    from mindspore import nn

    from actionbook.tasks.predictions import Predictions


class Detection:
    """See `Task`."""

    main = "mAP"

    def loss(self) -> nn.Cell:
        """Mean binary cross-entropy of the real boxes; takes logits and targets (N, M, classes) and a mask (N, M)."""
        from actionbook.tasks.losses import MaskedBinaryCrossEntropy  # noqa: PLC0415 (MindSpore is slow to import)

        return MaskedBinaryCrossEntropy()

    def scores(self, found: Predictions) -> list[Score]:
        """Mean average precision over the classes that occur, with that of each class.

        The samples of an item are averaged after the sigmoid. An item without a prediction has the lowest score for
        all classes of all its boxes. Raises ValueError for items that were not asked for.
        """
        items = found.index.items.item.tolist()
        strangers = sorted(set(found.items) - set(items))
        if strangers:
            raise ValueError(f"predictions for items that were not asked for: {', '.join(strangers[:5])}")
        classes = found.outputs.shape[-1]
        sums: dict[str, list[np.ndarray]] = {}
        for item, logits in zip(found.items, found.outputs.astype(np.float64), strict=True):
            sums.setdefault(item, []).append(1 / (1 + np.exp(-logits)))
        boxes, confidence, truth = boxes_of(found.index, classes), [], []
        for item in items:
            targets = boxes[item].targets if item in boxes else np.zeros((0, classes))
            unknown = [np.full((len(targets), classes), -1.0)]
            confidence.append(np.mean([one[: len(targets)] for one in sums.get(item, unknown)], axis=0))
            truth.append(targets)
        every, true = np.concatenate(confidence), np.concatenate(truth).astype(bool)
        names = found.index.labels.drop_duplicates("target").set_index("target").label
        parts = {names[k]: average_precision(every[:, k], true[:, k]) for k in np.flatnonzero(true.any(axis=0))}
        mean_ap = float(np.mean(list(parts.values()))) if parts else 0.0
        counts_of = Score.of_share("mAP", 0, sums, items)
        return [counts_of.model_copy(update={"value": min(mean_ap, 1.0), "correct": None, "parts": parts})]

    def winners(self, outputs: np.ndarray) -> np.ndarray:
        """Which classes each box has: bool (N, M, classes)."""
        return np.asarray(outputs > 0)


def average_precision(confidence: np.ndarray, true: np.ndarray) -> float:
    """Area under precision against recall, precision made falling first (PASCAL VOC since 2010). 0..1.

    `confidence` and `true` (n,): ties keep their order.
    """
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(true[order])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / max(int(true.sum()), 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * falling))
