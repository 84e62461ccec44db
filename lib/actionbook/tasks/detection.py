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

        The samples of an item are averaged after the sigmoid. The boxes of an item without a prediction are never
        found. Raises ValueError for items that were not asked for, and for outputs that are not finite.
        """
        items, classes = found.index.items.item.tolist(), found.outputs.shape[-1]
        strangers = sorted(set(found.items) - set(items))
        if strangers:
            raise ValueError(f"predictions for items that were not asked for: {', '.join(strangers[:5])}")
        if not np.isfinite(found.outputs).all():
            raise ValueError("predictions hold values that are not finite")
        samples: dict[str, list[np.ndarray]] = {}
        for item, logits in zip(found.items, found.outputs.astype(np.float64), strict=True):
            samples.setdefault(item, []).append(np.exp(-np.logaddexp(0, -logits)))  # the sigmoid, without overflow
        boxes, none = boxes_of(found.index, classes), np.zeros((0, classes))
        truth = {item: boxes[item].targets if item in boxes else none for item in items}
        means = [np.mean(found_, axis=0)[: len(truth[item])] for item, found_ in samples.items()]
        confidence = np.concatenate([none, *means])
        true = np.concatenate([none, *(truth[item] for item in samples)]).astype(bool)
        wanted = np.concatenate([none, *truth.values()]).sum(axis=0).astype(int)
        names = found.index.labels.drop_duplicates("target").set_index("target").label
        parts = {names[k]: average_precision(confidence[:, k], true[:, k], wanted[k]) for k in np.flatnonzero(wanted)}
        mean_ap = float(np.mean(list(parts.values()))) if parts else 0.0
        counts = Score.of_share("mAP", 0, samples, items)
        return [counts.model_copy(update={"value": min(mean_ap, 1.0), "correct": None, "parts": parts})]

    def winners(self, outputs: np.ndarray) -> np.ndarray:
        """Which classes each box has: bool (N, M, classes)."""
        return np.asarray(outputs > 0)


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
