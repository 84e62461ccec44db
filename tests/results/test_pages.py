"""The pages of results, with and without records."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from actionbook.core.chapters import Chapter, chapters
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.record import Record
from actionbook.results import pages
from actionbook.results.markdown import cell, escape, table
from actionbook.results.pages import main, recipes_table, scoreboard_page, status_page

MakeRecord = Callable[..., Record]


def check_markdown(text: str) -> None:
    """Tables are rectangular, fences are closed, and nothing is shown that a program would print for nothing."""
    assert re.findall(r"\b(?:None|nan|NaN|inf|True|False)\b", text) == []
    assert text.count("::::") % 2 == 0
    width = None
    for line in text.splitlines():
        columns = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        assert width is None or columns in (None, width), line
        width = columns


def section(text: str, title: str) -> str:
    return text.split(f"### {title}\n", 1)[1].split("\n### ", 1)[0].split("::::", 1)[0]


def test_pages_without_any_record() -> None:
    scoreboard, status = scoreboard_page([]), status_page([])
    check_markdown(scoreboard)
    check_markdown(status)
    beside = section(scoreboard, "Published and ours")
    assert beside.count("not run here") == 5
    assert "0.81126 = 3069/3783" in beside
    assert "miniature" not in scoreboard
    assert status.count("**not run here**") == 5 * len(chapters())


def test_pages_with_every_kind_of_record(make_record: MakeRecord, real_run: MakeRecord) -> None:
    records = [make_record(), make_record("half", stage_04=None, stage_05=None), real_run(3069)]
    records.append(make_record("x_y", chapter="new_one", stage_01=None))
    for text in (scoreboard_page(records), status_page(records)):
        check_markdown(text)
        assert "new\\_one" in text


def test_miniature_stands_apart_from_the_published_figures(make_record: MakeRecord) -> None:
    text = scoreboard_page([make_record()])
    assert "0.9000 = 36/40" not in section(text, "Published and ours")
    mini = section(text, "On the miniature")
    assert "0.9000 = 36/40" in mini
    assert "must not be compared" in mini
    assert "| clip | 2 | 85.0% ± 7.1 | 40 / 40 | 85.0% ± 7.1 |" in mini
    assert "| frame | 1 | 50.0% | 40 / 40 | – |" in mini
    assert "3783" not in mini


@pytest.mark.parametrize(
    ("correct", "evaluated", "also", "status"),
    [
        (3069, 3783, "", "\\[Re\\] reproduced: +0.00 points, tolerance 1.25"),
        (3069, 3700, " (0.82946 of those)", "partial"),  # the result is of all, a video that is missing a miss
        (2900, 3783, "", "\\[¬Re\\] not reproduced: -4.47 points, tolerance 1.25"),
    ],
)
def test_real_runs_stand_beside_what_they_aim_at(
    real_run: MakeRecord, correct: int, evaluated: int, also: str, status: str
) -> None:
    beside = section(scoreboard_page([real_run(correct, evaluated)]), "Published and ours")
    (row,) = (line for line in beside.splitlines() if "0.81126 = 3069/3783" in line and "OM" in line)
    assert f"= {correct}/3783 (OM, note 2) | {evaluated:,} / 3,783{also} |" in row
    assert row.endswith(f"| {status} |")
    assert "\n2. This book, recipe ucf101: ucf101 split 1. A Processor\\|v2, MindSpore 2.10.0" in beside


def test_streams_of_a_recipe_have_rows_of_their_own(two_streams: MakeRecord) -> None:
    mini = section(scoreboard_page([two_streams()]), "On the miniature")
    streams = (("both, rgb", 36, "rgb"), ("both, flow", 30, "flow"), ("both", 38, "joint"))
    for note, (label, right, name) in enumerate(streams, start=1):
        assert f"| {label} | ONNX | {right / 40:.4f} = {right}/40 | 40 / 40 | {note} |" in mini
        assert f"\n{note}. protocol of {name}. A Processor" in mini
    assert "| both, flow | clip | 2 | 85.0% ± 7.1 | 40 / 40 |" in mini
    assert "| both | joint | 1 | 95.0% | 40 / 40 |" in mini
    assert "| both, flow | ONNX Runtime | 8 | 123 | 99.5 to 130 |" in mini
    status = status_page([two_streams()])
    assert status.count("### Recipe both\n") == 1


def test_scores_of_another_task_get_columns_of_their_own(make_record: MakeRecord) -> None:
    parts = {"stand": 0.5, "walk": 0.25}
    score = {"metric": "mAP", "value": 0.375, "evaluated": 40, "expected": 40, "parts": parts}
    scores = {"scores": [{"stream": "rgb", "format": "ONNX", "scores": [score]}], "protocols": {"rgb": "boxes"}}
    mini = section(scoreboard_page([make_record(stage_05=scores)]), "On the miniature")
    assert "| Recipe | Engine | mAP | N evaluated / expected | Note |" in mini
    assert "| mini | ONNX | 0.3750 | 40 / 40 | 1 |" in mini
    assert "\n1. boxes. " in mini


def test_status_tells_when_where_and_with_what(make_record: MakeRecord) -> None:
    text = status_page([make_record(day=5)])
    assert "| 03_training | 2026-01-05 10:00 UTC | 12 | CPU | `abababababab` |" in text
    assert "- Stages 01, 02, 03, 04, 05: A Processor\\|v2; Python 3.11.9, MindSpore 2.10.0, NumPy 1.26.4" in text
    assert "CANN none" in text


def test_a_chapter_of_the_contents_stands_on_the_status_page_before_it_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "chapters", lambda: [*chapters(), Chapter("another", "Another", (), ())])
    assert "## Another\n" in status_page([])


def test_command_writes_both_pages_the_same_each_time(tmp_path: Path, make_record: MakeRecord) -> None:
    make_record()
    arguments = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    main(arguments)
    first = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    main(arguments)
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == first
    assert set(first) == {
        "scoreboard.md", "status.md", "ascend_codes.md", "ascend_opsets.md", "ascend_operators.md",
        "hero.md", "measured.md", "cards.md", "citation.md", "evidence.md", "recipes.md",
        "needs_disk.md", "needs_training.md",
        *(f"papers_{what}.md" for what in ("ideas", "networks", "cost", "accuracy", "needs", "miniature", "ladder")),
        *(f"{chapter.name}_{what}.md" for chapter in chapters() for what in ("film", "notebooks")),
    }  # fmt: skip
    assert "The recipe mini" in first["status.md"]


def test_every_recipe_says_what_it_needs() -> None:
    rows = [line.split(" | ") for line in recipes_table(chapters()).splitlines()[2:]]
    assert len(rows) == len(list(NOTEBOOKS.glob("*/recipes/*.yaml")))
    needs = {(row[0].removeprefix("| "), row[1]): row[3].removesuffix(" |") for row in rows}
    assert needs["SlowFast", "`mini`"] == "nothing: it is drawn"
    assert needs["SlowFast", "`ava22`"] == "AVA 2.2, `SLOWFAST_8x8_R50.pkl`"
    assert needs["I3D", "`ucf101`"] == "UCF101, `rgb_imagenet.pt`, `flow_imagenet.pt`"


def test_a_damaged_record_ends_the_command_with_its_name(tmp_path: Path, make_record: MakeRecord) -> None:
    make_record()
    (tmp_path / "work" / "efficient3d" / "mini" / "record" / "01_data.json").write_text("{")
    with pytest.raises(SystemExit, match=r"mini/record/01_data\.json"):
        main(["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (1234567, "1,234,567"),
        (0.5, "0.5"),
        (float("nan"), "not finite"),
        ("a|b\nc", "a\\|b c"),
        (" 1\N{NO-BREAK SPACE}a  b\t", "1\N{NO-BREAK SPACE}a b"),
        (escape("a|b"), "a\\|b"),
        (True, "yes"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text


def test_table_and_escaping() -> None:
    assert table(["a", "b"], [[1, "x_y"]], right=[0]) == "| a | b |\n| ---: | --- |\n| 1 | x_y |\n"
    assert escape("v_YoYo [x] {y} $1") == "v\\_YoYo \\[x\\] \\{y\\} \\$1"
