"""Runs that were handed in: their page, their rows on the scoreboard, the fifth rung."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actionbook.core.errors import BookError
from actionbook.core.record import Record, read_record
from actionbook.results.compare import comparisons, tolerance
from actionbook.results.evidence import accepted, evidence_page, report
from actionbook.results.proof import ladder_of
from actionbook.results.published import figure
from actionbook.results.scoreboard import scoreboard

MakeRecord = Callable[..., Record]
HandIn = Callable[..., Path]
RE, NOT_RE = ("reproduced", "reproduced"), ("not reproduced", "reproduced")


def test_a_reproduction_stands_on_the_scoreboard_with_who_when_and_by_how_much(
    real_run: MakeRecord, hand_in: HandIn, tmp_path: Path
) -> None:
    record = read_record(hand_in(real_run(3050), "a_card", tmp_path / "book", "Ada L.", RE))
    text = scoreboard("efficient3d", [record])
    assert (
        "| 0.80624 = 3050/3783 (OM, note 2) | 3,783 / 3,783 "
        "| [\\[Re\\] reproduced: -0.50 points, tolerance 1.25](evidence-efficient3d-a-card) |"
    ) in text
    assert "Handed in by Ada L., packed on 2026-01-03, recipe ucf101: ucf101 split 1." in text


def test_several_runs_of_one_figure_give_a_spread(real_run: MakeRecord, hand_in: HandIn, tmp_path: Path) -> None:
    folders = [hand_in(real_run(count), f"n{count}", tmp_path / "book", "", RE) for count in (3050, 3069, 3088)]
    text = scoreboard("efficient3d", list(map(read_record, folders)))
    assert "| 81.1% ± 0.5 (OM) | – | mean ± spread of 3 runs |" in text


def test_a_run_that_failed_stands_beside_one_that_did_not(
    real_run: MakeRecord, hand_in: HandIn, tmp_path: Path
) -> None:
    good = hand_in(real_run(3069), "good", tmp_path / "book", "", RE)
    bad = hand_in(real_run(2900), "bad", tmp_path / "book", "", NOT_RE)
    text = scoreboard("efficient3d", [read_record(good), read_record(bad)])
    assert "[\\[Re\\] reproduced: +0.00 points, tolerance 1.25](evidence-efficient3d-good)" in text
    assert "[\\[¬Re\\] not reproduced: -4.47 points, tolerance 1.25](evidence-efficient3d-bad)" in text
    page = evidence_page(accepted(tmp_path / "book"))
    assert page.index("## [¬Re] The recipe ucf101") < page.index("## [Re] The recipe ucf101")


def test_the_fifth_rung_says_who_and_leads_to_the_check(real_run: MakeRecord, hand_in: HandIn, tmp_path: Path) -> None:
    record = read_record(hand_in(real_run(3050), "card", tmp_path / "book", "Ada L.", RE))
    rung = ladder_of("efficient3d", [record])[4]
    assert rung.state == "shown"
    assert "ucf101, OM, handed in by Ada L.: top1 0.80624 = 3050/3783 of 3,783" in rung.evidence
    assert "-0.50 points, tolerance 1.25" in rung.evidence
    assert rung.where.endswith(", book/evidence.md")


def test_what_the_check_found_not_to_compare_is_not_compared(
    real_run: MakeRecord, hand_in: HandIn, tmp_path: Path
) -> None:
    folder = hand_in(real_run(3069), "card", tmp_path / "book", "", ("not comparable", "reproduced"))
    record = read_record(folder)
    assert [item.figure_id for item in comparisons(record)] == ["efficient3d.port.top5"]


def test_the_page_shows_an_example_as_no_reproduction(make_record: MakeRecord, hand_in: HandIn, tmp_path: Path) -> None:
    hand_in(make_record(), "example", tmp_path / "book")
    page = evidence_page(accepted(tmp_path / "book"))
    assert "(evidence-efficient3d-example)=\n## Example, no reproduction: The recipe mini" in page
    assert "handed in by somebody who is not named, packed on 2026-01-03" in page
    assert "One \\*card\\*." in page
    assert "| scores | **proven** | 3 \\| scores |" in page
    assert "nothing was published" in page


@pytest.mark.parametrize(
    ("key", "items", "points"),
    [
        ("efficient3d.port.top1", 3783, 1.2475),
        ("stnet.port.kinetics400", 19906, 0.6466),
        ("slowfast.port.ava22", 0, 100),
    ],
)
def test_tolerances_in_points(key: str, items: int, points: float) -> None:
    """1.96 sqrt(p (1 - p) / N) and half of the last digit: of a fraction 5e-6, of percent 5e-5."""
    aim = figure(key)
    digit = 5e-6 if aim.unit == "fraction" else 5e-5
    by_hand = 1.96 * (aim.share * (1 - aim.share) / max(items, 1)) ** 0.5 + digit
    assert tolerance(aim, items) == pytest.approx(by_hand)
    assert items == 0 or 100 * tolerance(aim, items) == pytest.approx(points, abs=1e-3)


def test_nothing_handed_in_is_said(tmp_path: Path) -> None:
    assert "Nobody has handed in a run yet." in evidence_page(accepted(tmp_path))


def test_a_pack_without_a_check_is_an_error(real_run: MakeRecord, hand_in: HandIn, tmp_path: Path) -> None:
    folder = hand_in(real_run(3069), "card", tmp_path / "book")
    (folder / "check.json").unlink()
    with pytest.raises(BookError, match=r"has no check\.json; put packs here with"):
        accepted(tmp_path / "book")


def test_a_report_says_that_a_pack_is_refuted(make_record: MakeRecord, hand_in: HandIn, tmp_path: Path) -> None:
    hand_in(make_record(), "example", tmp_path / "book")
    (one,) = accepted(tmp_path / "book")
    wrong = one.check.findings[0].model_copy(update={"state": "refuted"})
    refuted = one.check.model_copy(update={"findings": (wrong,)})
    assert report(refuted).startswith("**Refuted** efficient3d/mini")
    assert not refuted.holds
    assert report(one.check).startswith("**not comparable** efficient3d/mini")
