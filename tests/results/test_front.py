"""The first screens: what moves on them, what was measured, and cards of chapters."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import numpy as np
import pytest

from actionbook.core.chapters import Chapter, chapters
from actionbook.core.record import Record
from actionbook.results import front
from actionbook.results.style import colour

MakeRecord = Callable[..., Record]
BOOK = {chapter.name: chapter for chapter in chapters()}


def pictures(markdown: str) -> list[bytes]:
    sources = re.findall(r'<img [^>]*src="data:image/webp;base64,([^"]*)"', markdown)
    return [base64.b64decode(source) for source in sources]


def test_both_films_of_the_first_screen_move() -> None:
    moving = pictures(front.hero())
    assert len(moving) == 2
    assert all(b"ANIM" in one[:64] for one in moving)
    assert moving[0] != moving[1]


def test_a_chapter_shows_what_its_streams_look_at() -> None:
    (_, one), (_, other) = front.films(BOOK["efficient3d"])
    assert one.dtype == other.dtype == np.uint8
    assert one.shape[1:] == other.shape[1:] == (240, 320, 3)
    (title, frames), (beside, flow) = front.films(BOOK["i3d"])
    assert beside == f"{title} as optical flow"
    assert frames.shape == flow.shape
    assert (flow == 255).mean() > 0.3 > (frames == 255).mean()  # what does not move is white


def test_people_of_keyframes_are_each_in_a_box() -> None:
    films = front.films(BOOK["slowfast"])
    assert [title for title, _ in films] == ["3 people, each with classes of their own"] * 2
    for _, frames in films:
        assert frames.shape[1:] == (120, 160, 3)
        for person in range(3):
            red, green, blue = (int(colour(person)[place : place + 2], 16) for place in (1, 3, 5))
            assert (frames == [red, green, blue]).all(axis=-1).any(axis=(1, 2)).all()


def test_pictures_are_small() -> None:
    for chapter in BOOK.values():
        assert all(len(one) <= 30_000 for one in pictures(front.chapter_film(chapter)))
    for card in front.cards(list(BOOK.values()), []).split("grid-item-card")[1:]:
        assert len(card) <= 60_000
        assert len(pictures(card)) in (1, 2)


def test_cards_lead_to_chapters(make_record: MakeRecord) -> None:
    text = front.cards(list(BOOK.values()), [make_record()])
    assert [line for line in text.splitlines() if line.startswith(":link:")] == [
        f":link: ../notebooks/{name}/index" for name in BOOK
    ]
    assert "5 notebooks, 4 of 5 rungs shown" in text


def test_the_sentence_has_mean_spread_and_number_of_clips_and_of_single_frames(make_record: MakeRecord) -> None:
    runs = make_record().stages["03_training"].results.model_dump(mode="json")["runs"]
    runs = [{**run, "run": "one_frame" if run["run"] == "frame" else run["run"]} for run in runs]
    record = make_record(stage_03={"runs": runs})
    text = front.measured(list(BOOK.values()), [record])
    assert "From clips of 8 frames" in text
    assert "**85.0% ± 7.1** of 40 test videos correctly, from single frames **50.0%** (mean" in text
    assert text.endswith(" (mean ± spread of 2 seeds).\n")
    assert "guessing" not in text  # pairs of single frames were not scored
    assert "single frames" not in front.measured(list(BOOK.values()), [make_record()])
    assert front.measured(list(BOOK.values()), []) == ""


def test_seconds_of_notebooks_stand_where_a_record_has_them(make_record: MakeRecord) -> None:
    chapter = Chapter("efficient3d", "E", ("01_data", "03_training", "04_conversion"), ("online",))
    text = front.chapter_notebooks(chapter, [make_record(stage_04=None)])
    assert "| [](03_training) | 12 |\n| [](04_conversion) | – |\n| [](online) | – |\n" in text
    assert "A Processor\\|v2, 2 cores" in text
    assert "seconds," not in front.chapter_notebooks(chapter, [])
    assert "seconds," not in front.chapter_notebooks(chapter, [make_record("other")])


def test_a_chapter_without_a_drawn_data_set_has_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = Chapter("nobody", "Nobody", (), ())
    assert front.films(nobody) == []
    assert front.chapter_film(nobody) == ""
    monkeypatch.setattr(front, "EMBEDDED", "ucf101")
    assert front.films(Chapter("efficient3d", "E", (), ())) == []
