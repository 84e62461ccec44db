"""tasks.boxes: overlaps, who finds whom, and areas, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from actionbook.core.boxes import overlap
from actionbook.tasks import boxes as module
from actionbook.tasks.boxes import Boxes, Ranked, match, ranked

UNIT = (0.0, 0.0, 1.0, 1.0)


def boxes(*rows: tuple[int, int, tuple[float, float, float, float]]) -> Boxes:
    """Rows of keyframe, class and corners."""
    corners = np.array([row[2] for row in rows], float).reshape(len(rows), 4).T
    return Boxes(np.array([row[0] for row in rows], int), np.array([row[1] for row in rows], int), corners)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (UNIT, UNIT, 1.0),
        (UNIT, (0.0, 0.0, 0.5, 1.0), 0.5),
        (UNIT, (0.5, 0.5, 1.5, 1.5), 0.25 / 1.75),
        (UNIT, (1.0, 0.0, 2.0, 1.0), 0.0),
        (UNIT, (1.0, 0.0, 0.0, 1.0), np.nan),  # an area of -1
        (UNIT, (1.0, 1.0, 0.0, 0.0), 0.0),
    ],
)
def test_overlap(one: tuple[float, ...], other: tuple[float, ...], expected: float) -> None:
    np.testing.assert_equal(overlap(np.array(one), np.array(other)), expected)


def test_each_detection_has_one_candidate() -> None:
    truth = boxes((0, 0, UNIT), (0, 0, (0.0, 0.0, 0.8, 1.0)), (0, 1, UNIT), (1, 0, UNIT))
    near = (0.0, 0.0, 0.95, 1.0)
    found = boxes((0, 0, near), (0, 0, UNIT), (0, 1, near), (1, 0, (0, 0, 0.4, 1)), (1, 1, UNIT), (2, 0, UNIT))
    # The second would also reach the other box, but looks at the best one only, which is taken.
    assert match(truth, found).tolist() == [0, -1, 2, -1, -1, -1]
    assert match(truth, found, 0.4).tolist() == [0, -1, 2, 3, -1, -1]


def test_of_equal_overlaps_the_first() -> None:
    truth = boxes((0, 0, (0.0, 0.0, 0.5, 1.0)), (0, 0, (0.5, 0.0, 1.0, 1.0)))
    assert match(truth, boxes((0, 0, UNIT), (0, 0, UNIT))).tolist() == [0, -1]


def test_boxes_without_area_find_nothing() -> None:
    truth = boxes((0, 0, (1.0, 0.0, 0.0, 1.0)), (0, 0, UNIT))
    assert match(truth, boxes((0, 0, UNIT))).tolist() == [-1]  # NaN is the first of the largest, as in the original


def test_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)

    def drawn(count: int) -> Boxes:
        corner = rng.uniform(0, 0.4, (2, count))
        corners = np.vstack([corner, corner + 0.5])
        return Boxes(np.sort(rng.integers(0, 9, count)), rng.integers(0, 3, count), corners)

    truth, found = drawn(100), drawn(300)
    whole = match(truth, found)
    assert len(set(whole[whole >= 0])) == (whole >= 0).sum() > 30
    for pairs in (1, 7, 50):
        monkeypatch.setattr(module, "_PAIRS", pairs)
        np.testing.assert_array_equal(match(truth, found), whole)


def test_nothing_on_either_side() -> None:
    some, none = boxes((0, 0, UNIT)), boxes()
    assert match(none, some).tolist() == [-1]
    assert match(some, none).tolist() == []
    assert [one.value for one in ranked(some, none, np.zeros(0), 1)] == [0.0]
    assert np.isnan([one.value for one in ranked(none, some, np.ones(1), 1)]).all()


def test_area_under_the_curve() -> None:
    def area(hits: list[int], wanted: int) -> float:
        return Ranked(np.array(hits, bool), np.zeros(len(hits)), wanted).value

    assert area([1, 1], 2) == 1
    assert area([1, 0, 1, 1], 3) == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)
    assert area([1, 0, 1, 1], 4) == pytest.approx(1 / 4 + 2 / 4 * 3 / 4)
    assert area([0, 0, 0], 4) == area([], 2) == 0


def test_order_of_scores_and_of_equals() -> None:
    truth, found = boxes((0, 0, UNIT)), boxes((1, 0, UNIT), (0, 0, UNIT), (0, 0, UNIT))
    scores = np.array([0.5, 0.1, 0.5])
    (listed,) = ranked(truth, found, scores, 1)
    assert (listed.scores.tolist(), listed.hits.tolist()) == ([0.5, 0.5, 0.1], [False, False, True])
    (sorted_,) = ranked(truth, found, scores, 1, order="score")
    # In keyframe 0 the surer one is asked first; of the two with 0.5 keyframe 1, the later one, comes first.
    assert (sorted_.scores.tolist(), sorted_.hits.tolist()) == ([0.5, 0.5, 0.1], [False, True, False])
