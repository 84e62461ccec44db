"""The pictures of the book. Each function takes plain tables or arrays and returns the matplotlib figure.

The figures stay open in pyplot: end a notebook's cell with ``plt.show()``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from actionbook.core.score import metric_title
from actionbook.results.film import film_strip  # noqa: F401 (a picture as the others, for those who import it here)
from actionbook.results.markdown import spread
from actionbook.results.style import (
    GRID,
    INK,
    PAPER,
    QUIET,
    SERIES,
    STATE_COLOURS,
    colour,
    figure,
    marker,
    nothing_to_show,
    style,
)

EXACT = 1e-9
"""Where a difference of exactly zero is drawn on a logarithmic axis."""

_NOT_SCORES = {"epoch", "loss", "lr", "seconds", "data_wait"}


def training_curves(log: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss, and beside it every score in 0..1 that was logged, against the epoch.

    `log` holds one table for each run, with columns ``epoch``, ``loss`` (nats) and any others; what is not a time, a
    rate or a loss counts as a score. Names that end in "seed 1", "seed 2" and so on share a colour.
    """
    scores = sorted({column for table in log.values() for column in table.columns} - _NOT_SCORES)
    groups = list(dict.fromkeys(_without_seed(name) for name in log))
    with style():
        fig, axes = figure(3.3, 1, 2 if scores else 1, squeeze=False)
        for name, table in log.items():
            group = _without_seed(name)
            number = groups.index(group)
            fresh = group not in axes[0, 0].get_legend_handles_labels()[1]
            label = group if fresh else None
            axes[0, 0].plot(table["epoch"], table["loss"], color=colour(number), alpha=0.85, label=label)
            for which, score in enumerate(s for s in scores if s in table):
                dashes = ("-", "--", ":", "-.")[which % 4]
                what = (f"{group}, {_score_title(score)}" if len(scores) > 1 else group) if fresh else None
                points = table[["epoch", score]].dropna()  # not every epoch is validated
                options = {"color": colour(number), "alpha": 0.85, "marker": ".", "label": what}
                axes[0, 1].plot(points["epoch"], points[score], dashes, **options)
        axes[0, 0].set(title="Training loss", xlabel="epoch", ylabel="cross-entropy, nats")
        axes[0, 0].set_ylim(bottom=0)
        if scores:
            axes[0, 1].set(title="Validation", xlabel="epoch", ylim=(0, 1.02))
            axes[0, 1].set_ylabel(_score_title(scores[0]) if len(scores) == 1 else "score")
            axes[0, 1].yaxis.set_major_formatter(PercentFormatter(1))
        for ax in axes[0]:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(groups) > 1 or len(scores) > 1:
            axes[0, -1].legend(loc="best")
    return fig


def _score_title(name: str) -> str:
    """ "top-1 of middle clips" for the column ``centre_clip_top1`` of a log."""
    metric = name.removeprefix("centre_clip_")
    return metric_title(metric) + " of middle clips" * (metric != name)


def _without_seed(name: str) -> str:
    return re.sub(r"\W*\bseed\W*\d+\W*$", "", name) or name


def schedule_plot(rates: Mapping[str, Sequence[float]]) -> Figure:
    """The learning rate of every epoch on a logarithmic axis, one panel below the other for each name.

    Panels share their axes, so that schedules can be compared and none hides another.
    """
    with style():
        fig, axes = figure(1.25 * len(rates) + 0.5, len(rates), 1, squeeze=False, sharex=True, sharey=True)
        for number, (ax, (name, values)) in enumerate(zip(axes[:, 0], rates.items(), strict=True)):
            ax.step(range(1, len(values) + 1), values, where="mid", color=colour(number))
            ax.set_title(f"{name}, {len(values)} epochs")
        axes[0, 0].set_yscale("log")
        axes[-1, 0].set_xlabel("epoch")
        axes[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
        fig.supylabel("learning rate", fontsize=10)
    return fig


def seeds_plot(
    values: pd.DataFrame,
    chance: float | None = None,
    ylabel: str = "top-1 accuracy",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """One dot for each seed, the mean as a bar and the standard deviation (n - 1) beside it, run by run.

    `values` has the columns ``run``, ``seed`` and ``value`` (0..1); `chance` (0..1) draws the line of guessing, and
    `levels` others, by what they are called.
    """
    values = values.dropna(subset=["value"])  # a run without this figure
    runs = list(dict.fromkeys(values["run"]))
    if not runs:
        return nothing_to_show("no run to show")
    with style():
        fig, ax = figure(3.4)
        for place, run in enumerate(runs):
            found = values.loc[values["run"] == run, "value"].to_numpy(dtype=float)
            aside = np.linspace(-0.12, 0.12, len(found)) if len(found) > 1 else np.zeros(1)
            ax.plot(place + aside, found, marker(place), color=colour(place), alpha=0.75)
            ax.hlines(found.mean(), place - 0.24, place + 0.24, color=INK, linewidth=2)
            if len(found) > 1:
                ax.errorbar(place + 0.28, found.mean(), found.std(ddof=1), color=QUIET, capsize=3, linewidth=1.2)
            note = f"{spread(found.tolist())}\n{len(found)} seed{'s' * (len(found) > 1)}"
            around = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}  # no line runs through the words
            ax.annotate(note, (place + 0.34, found.mean()), va="center", fontsize=9, color=INK, bbox=around)
        lines = {**({} if chance is None else {"chance": chance}), **(levels or {})}
        for name, level in lines.items():  # named beside the plot, where no run is
            ax.axhline(level, color=QUIET, linestyle="--", linewidth=1.2, zorder=0)
            beside = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8.5, "color": "#52606d"}
            ax.annotate(f"{name}\n{level:.1%}", (1.01, level), **beside)
        ax.set_xticks(range(len(runs)), ["\n".join(textwrap.wrap(str(run), 22)) for run in runs], fontsize=10)
        ax.set(xlim=(-0.4, len(runs) - 0.25), ylim=(0, 1.04), ylabel=ylabel)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(False, axis="x")
    return fig


def accuracy_against_cost(table: pd.DataFrame, what: str = "multiply-accumulates of one clip") -> Figure:
    """Accuracy against the operations of one clip, in millions on a logarithmic axis.

    `table` has the columns ``label``, ``macs`` (operations, not millions) and ``accuracy`` (0..1: one number, or a list
    with one for each seed); `what` says which operations. The dot is the mean, the bar reaches from the lowest to the
    highest seed. Rows with the same label (one network at several widths) are joined by a line. Labels stand beside the
    plot, in the order of the accuracy at the highest cost.
    """
    with style():
        fig, ax = figure(3.9)
        ends = {}
        for number, (label, rows) in enumerate(table.sort_values("macs").groupby("label", sort=False)):
            found = [np.atleast_1d(np.asarray(value, dtype=float)) for value in rows["accuracy"]]
            mean = np.array([values.mean() for values in found])
            reach = np.array([mean - [v.min() for v in found], [v.max() for v in found] - mean])
            look = {"color": colour(number), "marker": marker(number), "capsize": 4, "markersize": 7}
            if number >= len(SERIES):  # colours and markers begin again
                look["markerfacecolor"] = PAPER
            drawn = ax.errorbar(rows["macs"] / 1e6, mean, reach, linewidth=1.2, label=str(label), **look)
            ends[drawn] = float(mean[-1])
        ax.set_xscale("log")
        low, high = (float(end) / 1e6 for end in (table["macs"].min() / 1.4, table["macs"].max() * 1.4))
        ax.set_xlim(low, high)
        ticks = [tick for power in range(-3, 7) for tick in (10**power, 2 * 10**power, 5 * 10**power)]
        inside = [tick for tick in ticks if low <= tick <= high]
        ax.set_xticks(inside, [f"{tick:,.10g}" for tick in inside])
        ax.minorticks_off()
        ax.set(xlabel=f"million {what}", ylabel="top-1 accuracy")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], min_n_ticks=3))
        ax.margins(y=0.12)
        best = sorted(ends, key=lambda drawn: -ends[drawn])
        ax.legend(best, [drawn.get_label() for drawn in best], loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def size_against_cost(table: pd.DataFrame) -> Figure:
    """Parameters against the operations of one clip, both on logarithmic axes.

    `table` has the columns ``label``, ``gmacs`` (thousand million multiply-accumulates), ``parameters`` and ``main``:
    whether the mark is a full one. Rows with the same label share a colour and a mark.
    """
    with style():
        fig, ax = figure(3.9)
        for number, (label, rows) in enumerate(table.groupby("label", sort=False)):
            look = {"color": colour(number), "marker": marker(number), "linestyle": "none", "markersize": 7}
            for some, face in ((rows[~rows["main"]], PAPER), (rows[rows["main"]], colour(number))):  # full ones on top
                ax.plot(some["gmacs"], some["parameters"] / 1e6, **look, markerfacecolor=face)
            ax.plot([], [], **look, label=str(label))
        ax.set(xscale="log", yscale="log", ylabel="million parameters")
        ax.set_xlabel("thousand million multiply-accumulates of one clip")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
        ax.margins(0.08)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def agreement_plot(outputs: Mapping[str, tuple[np.ndarray, np.ndarray]], columns: int = 7) -> Figure:
    """Outputs found against outputs expected, (classes,) each: one small panel for each network, by name."""
    rows = -(-len(outputs) // columns)
    with style():
        fig, axes = figure(1.55 * rows, rows, min(columns, len(outputs)), squeeze=False)
        for ax in axes.flat[len(outputs) :]:
            ax.set_axis_off()
        for ax, (name, (found, expected)) in zip(axes.flat, outputs.items(), strict=False):
            ends = [expected.min(), expected.max()]
            ax.plot(ends, ends, color=GRID, zorder=0)
            ax.scatter(expected, found, s=4, color=colour(0))
            ax.set_title(name.replace("_", " "), fontsize=7)
            ax.set(xticks=[], yticks=[])
        fig.supxlabel("output, authors' program", fontsize=9)
        fig.supylabel("output, this book", fontsize=9)
    return fig


def confusion_picture(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Confusion matrix ``(classes, classes)``: rows true, columns predicted, shades are shares of the row.

    Counts are written into the cells where there are at most 20 classes. Raises ValueError where shapes do not fit.
    """
    classes = len(names)
    if matrix.shape != (classes, classes):
        raise ValueError(f"matrix {matrix.shape} does not fit {classes} class names")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    few = classes <= 20
    side = float(np.clip(0.42 * classes + 2.2, 3.6, 7.5))
    with style():
        fig, ax = figure(side)
        image = ax.imshow(share, cmap="GnBu", vmin=0, vmax=1)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        step = 1 if few else int(np.ceil(classes / 25))
        ax.set_xticks(
            range(0, classes, step), names[::step], rotation=40 if few else 90, ha="right" if few else "center"
        )
        ax.set_yticks(range(0, classes, step), names[::step])
        ax.tick_params(length=0, labelsize=9 if few else 7)
        if few:
            for (row, column), count in np.ndenumerate(matrix):
                ink = PAPER if share[row, column] > 0.6 else INK
                ax.text(column, row, str(count) if count else "·", ha="center", va="center", fontsize=9, color=ink)
        ax.set(xlabel="predicted", ylabel="true")
        fig.colorbar(image, ax=ax, format=PercentFormatter(1), label="share of the true class", shrink=0.8)
    return fig


def throughput_plot(table: pd.DataFrame) -> Figure:
    """Clips per second of each engine against the batch size, with the range from ``low`` to ``high``.

    `table` has the columns ``engine``, ``batch``, ``clips_per_second``, ``low`` and ``high``.
    """
    batches = sorted(set(table["batch"]))
    engines = list(dict.fromkeys(table["engine"]))
    with style():
        fig, ax = figure(3.4)
        width = 0.8 / len(engines)
        for number, engine in enumerate(engines):
            rows = table[table["engine"] == engine].sort_values("batch")
            places = [batches.index(b) + (number - (len(engines) - 1) / 2) * width for b in rows["batch"]]
            middle = rows["clips_per_second"].to_numpy(dtype=float)
            reach = [middle - rows["low"].to_numpy(dtype=float), rows["high"].to_numpy(dtype=float) - middle]
            ax.bar(places, middle, width * 0.9, color=colour(number), label=str(engine))
            ax.errorbar(places, middle, np.maximum(reach, 0), fmt="none", ecolor=INK, elinewidth=1, capsize=3)
            for place, value, top in zip(places, middle, rows["high"], strict=True):
                text = f"{value:.0f}" if value >= 20 else f"{value:.1f}"
                ax.annotate(text, (place, top), (0, 3), textcoords="offset points", ha="center", fontsize=8)
        ax.set_xticks(range(len(batches)), [str(batch) for batch in batches])
        ax.set(xlabel="clips in a batch", ylabel="clips per second")
        ax.margins(y=0.14)
        ax.grid(False, axis="x")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(4, len(engines)), borderaxespad=0.2)
    return fig


def ladder_picture(table: pd.DataFrame) -> Figure:
    """The five rungs, the first at the bottom, coloured and labelled by state, with their evidence.

    `table` has the columns ``rung`` (1..5), ``name``, ``state`` and ``evidence``, as `results.proof.rung_table` makes.
    """
    rows = table.sort_values("rung")
    with style():
        fig, ax = figure(0.82 * len(rows) + 0.2)
        ax.set_axis_off()
        top = len(rows) - 0.45
        for rail in (0.02, 0.18):
            ax.plot([rail, rail], [-0.45, top], color=QUIET, linewidth=4, solid_capstyle="round", zorder=1)
        for height, row in enumerate(rows.itertuples(index=False)):
            shade = STATE_COLOURS[str(row.state)]
            hollow = row.state == "not run here"
            ax.plot([0.02, 0.18], [height, height], color=shade, linewidth=9, solid_capstyle="round", zorder=2)
            ax.plot(0.10, height, "o", markersize=19, color=PAPER, markeredgecolor=shade, markeredgewidth=2.5, zorder=3)
            ax.text(0.10, height - 0.01, str(row.rung), ha="center", va="center", fontsize=11, weight="bold", zorder=4)
            ax.text(0.22, height + 0.19, str(row.name), fontsize=12, weight="bold", va="center")
            label = {"color": INK if hollow else PAPER, "fontsize": 8.5, "ha": "left", "va": "center"}
            ax.text(
                0.44,
                height + 0.19,
                str(row.state),
                bbox={"boxstyle": "round,pad=0.35", "fc": shade, "ec": shade},
                **label,
            )
            lines = textwrap.wrap(str(row.evidence), 100, max_lines=2, placeholder=" …")
            ax.text(0.22, height - 0.02, "\n".join(lines), fontsize=8.5, color="#52606d", va="top", linespacing=1.25)
        ax.set(xlim=(0, 1.25), ylim=(-0.55, len(rows) - 0.4))
    return fig


def differences_plot(rows: Iterable[Mapping[str, object]] | pd.DataFrame) -> Figure:
    """Relative difference of each format's logits from the network's, on a logarithmic axis, with its tolerance.

    `rows` have ``format``, ``relative_difference`` (None: not finite), ``tolerance`` (None where the format is judged
    by its score) and ``passed``, as `actionbook.core.stage_results.FormatRow` has, and ``stream`` if there are several.
    A difference of zero is drawn at the left edge and called exact; one that is not finite, at the right.
    """
    table = pd.DataFrame(rows if isinstance(rows, pd.DataFrame) else list(rows))
    table = table.iloc[::-1]
    found = table["relative_difference"].to_numpy(dtype=float)  # None becomes NaN
    limits = table["tolerance"].to_numpy(dtype=float)
    edge = 10.0 * max([1e-3, *found[np.isfinite(found)], *limits[np.isfinite(limits)]])
    with style():
        fig, ax = figure(0.42 * len(table) + 1.1)
        ax.set_xscale("log")
        ax.set_xlim(EXACT / 2, edge * 4)
        for place, (value, limit, passed) in enumerate(zip(found, limits, table["passed"], strict=True)):
            at = edge if not np.isfinite(value) else max(value, EXACT)
            shade = STATE_COLOURS["shown" if passed else "failed"]
            text = "exact" if value == 0 else f"{value:.1e}" if np.isfinite(value) else "not finite"
            ax.hlines(place, EXACT / 2, at, color=GRID, linewidth=2.5)
            ax.plot(at, place, "o" if passed else "X", color=shade, markersize=8)
            if np.isfinite(limit):
                ax.plot([limit, limit], [place - 0.3, place + 0.3], color=STATE_COLOURS["failed"], linewidth=2)
            else:
                text += ", judged by its answers"
            ax.annotate(
                text if passed else f"{text}, failed",
                (at, place),
                (9, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                bbox={"boxstyle": "square,pad=0.1", "fc": PAPER, "ec": "none"},  # the mark may stand just there
            )
        several = "stream" in table and table["stream"].nunique() > 1
        ax.set_yticks(range(len(table)), table["stream"] + ", " + table["format"] if several else table["format"])
        ax.set(
            ylim=(-0.6, len(table) - 0.4),
            xlabel="greatest difference of a logit, in standard deviations of the logits; the mark is the tolerance",
        )
        ax.grid(False, axis="y")
    return fig
