"""Pictures of answers that are given while a video runs. As in `pictures`: plain tables in, a figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from actionbook.results.style import INK, QUIET, colour, figure, marker, nothing_to_show, style
from actionbook.stages.strips import Row, checked


def shares_plot(table: pd.DataFrame, lines: Mapping[str, float] | None = None) -> Figure:
    """Accuracy against the share of each video that was seen, a line for each policy.

    `table` is that of `actionbook.evaluation.shares.share_table`: ``share seen`` and a column for each policy (0..1).
    `lines` are levels to compare with, by their names, drawn dashed.
    """
    with style():
        fig, ax = figure(3.4)
        for text, level in (lines or {}).items():
            ax.axhline(level, color=QUIET, linestyle="--", linewidth=1)
            ax.annotate(text, (0.02, level), xytext=(0, 3), textcoords="offset points", fontsize=8.5, color=QUIET)
        for number, policy in enumerate(table.columns.drop("share seen")):
            ax.plot(table["share seen"], table[policy], f"{marker(number)}-", color=colour(number), label=policy)
        ax.set(xlim=(0, 1.02), ylim=(-0.03, 1.05), xlabel="share of the video seen", ylabel="top-1")
        ax.set_xticks(table["share seen"])
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return fig


def watched_plot(table: pd.DataFrame, strip: Row, truth: str | None = None, most: int = 6) -> Figure:
    """The probability of each class while one video runs, above frames of the video.

    `table` is that of `actionbook.stages.own_video.over_time`; `strip` frames with their numbers, each drawn where its
    number is. The class `truth` is drawn thick; at most `most` classes are drawn, those that are ever most probable.
    Raises ValueError for frames without numbers.
    """
    (strip,) = checked([strip])
    if strip.numbers is None:
        raise ValueError(f"{strip.title!r}: expected frames with their numbers")
    if table.empty:
        return nothing_to_show("no slot was full")
    classes = table.columns.drop(["frames", "seconds", "answer", "probability"])
    highest = table[classes].max().sort_values(ascending=False, kind="stable").index
    shown = [*([truth] if truth in classes else []), *(name for name in highest if name != truth)][:most]
    end = max(table["frames"].max(), *strip.numbers)
    with style():
        fig, (ax, film) = figure(4.2, 2, sharex=True, height_ratios=[4, 1])
        for number, name in enumerate(sorted(shown)):
            thick = 3 if name == truth else 1.4
            ax.plot(
                table["frames"], table[name], f"{marker(number)}-", color=colour(number), linewidth=thick, label=name
            )
        ax.set(ylim=(-0.03, 1.03), ylabel="probability", title=strip.title)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        _frames(film, strip.frames, strip.numbers, end)
    return fig


def _frames(ax: Axes, frames: np.ndarray, numbers: Sequence[int], end: int) -> None:
    """Frames side by side on an axis of frame numbers, the middle of each at its number."""
    half = 0.48 * end / len(frames)
    for frame, number in zip(frames, numbers, strict=True):
        ax.imshow(frame, extent=(number - half, number + half, 0, 1), aspect="auto")
    ax.set(xlim=(min(0, numbers[0] - half), end + half), ylim=(0, 1), yticks=[], xlabel="frames seen")
    ax.set_xticks(numbers)
    ax.grid(False)


def sets_plot(sets: Sequence[Sequence[int]], slot: int) -> Figure:
    """Which frames are held after each slot, one row for each: `sets` as `actionbook.inference.online.working_sets`.

    Frame numbers are counted from 1 in the picture; lines stand where slots of `slot` frames end.
    """
    if not sets:
        return nothing_to_show("no slot was full")
    end = max(max(numbers) for numbers in sets) + 1
    with style():
        fig, ax = figure(0.3 * len(sets) + 1.0)
        for row, numbers in enumerate(sets, 1):
            ax.plot(
                [number + 1 for number in numbers], [row] * len(numbers), "|", color=colour(0), markersize=12, mew=2
            )
        for place in range(slot, end + 1, slot):
            ax.axvline(place + 0.5, color=INK, linewidth=0.6, alpha=0.4)
        ax.set(xlim=(0, end + 1), ylim=(len(sets) + 0.6, 0.4), xlabel="frame of the video", ylabel="answer")
        ax.set_yticks(range(1, len(sets) + 1))
        ax.grid(False)
    return fig
