"""Average precision of boxes with any number of classes, against a slow computation by its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionbook.core.files import sha256_json
from actionbook.core.score import WITHIN_GROUPS
from actionbook.core.sections import Evaluation
from actionbook.datasets.index import BOX, Index, make_index
from actionbook.tasks import Detection, Predictions
from actionbook.tasks.detection import average_precision

CASES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=14)
"""(confidence, whether it is true) of boxes; few values, so that many are equal."""


def slow(confidence: list[float], true: list[bool], wanted: int) -> float:
    """For every threshold, precision and recall of what is above it; of a recall, the best precision from there on."""
    points = []
    for threshold in sorted(set(confidence), reverse=True):
        taken = [t for c, t in zip(confidence, true, strict=True) if c >= threshold]
        points.append((sum(taken) / wanted, sum(taken) / len(taken)))
    area, before = 0.0, 0.0
    for recall, _ in points:
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


@settings(max_examples=200)
@given(cases=CASES, more=st.integers(0, 3), order=st.randoms(use_true_random=False))
def test_average_precision_is_the_area_by_definition(cases: list[tuple[int, bool]], more: int, order: object) -> None:
    confidence, true = [c for c, _ in cases], [t for _, t in cases]
    wanted = sum(true) + more
    found = average_precision(np.array(confidence, float), np.array(true, bool), wanted)
    assert 0 <= found <= 1 + 1e-12
    assert found == pytest.approx(slow(confidence, true, wanted) if wanted else 0)
    order.shuffle(cases)  # type: ignore[attr-defined]
    again = average_precision(np.array([c for c, _ in cases], float), np.array([t for _, t in cases], bool), wanted)
    assert again == pytest.approx(found)


def test_average_precision_by_hand() -> None:
    # Found in this order: true, false, true, true; the second true one at precision 3/4 from there on.
    confidence, true = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, True])
    assert average_precision(confidence, true) == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)
    assert average_precision(confidence, true, 4) == pytest.approx(1 / 4 + 2 / 4 * 3 / 4)
    assert average_precision(confidence, ~true) == pytest.approx(1 / 2)
    assert average_precision(confidence, np.ones(4, bool)) == 1


def test_a_network_that_knows_nothing_has_the_share_of_true_boxes() -> None:
    """Equal confidences everywhere, and the true ones first in the list."""
    assert average_precision(np.zeros(8), np.arange(8) < 2) == pytest.approx(2 / 8)


Box = tuple[float, float, float, float]
LEFT, RIGHT, WHOLE = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)


def index_of(labels: list[tuple[str, int, Box]]) -> Index:
    """An index of keyframes, with a row for each class of a box."""
    rows = []
    for item, target, box in labels:
        video, frame = item.split("@")
        places = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
        common = {"video": video, "item": item, "frame": int(frame), "store": video, "subset": "test", "path": ""}
        rows.append({**common, "label": "ABC"[target], "target": target, **places})
    return make_index(rows)


INDEX = index_of([("v@0", 0, LEFT), ("v@0", 1, RIGHT), ("v@0", 0, RIGHT), ("v@9", 1, WHOLE), ("w@0", 1, LEFT)])


def predictions(items: list[str], outputs: list[list[list[float]]], index: Index = INDEX) -> Predictions:
    return Predictions(items, np.array(outputs, np.float32), index, Evaluation(), Detection())


PERFECT = {"v@0": [[9, -9, 0], [9, 9, 0]], "v@9": [[-9, 9, 0], [7, 7, 7]], "w@0": [[-9, 9, 0], [7, 7, 7]]}
"""Two boxes for each item; where there is but one, the second is filling and counts for nothing."""


def test_a_perfect_network() -> None:
    (score,) = predictions(list(PERFECT), list(PERFECT.values())).scores
    assert (score.metric, score.value, score.correct) == ("mAP", 1.0, None)
    assert (score.evaluated, score.expected, score.complete) == (3, 3, True)
    assert score.metric == Detection.main
    # The mean is over the classes that occur: nothing is C.
    assert score.parts == {"A": 1.0, "B": 1.0}


def test_scores_by_class_and_their_mean() -> None:
    outputs = {**PERFECT, "v@0": [[9, -9, 0], [-9, 9, 0]]}  # the right box of v@0 is not taken for an A
    (score,) = predictions(list(outputs), list(outputs.values())).scores
    # A: of four boxes one is sure and true, the other true one is at the end together with two false ones.
    assert score.parts == {"A": pytest.approx(1 / 2 + 1 / 2 * 2 / 4), "B": 1.0}
    assert score.value == pytest.approx((0.75 + 1) / 2)


def test_the_order_of_predictions_makes_no_difference() -> None:
    orders = (list(PERFECT), list(reversed(PERFECT)))
    one, two = (predictions(names, [PERFECT[name] for name in names]).score for names in orders)
    assert one == two


def test_boxes_of_an_item_without_a_prediction_are_never_found() -> None:
    (score,) = predictions(["v@9", "w@0"], [PERFECT["v@9"], PERFECT["w@0"]]).scores
    assert score.parts == {"A": 0.0, "B": pytest.approx(2 / 3)}
    assert (score.evaluated, score.expected) == (2, 3)
    assert score.missing_sha256 == sha256_json(["v@0"])
    nothing = Predictions([], np.zeros((0, 2, 3), np.float32), INDEX, Evaluation(), Detection())
    assert nothing.score.value == 0


def test_the_samples_of_an_item_are_averaged_after_the_sigmoid() -> None:
    index = index_of([("v@0", 0, WHOLE), ("w@0", 1, WHOLE)])
    # Two samples of v: sure of A, and against it by far; their mean logit is below that of w, their mean share is not.
    outputs = [[[9, 0, 0]], [[-90, 0, 0]], [[-1, 0, 0]]]
    (score,) = predictions(["v@0", "v@0", "w@0"], outputs, index).scores
    assert score.parts["A"] == 1


def test_the_mean_share_of_two_samples_is_compared_with_the_share_of_one() -> None:
    index = index_of([("v@0", 1, WHOLE), ("w@0", 0, WHOLE)])
    # Shares of A: 0.982 and 0.269 of v, in the mean 0.626; 0.646 of w.
    (score,) = predictions(["v@0", "v@0", "w@0"], [[[4, 0, 0]], [[-1, 0, 0]], [[0.6, 0, 0]]], index).scores
    assert score.parts["A"] == 1


def test_where_no_class_occurs_nothing_is_found() -> None:
    index = Index(INDEX.items, INDEX.labels.iloc[:0])
    (score,) = predictions(list(PERFECT), list(PERFECT.values()), index).scores
    assert (score.value, score.parts) == (0.0, {})


def test_items_without_a_box_count_and_change_nothing() -> None:
    empty = INDEX.items.iloc[:1].assign(item="x@0")
    index = Index(pd.concat([INDEX.items, empty], ignore_index=True), INDEX.labels)
    with_, without = (
        predictions([*PERFECT, *more], [*PERFECT.values(), *[[[9, 9, 9]] * 2] * len(more)], index).score
        for more in (["x@0"], [])
    )
    assert with_.value == without.value == 1
    assert (with_.evaluated, without.evaluated, with_.expected) == (4, 3, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        predictions(["v@0"], [[[value, 0, 0], [0, 0, 0]]]).scores  # noqa: B018


@pytest.mark.filterwarnings("error")
def test_outputs_however_large() -> None:
    (score,) = predictions(["v@0"], [[[3e4, -3e4, 0], [3e4, 3e4, 0]]]).scores
    assert score.parts["A"] == 1


def test_items_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="not asked for: x@0"):
        predictions(["x@0"], [PERFECT["v@0"]]).scores  # noqa: B018


def test_winners_are_the_classes_that_are_more_likely_than_not() -> None:
    found = Detection().winners(np.array([[[0.1, -0.1, 0.0]]]))
    assert found.tolist() == [[[True, False, False]]]


def test_within_groups_asks_which_of_two_classes_a_box_has() -> None:
    # At v@0 A is at the left and at the right, where B is as well; at v@9 and w@0 there is B alone.
    outputs = [[[1, 0, 9], [0, 1, 0]], [[0, 1, 0], [9, 9, 9]], [[2, 1, 0], [9, 9, 9]]]
    found = predictions(["v@0", "v@9", "w@0"], outputs)
    both = Detection().within_groups(found, [(0, 1)])
    # The box with both classes is not asked about: right, right, wrong.
    assert (both.metric, both.correct, both.evaluated, both.expected) == (WITHIN_GROUPS, 2, 3, 3)
    # Of A against C the boxes with A count: C scores higher at the left one, at the right one neither does.
    assert Detection().within_groups(found, [(0, 2)]).correct == 1
    assert Detection().within_groups(found, [(0, 2)]).expected == 2
    assert Detection().within_groups(found, []).expected == 0


def test_within_groups_leaves_out_boxes_on_which_none_lies() -> None:
    boxes = pd.DataFrame([("v@0", *RIGHT, 0.9), ("v@9", 0, 0, 0.1, 0.1, 0.9)], columns=["item", *BOX, "score"])
    found = predictions(["v@0", "v@9"], [[[1.0, 0, 1]], [[0, 1.0, 0]]], replace(INDEX, boxes=boxes))
    score = Detection().within_groups(found, [(1, 2)])
    assert (score.correct, score.expected) == (0, 1)  # B at the right of v@0, where C scores higher
