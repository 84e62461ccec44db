"""Pictures show what they are given."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from actionbook.results import pictures
from actionbook.results.proof import ladder_of, rung_table

pytestmark = pytest.mark.usefixtures("_no_window")


def size(figure: Figure) -> int:
    """Bytes of the figure as a notebook stores it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", dpi=figure.dpi)
    return buffer.tell()


def texts(figure: Figure) -> str:
    found = [text.get_text() for ax in figure.axes for text in [*ax.texts, ax.title, *ax.get_xticklabels()]]
    found += [ax.get_title(loc="left") for ax in figure.axes]
    return "\n".join(found)


def test_film_strip_shows_first_and_last_frame() -> None:
    frames = np.zeros((30, 24, 32, 3), np.uint8) + np.arange(30, dtype=np.uint8)[:, None, None, None] * 8
    figure = pictures.film_strip([("long", frames), ("short", frames[:3])], max_frames=6)
    long, short = (ax.images[0].get_array() for ax in figure.axes)
    assert long is not None
    assert short is not None
    assert (long[5, 5, 0], long[5, -5, 0]) == (0, 29 * 8)
    assert long.shape == short.shape
    assert (short[5, -5] == 255).all()  # three frames leave room at the right
    assert figure.axes[0].get_xticklabels() == []  # nobody said which frames these are


def test_film_strip_of_many_noisy_frames_stays_small() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (6, 8, 120, 160, 3))
    slope = np.linspace(40, 200, 160)[:, None] + noise  # a gradient with the noise of a camera
    strip = [(str(row), slope[row].clip(0, 255).astype(np.uint8)) for row in range(6)]
    assert size(pictures.film_strip(strip)) < 200_000


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8)]
)
def test_film_strip_takes_only_frames(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="'x'"):
        pictures.film_strip([("x", frames)])


def test_pictures_of_nothing_say_so() -> None:
    nothing = pd.DataFrame({"run": [], "seed": [], "value": []})
    assert "no run" in texts(pictures.seeds_plot(nothing, chance=0.1))
    assert "no video" in texts(pictures.film_strip([]))


def test_training_curves_of_several_seeds_share_a_colour() -> None:
    log = pd.DataFrame({"epoch": [1, 2], "lr": [0.1, 0.1], "loss": [2.0, 1.0], "seconds": [1, 1], "top1": [0.2, 0.6]})
    figure = pictures.training_curves({"clip, seed 1": log, "clip, seed 2": log, "frame, seed 1": log})
    loss, score = figure.axes
    colours = [line.get_color() for line in loss.lines]
    assert colours[0] == colours[1] != colours[2]
    assert len(score.lines) == 3
    legend = score.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["clip", "frame"]
    assert len(pictures.training_curves({"width 0.45": log[["epoch", "loss"]]}).axes) == 1


def test_no_schedule_hides_another() -> None:
    rates = {"rgb": [0.1, 0.1, 0.01], "flow": [0.1, 0.1, 0.01, 0.05]}
    axes = pictures.schedule_plot(rates).axes
    assert [ax.lines[0].get_ydata().tolist() for ax in axes] == list(rates.values())
    assert [ax.get_title(loc="left") for ax in axes] == ["rgb, 3 epochs", "flow, 4 epochs"]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert axes[0].get_yscale() == axes[1].get_yscale() == "log"


def test_seeds_plot_writes_mean_and_spread() -> None:
    values = pd.DataFrame({"run": ["a", "a", "b", "c"], "seed": [1, 2, 1, 1], "value": [0.8, 0.9, 0.5, None]})
    found = texts(pictures.seeds_plot(values, chance=0.125))
    assert "c" not in found.split()
    assert "85.0% ± 7.1\n2 seeds" in found
    assert "50.0%\n1 seed" in found
    assert "chance\n12.5%" in found


def test_seeds_plot_draws_levels_beside_the_guess() -> None:
    values = pd.DataFrame({"run": ["a", "a"], "seed": [1, 2], "value": [0.8, 0.9]})
    figure = pictures.seeds_plot(values, chance=0.25, levels={"order unknown": 0.5})
    dashed = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == [0.25, 0.5]
    assert "order unknown\n50.0%" in texts(figure)


def test_no_line_runs_through_the_words_of_seeds_plot() -> None:
    values = pd.DataFrame({"run": ["a", "a"], "seed": [1, 2], "value": [0.5, 0.52]})
    figure = pictures.seeds_plot(values, chance=0.5)
    ax = figure.axes[0]
    figure.canvas.draw()
    note, chance = (next(text for text in ax.texts if word in text.get_text()) for word in ("seeds", "chance"))
    patch = note.get_bbox_patch()
    assert patch is not None
    assert patch.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    assert chance.get_window_extent().x0 >= ax.get_window_extent().x1  # where no run is


def test_accuracy_against_cost_takes_one_value_or_a_list() -> None:
    data = pd.DataFrame({"label": ["1.0x", "0.45x"], "macs": [518.4e6, 158e6], "accuracy": [0.8, [0.6, 0.7]]})
    figure = pictures.accuracy_against_cost(data, "operations")
    assert len(figure.axes[0].containers) == 2
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_xlabel() == "million operations"
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["200", "500"]


def test_size_against_cost_has_a_colour_a_label_and_full_marks_on_top() -> None:
    rows = [("a", 0.5, 2e6, True), ("a", 5.0, 3e6, False), ("b", 100.0, 4e7, False)]
    ax = pictures.size_against_cost(pd.DataFrame(rows, columns=["label", "gmacs", "parameters", "main"])).axes[0]
    drawn = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in ax.lines if len(line.get_xdata())]
    assert drawn == [([5.0], [3.0]), ([0.5], [2.0]), ([100.0], [40.0])]
    hollow, full = ax.lines[0], ax.lines[1]
    assert hollow.get_markeredgecolor() == full.get_markeredgecolor() == full.get_markerfacecolor()
    assert hollow.get_markerfacecolor() != full.get_markerfacecolor()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_one_network_at_several_widths_is_one_line_and_labels_are_in_order() -> None:
    rows = [("a", 1e8, 0.5), ("b", 2.1e8, 0.601), ("a", 2e9, 0.6), *((f"c{i}", 3e8, 0.1 + i / 100) for i in range(6))]
    figure = pictures.accuracy_against_cost(pd.DataFrame(rows, columns=["label", "macs", "accuracy"]))
    ax = figure.axes[0]
    lines = {container.get_label(): container[0] for container in ax.containers}
    assert lines["a"].get_xdata().tolist() == [100, 2000]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["b", "a", "c5", "c4", "c3", "c2", "c1", "c0"]
    looks = {(line.get_color(), line.get_marker(), line.get_markerfacecolor()) for line in lines.values()}
    assert len(looks) == 8  # the eighth has the colour of the first, and is hollow
    figure.canvas.draw()
    assert legend.get_window_extent().x0 >= ax.get_window_extent().x1


def test_confusion_picture_shades_shares_of_the_row() -> None:
    figure = pictures.confusion_picture(np.array([[3, 1], [0, 0]]), ["a", "b"])
    shades = figure.axes[0].images[0].get_array()
    assert shades is not None
    assert shades.tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert {"3", "1", "·"} == {text.get_text() for text in figure.axes[0].texts}
    with pytest.raises(ValueError, match="does not fit"):
        pictures.confusion_picture(np.zeros((2, 3)), ["a", "b"])
    many = pictures.confusion_picture(np.eye(101, dtype=int), [str(i) for i in range(101)])
    assert len(many.axes[0].texts) == 0


def test_throughput_plot_has_a_bar_for_each_row() -> None:
    rows = [("A", 1, 10.0, 9.0, 11.0), ("A", 8, 40.0, 39.0, 41.0), ("B", 8, 80.0, 70.0, 90.0)]
    table = pd.DataFrame(rows, columns=["engine", "batch", "clips_per_second", "low", "high"])
    bars = pictures.throughput_plot(table).axes[0].patches
    assert sorted(bar.get_height() for bar in bars if isinstance(bar, Rectangle)) == [10.0, 40.0, 80.0]


def test_ladder_picture_takes_the_table_of_the_ladder() -> None:
    found = texts(pictures.ladder_picture(rung_table(ladder_of("efficient3d", []))))
    assert found.count("not run here") == 5
    assert "Reproduced" in found


def test_differences_plot_handles_exact_and_not_finite() -> None:
    rows: list[dict[str, object]] = [
        {"format": "MINDIR", "relative_difference": 0.0, "tolerance": 1e-4, "passed": True},
        {"format": "ONNX", "relative_difference": 2e-6, "tolerance": 1e-4, "passed": True},
        {"format": "int8", "relative_difference": 0.7, "tolerance": None, "passed": True},
        {"format": "raw", "relative_difference": None, "tolerance": 1e-4, "passed": False},
    ]
    figure = pictures.differences_plot(rows)
    found = texts(figure)
    assert "exact" in found
    assert "2.0e-06" in found
    assert "not finite, failed" in found
    assert "7.0e-01, judged by its answers" in found
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["raw", "int8", "ONNX", "MINDIR"]
    # Three tolerances are marked: at 1e-4, for the formats that have one.
    marks = [line for line in figure.axes[0].lines if set(line.get_xdata()) == {1e-4}]
    assert sorted(round(float(np.mean(line.get_ydata()))) for line in marks) == [0, 2, 3]


def test_pictures_leave_the_settings_of_matplotlib_alone() -> None:
    before = plt.rcParams["axes.grid"], plt.rcParams["font.size"], plt.rcParams["figure.dpi"]
    figure = pictures.seeds_plot(pd.DataFrame({"run": ["a"], "seed": [1], "value": [0.5]}))
    assert (plt.rcParams["axes.grid"], plt.rcParams["font.size"], plt.rcParams["figure.dpi"]) == before
    assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)  # dark pages show it on white
    assert figure.number in plt.get_fignums()  # plt.show() finds it
