"""Pictures of streams show every class, or both ends of them, and every published figure."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from actionbook.results.stream_pictures import figures_plot, gains_plot
from actionbook.results.style import STATE_COLOURS, colour

pytestmark = pytest.mark.usefixtures("_no_window")

GAINS = pd.DataFrame(
    {
        "class": ["sit", "stand", "wave", "jump"],
        "videos": [10, 20, 30, 0],
        "rgb": [0.5, 0.9, 0.2, None],
        "flow": [0.4, 0.8, 0.3, None],
        "joint": [0.8, 0.8, 0.3, None],
        "gain": [0.3, -0.1, 0.0, None],
    }
)


def test_gains_from_the_greatest_at_the_top_to_the_loss_at_the_bottom() -> None:
    ax = gains_plot(GAINS).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["stand (20)", "wave (30)", "sit (10)"]
    assert [text.get_text() for text in ax.texts] == ["-10", "0", "+30"]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["rgb", "flow", "together"]
    points = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
    assert points == {"rgb": [0.9, 0.2, 0.5], "flow": [0.8, 0.3, 0.4], "together": [0.8, 0.3, 0.8]}
    bars = ax.collections[1]
    assert [[round(float(x), 6) for x in segment[:, 0]] for segment in bars.get_segments()] == [
        [0.9, 0.8], [0.3, 0.3], [0.5, 0.8],
    ]  # fmt: skip
    shades = [to_hex(shade) for shade in bars.get_colors()]
    assert shades == [STATE_COLOURS["failed"], STATE_COLOURS["shown"], STATE_COLOURS["shown"]]


def test_of_many_classes_both_ends_are_shown() -> None:
    gains = [number / 100 for number in range(-20, 31)]
    many = pd.DataFrame(
        {
            "class": [f"c{g:.2f}" for g in gains],
            "videos": 30,
            "rgb": 0.5,
            "joint": [0.5 + g for g in gains],
            "gain": gains,
        }
    )
    shown = [label.get_text() for label in gains_plot(many, most=5).axes[0].get_yticklabels()]
    assert shown == ["c-0.20 (30)", "c-0.19 (30)", "c0.28 (30)", "c0.29 (30)", "c0.30 (30)"]
    assert len(gains_plot(many).axes[0].get_yticklabels()) == 24


def test_published_figures_stand_in_a_panel_for_each_data_set() -> None:
    table = pd.DataFrame(
        [("A", "rgb", "ours", 0.5), ("A", "rgb", "paper", 0.75), ("A", "both", "ours", 0.6), ("B", "rgb", "ours", 0.9)],
        columns=["dataset", "stream", "series", "share"],
    )
    figure = figures_plot(table)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["A", "B"]
    left = figure.axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["both", "rgb"]
    points = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in left.lines}
    assert points == {"ours": ([0.5, 0.6], [1, 0]), "paper": ([0.75], [1])}
    faces = [str(line.get_markerfacecolor()) for line in left.lines]
    assert faces == [colour(0), "#ffffff"]
    assert sorted(text.get_text() for text in left.texts) == ["50.0", "60.0", "75.0"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "paper"]
