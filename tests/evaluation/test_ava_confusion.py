"""evaluation.ava_confusion: which classes score above those that a box has, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.evaluation.ava_confusion import confusion

LEFT = {"video": "v", "second": 902, "x1": 0.0, "y1": 0.0, "x2": 0.4, "y2": 1.0}
RIGHT = {**LEFT, "x1": 0.6, "x2": 1.0}
CLASSES = {1: "sit", 2: "stand", 3: "talk"}


def scored(box: dict[str, Any], *scores: float) -> list[dict[str, Any]]:
    return [{**box, "label": label, "score": score} for label, score in enumerate(scores, start=1)]


TRUTH = pd.DataFrame(
    [{**LEFT, "label": 1}, {**LEFT, "label": 3}, {**RIGHT, "label": 2}, {**RIGHT, "second": 903, "label": 2}]
)
NEAR = {**LEFT, "x2": 0.35}
FOUND = pd.DataFrame(
    [*scored(NEAR, 0.3, 0.5, 0.9), *scored({**LEFT, "x2": 0.25}, 1, 1, 1), *scored(RIGHT, 0.1, 0.8, 0.9)]
)


def test_classes_above_those_that_are_there() -> None:
    found = confusion(TRUTH, FOUND, CLASSES)
    # Left: standing is above sitting; talking, which is there, does not count. Right: talking is above standing.
    assert found.above.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert found.matched.tolist() == [1, 1, 1]
    assert found.unbeaten.tolist() == [0, 0, 1]
    assert found.missed.tolist() == [0, 1, 0]  # nothing at 903
    assert found.shares.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert found.table.to_dict("list") == {
        "class": ["sit", "stand"],
        "taken for": ["stand", "talk"],
        "boxes": [1, 1],
        "share": [1.0, 1.0],
    }


def test_equal_scores_are_no_confusion() -> None:
    found = confusion(TRUTH, FOUND.assign(score=0.5), CLASSES)
    assert found.above.sum() == 0
    assert found.unbeaten.tolist() == found.matched.tolist()
    assert found.table.empty


def test_classes_without_a_row_are_below_all_and_of_several_rows_the_highest_counts() -> None:
    fewer = FOUND[FOUND.label != 3]
    assert confusion(TRUTH, fewer, CLASSES).above.tolist() == [[0, 1, 0], [0, 0, 0], [0, 1, 0]]
    more = pd.concat([FOUND, pd.DataFrame([{**NEAR, "label": 1, "score": 0.6}])])
    for table in (more, more.iloc[::-1]):
        assert confusion(TRUTH, table, CLASSES).above[0].tolist() == [0, 0, 0]


def test_other_labels_and_excluded_keyframes_are_left_out() -> None:
    found = confusion(TRUTH, FOUND, {1: "sit", 2: "stand"})
    assert found.above.tolist() == [[0, 1], [0, 0]]
    found = confusion(TRUTH, FOUND, CLASSES, ["v,0902"])
    assert (found.matched.sum(), found.missed.tolist()) == (0, [0, 1, 0])
    none = confusion(TRUTH, FOUND.iloc[:0], CLASSES)
    assert (none.matched.sum(), none.missed.tolist()) == (0, [1, 2, 1])


def test_one_detected_box_may_lie_on_several(golden: Any) -> None:
    truth, detections, excluded, _ = golden.a
    found = confusion(truth, detections, golden.classes, excluded, iou=0.3)
    assert found.matched.sum() + found.missed.sum() == 107
    assert (found.unbeaten <= found.matched).all()
    assert (np.diag(found.above) == 0).all()
    with pytest.raises(BookError, match="detections: no column score"):
        confusion(truth, truth, golden.classes)
