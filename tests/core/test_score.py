"""A score counts what is missing as a miss, and says so."""

from __future__ import annotations

import pytest

from actionbook.core.files import sha256_json
from actionbook.core.score import Score, metric_title


def test_what_has_no_prediction_is_a_miss() -> None:
    score = Score.of_share("top1", 2, ["c", "a"], ["a", "b", "c", "d"])
    assert (score.value, score.correct, score.evaluated, score.expected) == (0.5, 2, 2, 4)
    assert score.missing_sha256 == sha256_json(["b", "d"])
    assert not score.complete
    assert score.of_evaluated == 1.0
    assert str(score) == "top-1 0.5000 = 2/4, only 2 of 4 evaluated (1.0000 of those)"


def test_what_is_missing_is_named_in_alphabetical_order() -> None:
    names = [f"v{number}" for number in range(40)]
    for order in (names, names[::-1]):
        assert Score.of_share("top1", 0, [], order).missing_sha256 == sha256_json(sorted(names))


def test_of_what_was_evaluated_only_shares_tell() -> None:
    none = Score.of_share("top1", 0, [], ["a"])
    partial = Score(metric="mAP", value=0.25, evaluated=2, expected=3, missing_sha256="0" * 64)
    assert (none.of_evaluated, partial.of_evaluated) == (None, None)
    assert str(none) == "top-1 0.0000 = 0/1, only 0 of 1 evaluated"
    assert str(partial) == "mAP 0.2500, only 2 of 3 evaluated"


def test_of_a_whole_set_nothing_is_missing() -> None:
    score = Score.of_share("top5", 3069, map(str, range(3783)), map(str, range(3783)))
    assert score.complete
    assert score.missing_sha256 is None
    assert score.figures(5) == "0.81126 = 3069/3783"
    assert str(score) == "top-5 0.8113 = 3069/3783"


def test_of_nothing_the_share_is_none() -> None:
    assert Score.of_share("top1", 0, [], []).value == 0.0


def test_a_metric_that_is_no_share_has_no_counts() -> None:
    score = Score(metric="mAP", value=0.25, evaluated=3, expected=3, parts={"walk": 0.5, "stand": 0.0})
    assert score.figures() == "0.2500"
    assert str(score) == "mAP 0.2500"
    assert [metric_title(metric) for metric in ("top1", "top10", "mAP")] == ["top-1", "top-10", "mAP"]


@pytest.mark.parametrize("correct", [3, -1])
def test_counts_that_cannot_be_are_refused(correct: int) -> None:
    with pytest.raises(ValueError, match="correct"):
        Score.of_share("top1", correct, ["a", "b"], ["a", "b", "c"])
