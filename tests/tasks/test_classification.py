"""Accuracies that count every video that was asked for, and say so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.core.files import sha256_json
from actionbook.core.score import WITHIN_GROUPS, Score
from actionbook.core.sections import Classification as Section
from actionbook.core.sections import Detection as DetectionSection
from actionbook.core.sections import Evaluation
from actionbook.datasets.index import Index, make_index
from actionbook.tasks import Classification, Detection, Predictions, task_of
from actionbook.tasks.classification import confusion, per_class, pooled, topk


def truth_of(targets: list[int]) -> pd.Series:
    return pd.Series(targets, index=[f"v{i}" for i in range(len(targets))])


def scores_of(rows: list[list[float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, index=[f"v{i}" for i in range(len(rows))])


SCORES = scores_of([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])
TRUTH = truth_of([0, 2, 1, 0])


@pytest.mark.parametrize(("k", "correct"), [(1, 2), (2, 3), (3, 4), (5, 4)])
def test_topk(k: int, correct: int) -> None:
    found = topk(SCORES, TRUTH, k)
    assert found == Score(metric=f"top{k}", value=correct / 4, evaluated=4, expected=4, correct=correct)
    assert found.complete
    assert str(found) == f"top-{k} {correct / 4:.4f} = {correct}/4"


def test_the_order_of_predictions_makes_no_difference() -> None:
    assert topk(SCORES.iloc[::-1], TRUTH, 1) == topk(SCORES, TRUTH, 1)


def test_ties_go_to_the_lower_class() -> None:
    scores = scores_of([[0.5, 0.5, 0.5]] * 3)
    for k, correct in ((1, 1), (2, 2), (3, 3)):
        assert topk(scores, truth_of([0, 1, 2]), k).correct == correct


def test_ties_among_many_classes_too() -> None:
    scores = scores_of([[0.5] * 101] * 6)
    assert topk(scores, truth_of([0, 1, 4, 5, 50, 100]), 5).correct == 3


def test_the_originals_quirk_loses_the_last_video() -> None:
    scores = scores_of(np.eye(2)[np.arange(3_783) % 2].tolist())
    truth = truth_of((np.arange(3_783) % 2).tolist())
    assert topk(scores, truth, 1).value == 1
    quirk = topk(scores, truth, 1, skip_last_video=True)
    assert (quirk.correct, quirk.evaluated, quirk.expected) == (3_782, 3_782, 3_783)
    assert round(quirk.value, 6) == 0.999736
    assert quirk.missing_sha256 == sha256_json(["v3782"])


def test_the_quirk_loses_the_last_video_of_the_truth_whatever_the_order_of_predictions() -> None:
    found = topk(SCORES.iloc[::-1], TRUTH, 3, skip_last_video=True)
    assert (found.correct, found.evaluated, found.expected) == (3, 3, 4)
    assert found.missing_sha256 == sha256_json(["v3"])
    without = topk(SCORES.drop(index="v3"), TRUTH, 3, skip_last_video=True)
    assert without == found


def test_missing_videos_are_misses() -> None:
    found = topk(SCORES.drop(index=["v0", "v3"]), TRUTH, 1)
    missing = sha256_json(["v0", "v3"])
    assert found == Score(metric="top1", value=0.25, evaluated=2, expected=4, correct=1, missing_sha256=missing)
    assert not found.complete
    assert str(found) == "top-1 0.2500 = 1/4, only 2 of 4 evaluated (0.5000 of those)"
    other = topk(SCORES.drop(index=["v0", "v2"]), TRUTH, 1)
    assert (other.evaluated, other.expected) == (found.evaluated, found.expected)
    assert other.missing_sha256 != found.missing_sha256


def test_videos_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="predictions for videos that were not asked for: v3"):
        topk(SCORES, TRUTH.drop(index="v3"), 1)


def test_videos_predicted_twice_are_refused() -> None:
    with pytest.raises(ValueError, match=r"predictions hold videos twice: v0$"):
        topk(pd.concat([SCORES, SCORES.iloc[:1]]), TRUTH, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        topk(scores_of([[value, 0.0]]), truth_of([0]), 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.permutations(range(4))), min_size=1, max_size=20))
def test_topk_is_the_share_of_ranks_below_k(cases: list[tuple[int, list[int]]]) -> None:
    scores, truth = scores_of([list(map(float, ranks)) for _, ranks in cases]), truth_of([t for t, _ in cases])
    ranks = [sum(value > row[target] for value in row) for target, row in cases]
    for k in (1, 2, 4):
        assert topk(scores, truth, k).correct == sum(rank < k for rank in ranks)


def test_confusion_counts_true_by_predicted() -> None:
    matrix = confusion(SCORES.drop(index="v1"), TRUTH, 3)
    assert matrix.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert np.trace(confusion(SCORES, TRUTH, 3)) == topk(SCORES, TRUTH, 1).correct


def test_per_class() -> None:
    table = per_class(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]), ("A", "B", "C"))
    assert table.to_dict("list") == {
        "class": ["A", "B", "C"],
        "videos": [4, 2, 0],
        "correct": [3, 2, 0],
        "recall": [0.75, 1.0, 0.0],
        "taken for": ["B", "", ""],
    }


def index_of(targets: list[int], names: str = "ABCD") -> Index:
    """An index of videos v0, v1, ... with these classes."""
    return make_index(
        {"video": f"v{i}", "label": names[target], "target": target, "subset": "test", "path": ""}
        for i, target in enumerate(targets)
    )


def predictions(items: list[str], outputs: list[list[float]], targets: list[int], **evaluation: object) -> Predictions:
    settings = Evaluation.model_validate(evaluation)
    return Predictions(items, np.array(outputs, np.float32), index_of(targets), settings, Classification())


def test_the_scores_of_a_test_set_are_top_1_and_top_5() -> None:
    found = predictions(["v1", "v0", "v1"], [[0, 3, 1], [5, 0, 0], [0, 0, 4]], [0, 1, 2])
    assert [score.metric for score in found.scores] == ["top1", "top5"]
    assert found.score == found.scores[0] == topk(pooled(found), found.index.truth, 1)
    assert (found.score.correct, found.score.evaluated, found.score.expected) == (1, 2, 3)
    assert found.score.metric == found.task.main
    assert found.scores[1].correct == 2  # a video without a prediction is a miss at any k


def test_clips_are_pooled_as_the_recipe_says() -> None:
    # Three weak votes for class 0 against one very sure of class 1.
    outputs = [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 9.0]]
    soft, plain = (
        predictions(["v0"] * 4, outputs, [0], pool=how).score.correct for how in ("softmax_mean", "logit_mean")
    )
    assert (soft, plain) == (1, 0)


def test_the_quirk_is_the_recipes() -> None:
    both = [predictions(["v0", "v1"], [[1, 0], [0, 1]], [0, 1], skip_last_video=skip).score for skip in (False, True)]
    assert [score.correct for score in both] == [2, 1]
    assert both[1].missing_sha256 == sha256_json(["v1"])


def test_winners_are_class_numbers() -> None:
    assert Classification().winners(np.array([[0.0, 2.0], [1.0, 1.0]])).tolist() == [1, 0]


def test_within_groups_only_the_groups_classes_count() -> None:
    # Classes 0 and 1 are each other's reversal, 2 and 3 likewise in the second case.
    outputs = [[1, 0, 9, 0], [5, 4, 0, 0], [0, 9, 1, 0], [0, 0, 0, 9]]
    found = predictions(["v0", "v1", "v2", "v3"], outputs, [0, 1, 2, 3])
    one = found.task.within_groups(found, [(0, 1)])
    assert (one.metric, one.correct, one.evaluated, one.expected) == (WITHIN_GROUPS, 1, 2, 2)
    two = found.task.within_groups(found, [(0, 1), (2, 3)])
    assert (two.correct, two.expected, two.value) == (3, 4, 0.75)
    assert found.task.within_groups(found, []).expected == 0


def test_within_groups_missing_videos_are_misses() -> None:
    found = Classification().within_groups(predictions(["v1"], [[0, 1, 0]], [0, 1, 2]), [(0, 1)])
    assert (found.correct, found.evaluated, found.expected) == (1, 1, 2)
    assert found.missing_sha256 == sha256_json(["v0"])


def test_a_recipe_names_its_task() -> None:
    assert isinstance(task_of(Section()), Classification)
    assert isinstance(task_of(DetectionSection(name="detection", boxes=2)), Detection)
