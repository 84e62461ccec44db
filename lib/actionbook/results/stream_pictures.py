"""Pictures of two streams and what becomes of them together. As in `pictures`: plain tables in, a figure out."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from actionbook.results.style import GRID, INK, PAPER, QUIET, STATE_COLOURS, colour, figure, marker, style

_OWN = ("class", "videos", "joint", "gain")


def gains_plot(table: pd.DataFrame, most: int = 24) -> Figure:
    """Recall of each class in every stream and in both together, the greatest gain at the top.

    `table` is that of `actionbook.evaluation.fusion.class_gains`: columns ``class``, ``videos``, one for each stream,
    ``joint`` and ``gain`` (0..1). The bar leads from the stream that is best for the class to the joint: green where
    the joint gains, orange where it loses. Of more than `most` classes the two ends are shown, half of them each.
    Classes without videos are left out.
    """
    streams = [column for column in table.columns if column not in _OWN]
    rows = table[table["videos"] > 0].sort_values(["gain", "class"], ascending=[True, False], kind="stable")
    if len(rows) > most:
        rows = pd.concat([rows.head(most // 2), rows.tail(most - most // 2)])
    places = range(len(rows))
    with style():
        fig, ax = figure(0.26 * len(rows) + 1.0)
        best = rows["joint"] - rows["gain"]
        shades = [STATE_COLOURS["shown" if gain >= 0 else "failed"] for gain in rows["gain"]]
        ax.hlines(places, 0, 1, color=GRID, linewidth=0.8)
        ax.hlines(places, best, rows["joint"], color=shades, linewidth=4, alpha=0.45)
        for number, name in enumerate(streams):
            ax.plot(rows[name], places, marker(number), color=colour(number + 1), label=name, alpha=0.9)
        ax.plot(rows["joint"], places, "|", color=INK, markersize=13, markeredgewidth=2.4, label="together")
        for place, gain, shade in zip(places, rows["gain"], shades, strict=True):
            text = f"{100 * gain:+.0f}" if round(100 * gain) else "0"
            ax.annotate(text, (1.03, place), va="center", fontsize=8.5, color=shade if round(100 * gain) else QUIET)
        ax.set_yticks(
            places, [f"{name} ({videos})" for name, videos in zip(rows["class"], rows["videos"], strict=True)]
        )
        ax.set(xlim=(-0.02, 1.1), ylim=(-0.7, len(rows) - 0.3))
        ax.set_xlabel(
            "recall of the class (its videos in brackets); at the right the gain over its best stream, points"
        )
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(False, axis="y")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(streams) + 1, borderaxespad=0.2)
    return fig


def figures_plot(table: pd.DataFrame) -> Figure:
    """Published accuracies side by side: a row of dots for each stream, a panel for each data set.

    `table` has the columns ``dataset``, ``stream``, ``series`` (what the dot stands for; the first is filled, the
    others are hollow, so that figures measured and figures compared with look different) and ``share`` (0..1). Rows and
    series keep the order in which they come.
    """
    datasets, streams, series = (list(dict.fromkeys(table[column])) for column in ("dataset", "stream", "series"))
    with style():
        fig, axes = figure(0.5 * len(streams) + 1.4, 1, len(datasets), sharey=True, squeeze=False)
        for ax, dataset in zip(axes[0], datasets, strict=True):
            here = table[table["dataset"] == dataset]
            for place, stream in enumerate(reversed(streams)):
                shares = here.loc[here["stream"] == stream, "share"]
                ax.hlines(place, shares.min(), shares.max(), color=GRID, linewidth=2.5, zorder=1)
            for number, name in enumerate(series):
                rows = here[here["series"] == name]
                places = [len(streams) - 1 - streams.index(stream) for stream in rows["stream"]]
                face = colour(number) if number == 0 else PAPER
                look = {"color": colour(number), "markerfacecolor": face, "markersize": 8, "markeredgewidth": 1.8}
                ax.plot(rows["share"], places, marker(number), label=name, zorder=3, **look)
                for share, place in zip(rows["share"], places, strict=True):
                    below = -15 if number % 2 else 9  # neighbours would cover each other's text
                    ax.annotate(
                        f"{100 * share:.1f}",
                        (share, place),
                        (0, below),
                        textcoords="offset points",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color=colour(number),
                    )
            ax.set_yticks(range(len(streams)), streams[::-1])
            ax.set(title=dataset, ylim=(-0.6, len(streams) - 0.4))
            ax.margins(x=0.1)
            ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
            ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            ax.grid(False, axis="y")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=len(series), fontsize=9)
    return fig
