"""The scoreboard of records of several tasks."""

from __future__ import annotations

from collections.abc import Callable

from actionbook.core.record import Record
from actionbook.core.stage_results import TrainingResults
from actionbook.results.scoreboard import scoreboard

MakeRecord = Callable[..., Record]


def test_trainings_of_another_task_get_columns_of_their_own(make_record: MakeRecord) -> None:
    score = {"metric": "mAP", "value": 0.375, "evaluated": 40, "expected": 40}
    mini = make_record()
    (run, *_) = mini.results(TrainingResults).model_dump(mode="json")["runs"]
    boxes = make_record("boxes", chapter="slow", stage_03={"runs": [{**run, "score": score, "further": []}]})
    alone = scoreboard("slow", [boxes])
    assert "| Recipe | Training | Seeds | mAP, mean ± spread | N evaluated / expected |\n" in alone
    assert "| boxes | clip | 1 | 37.5% | 40 / 40 |\n" in alone
    text = scoreboard("slow", [mini, boxes])
    top, pairs = "Top-1, mean ± spread", "Top-1 on reversed pairs"
    assert f"| Recipe | Training | Seeds | {top} | mAP, mean ± spread | N evaluated / expected | {pairs} |\n" in text
    assert "| mini | clip | 2 | 85.0% ± 7.1 | – | 40 / 40 | 85.0% ± 7.1 |" in text
    assert "| boxes | clip | 1 | – | 37.5% | 40 / 40 | – |" in text
