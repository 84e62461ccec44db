"""Pictures of what samplers and crops take."""

from __future__ import annotations

import numpy as np

from actionbook.results.sampling_pictures import frames_plot, places_plot


def test_a_line_of_marks_for_each_clip_in_the_colour_of_its_kind() -> None:
    rows = {
        "long": (100, {"training": [np.array([3, 40]), np.array([9, 77])], "test": [np.array([25, 75])]}),
        "short": (20, {"test": [np.array([5, 15])]}),
    }
    (ax,) = frames_plot(rows).axes
    marks = [line for line in ax.lines if len(line.get_xdata())]
    assert [line.get_xdata().tolist() for line in marks] == [[3, 40], [9, 77], [25, 75], [5, 15]]
    heights = [line.get_ydata()[0] for line in marks]
    assert heights == sorted(set(heights), reverse=True)
    colours = [line.get_color() for line in marks]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["long", "short"]
    first, *_, last = ax.get_yticks()
    assert (first, last) == (np.mean(heights[:3]), heights[3])
    lengths = [one.get_segments()[0][:, 0].tolist() for one in ax.collections]
    assert lengths == [[0, 99]] * 3 + [[0, 19]]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["training", "test"]


def test_places_are_drawn_where_they_are() -> None:
    (ax,) = places_plot(np.zeros((40, 60, 3), np.uint8), [(0, 0, 20, 30), (20, 30, 20, 30)]).axes
    corners = [(patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()) for patch in ax.patches]
    assert corners == [(-0.5, -0.5, 30, 20), (29.5, 19.5, 30, 20)]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines] == [(14.5, 9.5), (44.5, 29.5)]


def test_nothing_to_show() -> None:
    assert "no video" in frames_plot({}).axes[0].texts[0].get_text()
