"""Pictures of answers while a video runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from actionbook.inference.online import working_sets
from actionbook.results.online_pictures import sets_plot, shares_plot, watched_plot
from actionbook.stages.strips import Strip

STRIP = Strip("a video", np.zeros((3, 4, 5, 3), np.uint8), [1, 10, 20])
WATCHED = pd.DataFrame(
    {
        "frames": [10, 20],
        "seconds": [0.4, 0.8],
        "answer": ["run", "sit"],
        "probability": [0.6, 0.5],
        "run": [0.6, 0.3],
        "sit": [0.3, 0.5],
        "walk": [0.1, 0.2],
    }
)


def test_a_line_for_each_policy_and_level() -> None:
    table = pd.DataFrame({"share seen": [0.5, 1.0], "sampler": [0.2, 0.9], "working set": [0.3, 0.8]})
    (ax,) = shares_plot(table, {"a guess": 0.25}).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["sampler", "working set"]
    assert len(ax.lines) == 3
    assert ax.texts[0].get_text() == "a guess"


def test_the_class_of_the_video_is_thick_and_frames_lie_at_their_numbers() -> None:
    ax, film = watched_plot(WATCHED, STRIP, "walk", most=2).axes
    assert {line.get_label(): line.get_linewidth() for line in ax.lines} == {"run": 1.4, "walk": 3}
    assert [sum(image.get_extent()[:2]) / 2 for image in film.images] == pytest.approx([1, 10, 20])
    with pytest.raises(ValueError, match="expected frames with their numbers"):
        watched_plot(WATCHED, STRIP._replace(numbers=None))


def test_a_row_for_each_set() -> None:
    sets = working_sets(20, 4, 8)
    (ax,) = sets_plot(sets, 8).axes
    assert [list(line.get_xdata()) for line in ax.lines[: len(sets)]] == [[n + 1 for n in one] for one in sets]


def test_nothing_to_show() -> None:
    for fig in (sets_plot([], 8), watched_plot(WATCHED.head(0), STRIP)):
        assert fig.axes[0].texts[0].get_text() == "no slot was full"
