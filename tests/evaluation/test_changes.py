"""What a format changes in single samples and answers."""

from __future__ import annotations

import numpy as np
import pytest

from actionbook.core.sections import Evaluation
from actionbook.datasets.index import BOX, make_index
from actionbook.evaluation.changes import changed_answers, rounding, sample_differences
from actionbook.tasks import Classification, Detection, Predictions, TaskError

VIDEOS = ["a", "b", "c", "d"]
INDEX = make_index({"video": v, "label": "A", "target": 0, "subset": "test", "path": ""} for v in VIDEOS)


def of(outputs: list[list[float]], videos: list[str] = VIDEOS) -> Predictions:
    return Predictions(videos, np.array(outputs, np.float32), INDEX, Evaluation(), Classification())


def test_differences_are_in_standard_deviations_of_all_outputs() -> None:
    reference = of([[4, 0, 0], [0, 4, 0], [4, 4, 0], [0, 0, 4]])
    found = of([[4, 0, 0], [0, 3, 0], [4, 4, 0.5], [0, 0, 4]])
    spread = reference.outputs.std()
    assert sample_differences(found, reference) == pytest.approx([0, 1 / spread, 0.5 / spread, 0])
    assert sample_differences(of([[1, 1, 1]] * 4), of([[0, 0, 0]] * 4)) == pytest.approx([1] * 4)  # nothing spreads


def test_lost_and_won_answers_are_counted_apart() -> None:
    a, b, c = [2.0, 1, 0], [1.0, 2, 0], [0.0, 1, 2]
    assert changed_answers(of([a, a, b, b]), of([a, a, b, b])) == {"changed": 0, "lost": 0, "won": 0}
    # One is lost, one is won (the score stays), one wrong answer becomes another wrong one.
    assert changed_answers(of([b, a, a, c]), of([a, a, b, b])) == {"changed": 3, "lost": 1, "won": 1}
    # The winner of a video is that of its clips together; one without a prediction takes no part.
    clips = ["a", "a", "b"]
    assert changed_answers(of([a, a, b], clips), of([a, [1.9, 2, 0], a], clips)) == {"changed": 1, "lost": 1, "won": 0}


def test_answers_of_another_task_are_refused() -> None:
    rows = [{"video": "v", "item": "v@0", "frame": 0, "store": "v", "label": "A", "target": 0, "subset": "test"}]
    index = make_index({**row, "path": "", **dict(zip(BOX, (0, 0, 1, 1), strict=True))} for row in rows)
    boxes = Predictions(["v@0"], np.zeros((1, 1, 2), np.float32), index, Evaluation(), Detection())
    with pytest.raises(TaskError, match="classification"):
        changed_answers(boxes, boxes)
    assert sample_differences(boxes, boxes) == [0]


def test_rounding_says_how_many_samples_are_beyond_and_how_large_the_worst_is() -> None:
    reference = of([[1, -1], [2, -2], [2, -2], [12, -12]])
    moved = reference.outputs + np.array([[0], [0.1], [0.1], [1.2]], np.float32)
    found = rounding(of(moved.tolist()), reference, tolerance=0.1)
    spread = float(reference.outputs.std())
    assert found == pytest.approx(
        {"median": 0.1 / spread, "greatest": 1.2 / spread, "samples beyond": 1, "farthest output": 6.0}, rel=1e-5
    )
