"""Detection with a detector's boxes, scored through the task as AVA's own evaluation scores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from actionbook.core.sections import Evaluation
from actionbook.datasets.index import BOXES, ITEMS, LABELS, Index, check
from actionbook.tasks import Detection, Predictions


def index_of(truth: Sequence[tuple[Any, ...]], asked: Sequence[tuple[Any, ...]], frames: int = 100) -> Index:
    """Rows of (item, class from 0, x1, y1, x2, y2), and of (item, x1, y1, x2, y2)."""
    labels = pd.DataFrame([(i, f"class {k}", k, *box) for i, k, *box in truth], columns=list(LABELS)).astype(LABELS)
    boxes = pd.DataFrame([(*row, 1.0) for row in asked], columns=list(BOXES)).astype(BOXES)
    names = list(dict.fromkeys([*labels["item"], *boxes["item"]]))
    items = pd.DataFrame(
        {"item": names, "video": "v", "frame": 1, "subset": "test", "path": "", "store": "v", "frames": frames}
    )
    index = Index(items[list(ITEMS)].astype(ITEMS), labels, boxes)
    check(index)
    return index


def score_of(index: Index, items: Sequence[str], shares: Any) -> Any:
    """`shares` (N, M, classes) of items are what the sigmoid gives."""
    shares = np.clip(np.asarray(shares, np.float64), 1e-9, 1 - 1e-9)
    return Predictions(items, np.log(shares / (1 - shares)), index, Evaluation(), Detection()).score


ONE, OTHER = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)


def test_a_box_must_lie_on_one_of_the_truth() -> None:
    index = index_of([("a", 0, *ONE), ("a", 1, *OTHER)], [("a", *ONE), ("a", 0.0, 0.6, 0.3, 0.9)])
    found = score_of(index, ["a"], [[[0.9, 0.2], [0.1, 0.8]]])
    assert found.parts == {"class 0": 1.0, "class 1": 0.0}
    assert (found.value, found.evaluated, found.expected) == (0.5, 1, 1)


def test_a_keyframe_without_a_box_is_a_miss_and_has_been_evaluated() -> None:
    index = index_of([("a", 0, *ONE), ("b", 0, *ONE)], [("a", *ONE)])
    found = score_of(index, ["a"], [[[0.9]]])
    assert (found.value, found.evaluated, found.expected) == (0.5, 2, 2)
    # That of a video without frames has not, nor has one that was asked about and has no prediction.
    assert score_of(index_of([("a", 0, *ONE), ("b", 0, *ONE)], [("a", *ONE)], 0), ["a"], [[[0.9]]]).evaluated == 1
    both = index_of([("a", 0, *ONE), ("b", 0, *ONE)], [("a", *ONE), ("b", *ONE)])
    assert score_of(both, ["a"], [[[0.9]]]).evaluated == 1


def test_padding_is_no_detection() -> None:
    index = index_of([("a", 0, *ONE), ("b", 0, *ONE)], [("a", *ONE), ("b", *ONE), ("b", *OTHER)])
    shares = [[[0.5], [0.99]], [[0.6], [0.1]]]
    assert score_of(index, ["a", "b"], shares).value == 1.0


def test_a_box_without_area_is_no_detection() -> None:
    index = index_of([("a", 0, *ONE)], [("a", 0.7, 0.1, 0.7, 0.5), ("a", *ONE)])
    assert score_of(index, ["a"], [[[0.99], [0.5]]]).value == 1.0
