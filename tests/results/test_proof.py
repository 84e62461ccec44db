"""Every rung in every state, from made-up records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actionbook.core.record import Record
from actionbook.core.stage_results import AccuracyResults, ConversionResults
from actionbook.results.compare import comparisons
from actionbook.results.proof import LADDER, Rung, ladder_of, rung_table

MakeRecord = Callable[..., Record]


def states(rungs: tuple[Rung, ...]) -> list[str]:
    return [rung.state for rung in rungs]


def test_without_records_nothing_is_shown() -> None:
    rungs = ladder_of("efficient3d", [])
    assert [(r.rung, r.name) for r in rungs] == [(number, name) for number, (name, *_) in enumerate(LADDER, start=1)]
    assert states(rungs) == ["not run here"] * 5
    assert {rung.date for rung in rungs} == {None}


def test_a_complete_miniature_climbs_four_rungs(make_record: MakeRecord) -> None:
    rungs = ladder_of("efficient3d", [make_record(day=7)])
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
        (4, "formats", [{"format": "MINDIR", "passed": False, "reason": "logits differ"}], "MINDIR: logits differ"),
    ],
)
def test_a_claim_that_does_not_hold_fails_its_rung_only(
    make_record: MakeRecord, rung: int, stage: str, results: Any, evidence: str
) -> None:
    rungs = ladder_of("efficient3d", [make_record("other"), make_record(**{stage: results})])
    assert rungs[rung - 1].state == "failed"
    assert evidence in rungs[rung - 1].evidence
    assert states(rungs).count("failed") == 1


def test_a_format_that_is_not_required_fails_nothing_and_is_named(make_record: MakeRecord) -> None:
    spoilt = {"format": "ONNX-int8", "required": False, "passed": False, "reason": "loses 3 points"}
    converted = ladder_of("efficient3d", [make_record(formats=[{}, spoilt])])[3]
    assert converted.state == "shown"
    assert "ONNX-int8: loses 3 points" in converted.evidence
    assert "ONNX on 12 clips" in converted.evidence
    assert "ONNX-int8 on" not in converted.evidence


def test_of_several_streams_all_count_and_all_together_are_shown(two_streams: MakeRecord) -> None:
    converted = ladder_of("i3d", [two_streams()])[3]
    assert converted.state == "shown"
    assert "joint ONNX on 12 clips, relative difference 5.0e-07, top-1 agreement 100 %" in converted.evidence
    assert converted.evidence.count("OM") == 1
    conversion = two_streams().results(ConversionResults)
    assert conversion
    spoilt = conversion.model_dump(mode="json")["streams"]
    spoilt["flow"]["formats"][0] |= {"passed": False, "reason": "logits differ"}
    converted = ladder_of("i3d", [two_streams(stage_04={"streams": spoilt})])[3]
    assert converted.state == "failed"
    assert "1 of 2 formats fail: flow ONNX: logits differ" in converted.evidence


def test_each_stream_is_compared_with_its_own_figures(two_streams: MakeRecord) -> None:
    aims = {"rgb": ["i3d.port.hmdb51.rgb"], "joint": ["i3d.port.hmdb51.joint"]}
    scores = two_streams().results(AccuracyResults)
    assert scores
    real = {"manifest": "hmdb51", "generated": False}
    record = two_streams(dataset=real, stage_05={**scores.model_dump(), "published": aims})
    found = [(item.figure_id, item.row.stream, item.protocol) for item in comparisons(record)]
    assert found == [(key, stream, f"protocol of {stream}") for stream, (key,) in aims.items()]


@pytest.mark.parametrize(
    ("stage", "results", "rung"),
    [
        ("stage_02", {"specified": []}, 1),
        ("stage_02", {"equivalent": []}, 2),
        ("stage_03", {"learns": []}, 3),
        ("stage_04", {"streams": {}}, 4),
    ],
)
def test_a_stage_that_compared_nothing_shows_nothing(
    make_record: MakeRecord, stage: str, results: dict[str, Any], rung: int
) -> None:
    rungs = ladder_of("efficient3d", [make_record(**{stage: results})])
    assert rungs[rung - 1].state == "not run here"


@pytest.mark.parametrize("stage", ["01", "02", "03", "04", "05"])
def test_missing_stages_are_not_run(make_record: MakeRecord, stage: str) -> None:
    rungs = ladder_of("efficient3d", [make_record(**{f"stage_{stage}": None})])
    expected = {"02": [1, 2], "03": [3], "04": [4]}.get(stage, [])
    assert [rung.rung for rung in rungs if rung.state == "not run here"] == [*expected, 5]


def test_the_published_accuracy_on_all_videos_reproduces_it(real_run: MakeRecord, make_record: MakeRecord) -> None:
    rungs = ladder_of("efficient3d", [make_record(day=9), real_run(3069)])
    assert rungs[4].state == "shown"
    assert "0.81126 = 3069/3783 of 3,783; published 0.81126 = 3069/3783" in rungs[4].evidence
    assert "+0.00 points, tolerance 1.25" in rungs[4].evidence
    assert rungs[4].date == "2026-01-01"


@pytest.mark.parametrize(
    ("correct", "state"),
    # 1.96 sqrt(0.81126 * 0.18874 / 3783) and half of a digit are 0.012475: 47.19 videos to either side.
    [(3022, "shown"), (3021, "failed"), (3116, "shown"), (3117, "failed")],
)
def test_a_reproduction_lies_within_what_chance_brings(real_run: MakeRecord, correct: int, state: str) -> None:
    assert ladder_of("efficient3d", [real_run(correct)])[4].state == state


def test_a_partial_copy_is_no_reproduction(real_run: MakeRecord, make_record: MakeRecord) -> None:
    rung = ladder_of("efficient3d", [real_run(3069, evaluated=3782), make_record(day=20)])[4]
    assert rung.state == "not run here"
    assert "3782 of 3783" in rung.evidence


def test_other_numbers_of_videos_are_no_reproduction(real_run: MakeRecord) -> None:
    assert ladder_of("efficient3d", [real_run(3068, 3776, 3776)])[4].state == "failed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": {"generated": True}}, "miniature only"),
        ({"stage_01": None}, "not known"),
        ({"dataset": {"split": 2}}, "aims at no published"),
        ({"dataset": {"manifest": "hmdb51"}}, "aims at no published"),
    ],
)
def test_figures_of_other_data_are_never_compared(real_run: MakeRecord, changes: dict[str, Any], reason: str) -> None:
    record = real_run(3069, **changes)
    assert comparisons(record) == ()
    rung = ladder_of("efficient3d", [record])[4]
    assert rung.state == "not run here"
    assert reason in rung.evidence


def test_the_quirk_is_compared_with_the_quirk(real_run: MakeRecord) -> None:
    top1, top5 = comparisons(real_run(3069))
    assert (top1.score.correct, top1.score.evaluated, top1.evaluated) == (3069, 3782, 3783)
    assert (top5.score.correct, top5.status) == (3643, "reproduced")


def test_table_has_a_row_for_each_rung(make_record: MakeRecord) -> None:
    found = rung_table(ladder_of("efficient3d", [make_record()]))
    assert list(found["rung"]) == [1, 2, 3, 4, 5]
    assert list(found) == ["rung", "name", "state", "evidence", "where", "date"]
