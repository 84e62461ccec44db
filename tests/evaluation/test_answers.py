"""What a network was asked, without what fills a sample up; and back again."""

from __future__ import annotations

import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.sections import Evaluation
from actionbook.datasets.index import BOX, make_index
from actionbook.evaluation.answers import answers, boxes_each, outputs_of
from actionbook.evaluation.compare import compare_formats
from actionbook.tasks import Classification, Detection, Predictions

PLACES = [(0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0), (0.2, 0.2, 0.4, 0.4)]
COUNTS = {"a": 2, "b": 0, "c": 3, "d": 1}
"""Boxes of each item; of "b" nobody is asked about."""
INDEX = make_index(
    {"video": item, "label": "x", "target": 0, "subset": "test", "path": "", **dict(zip(BOX, PLACES[box], strict=True))}
    for item, count in COUNTS.items()
    for box in range(count)
)
ITEMS = ["c", "a", "d", "a"]


def of(outputs: np.ndarray) -> Predictions:
    return Predictions(ITEMS, outputs, INDEX, Evaluation(), Detection())


def test_boxes_that_fill_up_are_left_out_in_the_order_of_the_samples() -> None:
    outputs = np.arange(4 * 5 * 2, dtype=np.float32).reshape(4, 5, 2)
    assert boxes_each([*ITEMS, "b"], INDEX, 2).tolist() == [3, 2, 1, 2, 0]
    rows = answers(of(outputs))
    assert rows.tolist() == [*outputs[0, :3].tolist(), *outputs[1, :2].tolist(), *outputs[2, :1].tolist(),
                             *outputs[3, :2].tolist()]  # fmt: skip


def test_rows_become_outputs_again_with_zeros_behind_them() -> None:
    outputs = np.random.default_rng(1).normal(size=(4, 5, 2)).astype(np.float32)
    again = outputs_of(answers(of(outputs)), ITEMS, INDEX, 5)
    assert again.dtype == np.float32
    for row, item in enumerate(ITEMS):
        assert np.array_equal(again[row, : COUNTS[item]], outputs[row, : COUNTS[item]])
        assert not again[row, COUNTS[item] :].any()


def test_of_classification_rows_are_samples() -> None:
    logits = np.ones((4, 2), np.float32)
    assert answers(Predictions(ITEMS, logits, INDEX, Evaluation(), Classification())) is logits
    assert outputs_of(logits, ITEMS, INDEX, None) is logits


@pytest.mark.parametrize(("rows", "boxes"), [(7, 5), (9, 5), (8, 2)])
def test_another_number_of_rows_is_refused(rows: int, boxes: int) -> None:
    with pytest.raises(BookError, match=f"{rows} rows of predictions for 8 boxes, at most {boxes} each"):
        outputs_of(np.zeros((rows, 2), np.float32), ITEMS, INDEX, boxes)
    with pytest.raises(BookError, match="3 rows of predictions for 4 samples"):
        outputs_of(np.zeros((3, 2), np.float32), ITEMS, INDEX, None)


def test_what_fills_up_makes_no_difference_between_formats() -> None:
    """Two formats may say anything of boxes that are not there."""
    outputs = np.random.default_rng(1).normal(size=(4, 5, 2)).astype(np.float32)
    other = outputs.copy()
    for row, item in enumerate(ITEMS):
        other[row, COUNTS[item] :] += 100
    _, found = compare_formats({"network": of(outputs), "ONNX": of(other)})
    assert found.passed
    assert found.max_abs_difference == 0
    assert (found.samples, found.agreement) == (4, 1.0)
