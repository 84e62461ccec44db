"""Every rung in every state, from made-up records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actionbook.results.compare import comparisons
from actionbook.results.ladder import NAMES, Rung, ladder, table
from actionbook.results.records import Record

MakeRecord = Callable[..., Record]


def states(rungs: tuple[Rung, ...]) -> list[str]:
    return [rung.state for rung in rungs]


def test_without_records_nothing_is_shown() -> None:
    rungs = ladder("efficient3d", [])
    assert [(r.rung, r.name) for r in rungs] == list(enumerate(NAMES, start=1))
    assert states(rungs) == ["not run here"] * 5
    assert {rung.date for rung in rungs} == {None}


def test_a_complete_miniature_climbs_four_rungs(make_record: MakeRecord) -> None:
    rungs = ladder("efficient3d", [make_record(day=7)])
    assert states(rungs) == ["shown"] * 4 + ["not run here"]
    specified, equivalent, learns, converted, reproduced = (rung.evidence for rung in rungs)
    assert "2,483,429" in specified
    assert "2 networks" in equivalent
    assert "2.1e-06 (net 1.0), tolerance 1.0e-04" in equivalent
    assert "85.0 % against 50.0 %" in learns
    assert "12 clips" in converted
    assert "Not run here: OM" in converted
    assert "miniature only" in reproduced
    assert {rung.date for rung in rungs} == {"2026-01-07"}
    assert rungs[3].where == "notebooks/efficient3d/04_conversion.ipynb, tests/conversion"


@pytest.mark.parametrize(
    ("rung", "stage", "results", "evidence"),
    [
        (1, "stage_02", {"specified": [{"what": "MACs", "found": 5, "expected": 1234}]}, "MACs: 5, expected 1,234"),
        (
            2,
            "stage_02",
            {"equivalent": [{"network": "n", "relative_difference": 0.2, "tolerance": 0.1}]},
            "2.0e-01 (n)",
        ),
        (
            2,
            "stage_02",
            {"equivalent": [{"network": "n", "relative_difference": float("nan"), "tolerance": 0.1}]},
            "not finite",
        ),
        (
            3,
            "stage_03",
            {"learns": [{"claim": "a", "holds": True, "shown": "x"}, {"claim": "b", "holds": False, "shown": "y"}]},
            "b (y)",
        ),
        (
            4,
            "stage_04",
            {"ladder": [{"format": "MINDIR", "passed": False, "reason": "logits differ"}]},
            "MINDIR: logits differ",
        ),
    ],
)
def test_a_claim_that_does_not_hold_fails_its_rung_only(
    make_record: MakeRecord, rung: int, stage: str, results: dict[str, Any], evidence: str
) -> None:
    rungs = ladder("efficient3d", [make_record("other"), make_record(**{stage: results})])
    assert rungs[rung - 1].state == "failed"
    assert evidence in rungs[rung - 1].evidence
    assert states(rungs).count("failed") == 1


@pytest.mark.parametrize(
    ("stage", "key", "rung"),
    [("stage_02", "specified", 1), ("stage_02", "equivalent", 2), ("stage_03", "learns", 3), ("stage_04", "ladder", 4)],
)
def test_a_stage_that_compared_nothing_shows_nothing(make_record: MakeRecord, stage: str, key: str, rung: int) -> None:
    rungs = ladder("efficient3d", [make_record(**{stage: {key: []}})])
    assert rungs[rung - 1].state == "not run here"


@pytest.mark.parametrize("stage", ["01", "02", "03", "04", "05"])
def test_missing_stages_are_not_run(make_record: MakeRecord, stage: str) -> None:
    rungs = ladder("efficient3d", [make_record(**{f"stage_{stage}": None})])
    expected = {"02": [1, 2], "03": [3], "04": [4]}.get(stage, [])
    assert [rung.rung for rung in rungs if rung.state == "not run here"] == [*expected, 5]


def test_the_published_accuracy_on_all_videos_reproduces_it(real_run: MakeRecord, make_record: MakeRecord) -> None:
    rungs = ladder("efficient3d", [make_record(day=9), real_run(3069)])
    assert rungs[4].state == "shown"
    assert "0.81126 = 3069/3783; published 0.81126 = 3069/3783" in rungs[4].evidence
    assert rungs[4].date == "2026-01-01"


@pytest.mark.parametrize(
    ("correct", "state"),
    [(3032, "shown"), (3031, "failed"), (3500, "shown")],  # 3031.3 / 3783 is one point below 0.81126
)
def test_a_reproduction_may_lie_one_point_below(real_run: MakeRecord, correct: int, state: str) -> None:
    assert ladder("efficient3d", [real_run(correct)])[4].state == state


def test_a_partial_copy_is_no_reproduction(real_run: MakeRecord, make_record: MakeRecord) -> None:
    rung = ladder("efficient3d", [real_run(3069, evaluated=3782), make_record(day=20)])[4]
    assert rung.state == "not run here"
    assert "3782 of 3783" in rung.evidence


def test_other_numbers_of_videos_are_no_reproduction(real_run: MakeRecord) -> None:
    assert ladder("efficient3d", [real_run(3068, 3776, 3776)])[4].state == "failed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stage_01": {"manifest": "ucf101", "generated": True}}, "miniature only"),
        ({"stage_01": None}, "not known"),
        ({"stage_01": {"manifest": "ucf101", "generated": False, "split": 2}}, "aims at no published"),
        ({"stage_01": {"manifest": "hmdb51", "generated": False}}, "aims at no published"),
    ],
)
def test_figures_of_other_data_are_never_compared(real_run: MakeRecord, changes: dict[str, Any], reason: str) -> None:
    record = real_run(3069, **changes)
    assert comparisons(record) == ()
    rung = ladder("efficient3d", [record])[4]
    assert rung.state == "not run here"
    assert reason in rung.evidence


def test_the_quirk_is_compared_with_the_quirk(real_run: MakeRecord) -> None:
    top1, top5 = comparisons(real_run(3069))
    assert (top1.accuracy["correct"], top1.accuracy["evaluated"], top1.evaluated) == (3069, 3782, 3783)
    assert (top5.accuracy["correct"], top5.status) == (3643, "reproduced")


def test_table_has_a_row_for_each_rung(make_record: MakeRecord) -> None:
    found = table(ladder("efficient3d", [make_record()]))
    assert list(found["rung"]) == [1, 2, 3, 4, 5]
    assert {"name", "claim", "state", "evidence", "where", "date"} <= set(found.columns)
