"""Film strips say which frames they show, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from actionbook.results.film import film_strip
from actionbook.stages.strips import Strip, counted

pytestmark = pytest.mark.usefixtures("_no_window")

FRAMES = np.zeros((30, 24, 32, 3), np.uint8)


def numbers(rows: list, **options: int) -> list[list[str]]:
    return [[label.get_text() for label in ax.get_xticklabels()] for ax in film_strip(rows, **options).axes]


def test_the_numbers_are_those_of_the_frames_in_their_video() -> None:
    every_second = counted(range(16, 46, 2))
    rows = [Strip("every", FRAMES, range(1, 31)), ("second", FRAMES[:15], every_second), ("untold", FRAMES)]
    assert numbers(rows, max_frames=6) == [
        ["frame 1", "7", "13", "18", "24", "30"],
        ["frame 17", "23", "29", "33", "39", "45"],
        [],
    ]


def test_a_clip_that_repeats_frames_repeats_their_numbers() -> None:
    assert numbers([Strip("looped", FRAMES[:4], [17, 18, 17, 18])]) == [["frame 17", "18", "17", "18"]]


def test_every_frame_has_a_number_or_none_has() -> None:
    with pytest.raises(ValueError, match="'x': 30 frames have 29 numbers"):
        film_strip([Strip("x", FRAMES, range(29))])
