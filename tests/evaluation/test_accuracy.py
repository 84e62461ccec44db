"""Accuracies that count every video that was asked for, and say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.datasets.index import missing_sha256
from actionbook.evaluation.accuracy import Accuracy, confusion, per_class, protocol, topk_accuracy

MINI = NOTEBOOKS / "efficient3d" / "recipes" / "mini.yaml"


def truth_of(targets: list[int]) -> pd.Series:
    return pd.Series(targets, index=[f"v{i}" for i in range(len(targets))])


def scores_of(rows: list[list[float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, index=[f"v{i}" for i in range(len(rows))])


SCORES = scores_of([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])
TRUTH = truth_of([0, 2, 1, 0])


@pytest.mark.parametrize(("k", "correct"), [(1, 2), (2, 3), (3, 4), (5, 4)])
def test_topk(k: int, correct: int) -> None:
    found = topk_accuracy(SCORES, TRUTH, k)
    assert found == Accuracy(k, correct, 4, 4, None)
    assert found.value == correct / 4
    assert found.complete
    assert str(found) == f"top-{k} {correct / 4:.4f} = {correct}/4"


def test_the_order_of_predictions_makes_no_difference() -> None:
    assert topk_accuracy(SCORES.iloc[::-1], TRUTH, 1) == topk_accuracy(SCORES, TRUTH, 1)


def test_ties_go_to_the_lower_class() -> None:
    scores = scores_of([[0.5, 0.5, 0.5]] * 3)
    for k, correct in ((1, 1), (2, 2), (3, 3)):
        assert topk_accuracy(scores, truth_of([0, 1, 2]), k).correct == correct


def test_ties_among_many_classes_too() -> None:
    scores = scores_of([[0.5] * 101] * 6)
    assert topk_accuracy(scores, truth_of([0, 1, 4, 5, 50, 100]), 5).correct == 3


def test_the_originals_quirk_loses_the_last_video() -> None:
    scores = scores_of(np.eye(2)[np.arange(3_783) % 2].tolist())
    truth = truth_of((np.arange(3_783) % 2).tolist())
    assert topk_accuracy(scores, truth, 1).value == 1
    quirk = topk_accuracy(scores, truth, 1, skip_last_video=True)
    assert (quirk.correct, quirk.evaluated, quirk.expected) == (3_782, 3_782, 3_783)
    assert round(quirk.value, 6) == 0.999736
    assert quirk.missing_sha256 == missing_sha256(["v3782"])


def test_the_quirk_loses_the_last_video_of_the_truth_whatever_the_order_of_predictions() -> None:
    found = topk_accuracy(SCORES.iloc[::-1], TRUTH, 3, skip_last_video=True)
    assert found == Accuracy(3, 3, 3, 4, missing_sha256(["v3"]))
    without = topk_accuracy(SCORES.drop(index="v3"), TRUTH, 3, skip_last_video=True)
    assert without == found


def test_missing_videos_are_misses() -> None:
    found = topk_accuracy(SCORES.drop(index=["v0", "v3"]), TRUTH, 1)
    assert found == Accuracy(1, 1, 2, 4, missing_sha256(["v0", "v3"]))
    assert found.value == 0.25
    assert not found.complete
    assert str(found) == "top-1 0.2500 = 1/4, only 2 of 4 videos evaluated"
    other = topk_accuracy(SCORES.drop(index=["v0", "v2"]), TRUTH, 1)
    assert (other.evaluated, other.expected) == (found.evaluated, found.expected)
    assert other.missing_sha256 != found.missing_sha256


def test_videos_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="predictions for videos that were not asked for: v3"):
        topk_accuracy(SCORES, TRUTH.drop(index="v3"), 1)


def test_videos_predicted_twice_are_refused() -> None:
    with pytest.raises(ValueError, match=r"predictions hold videos twice: v0$"):
        topk_accuracy(pd.concat([SCORES, SCORES.iloc[:1]]), TRUTH, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        topk_accuracy(scores_of([[value, 0.0]]), truth_of([0]), 1)


def test_as_plain_data() -> None:
    found = topk_accuracy(SCORES.iloc[:2], TRUTH.iloc[:3], 1).as_dict()
    assert found == {
        "k": 1,
        "correct": 2,
        "evaluated": 2,
        "expected": 3,
        "missing_sha256": missing_sha256(["v2"]),
        "value": 0.666667,
    }


@given(st.lists(st.tuples(st.integers(0, 3), st.permutations(range(4))), min_size=1, max_size=20))
def test_topk_is_the_share_of_ranks_below_k(cases: list[tuple[int, list[int]]]) -> None:
    scores, truth = scores_of([list(map(float, ranks)) for _, ranks in cases]), truth_of([t for t, _ in cases])
    ranks = [sum(value > row[target] for value in row) for target, row in cases]
    for k in (1, 2, 4):
        assert topk_accuracy(scores, truth, k).correct == sum(rank < k for rank in ranks)


def test_confusion_counts_true_by_predicted() -> None:
    matrix = confusion(SCORES.drop(index="v1"), TRUTH, 3)
    assert matrix.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert np.trace(confusion(SCORES, TRUTH, 3)) == topk_accuracy(SCORES, TRUTH, 1).correct


def test_per_class() -> None:
    table = per_class(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]), ("A", "B", "C"))
    assert table.to_dict("list") == {
        "class": ["A", "B", "C"],
        "videos": [4, 2, 0],
        "correct": [3, 2, 0],
        "recall": [0.75, 1.0, 0.0],
        "taken for": ["B", "", ""],
    }


def test_protocol_says_how_a_number_was_measured() -> None:
    changes = {
        "data": {"manifest": "ucf101", "split": 2},
        "clips": {"frames": 16, "stride": 1, "window": 16, "size": 112},
        "evaluation": {"pool": "softmax_mean", "skip_last_video": False},
    }
    expected = (
        "ucf101 split 2, video level, clips of 16 frames (stride 1) at every 16-frame window, 1 centre crop, "
        "short side 112, crop 112, mean of softmax"
    )
    assert protocol(Recipe.load(MINI, changes)) == expected
    assert protocol(Recipe.load(MINI, changes), split=3) == expected.replace("split 2", "split 3")
    changes["evaluation"] = {"pool": "logit_mean", "skip_last_video": True}
    quirk = protocol(Recipe.load(MINI, changes))
    assert quirk == expected.replace("mean of softmax", "mean of logits, last video not scored")


def test_protocol_names_flow_the_centre_and_another_length() -> None:
    changes: dict[str, Any] = {
        "data": {"manifest": "ucf101"},
        "clips": {"modality": "flow", "mean": [0.0, 0.0], "std": [1.0, 1.0], "frames": 64, "stride": 1, "size": 224},
        "evaluation": {"clips": "centre", "pool": "logit_mean"},
    }
    changes["clips"]["short_side"] = 256
    centre = "ucf101 split 1, video level, optical flow, 1 clip of the middle 64 frames (stride 1), 1 centre crop, "
    scaled = "short side 256, crop 224, mean of logits"
    assert protocol(Recipe.load(MINI, changes)) == centre + scaled
    changes["evaluation"]["frames"] = 250
    assert protocol(Recipe.load(MINI, changes)) == centre.replace("64", "250") + scaled
    changes["evaluation"] |= {"clips": "windows", "frames": 80}
    changes["clips"]["window"] = 100
    windows = "clips of 80 frames (stride 1) at every 100-frame window, 1 centre crop"
    assert windows in protocol(Recipe.load(MINI, changes))
