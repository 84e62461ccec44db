"""Pictures of boxes with classes: frames with what is there and what was found, precision, and what is confused."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from actionbook.evaluation.ava import AveragePrecision
from actionbook.evaluation.ava_confusion import Confusion
from actionbook.results.style import INK, PAPER, SERIES, WIDTH, colour, figure, nothing_to_show, style

Frames = Mapping[tuple[str, float], np.ndarray]
"""Frames, uint8 (H, W, 3), by (video, second)."""
_TRUTH: dict[str, Any] = {"edgecolor": colour(0), "linestyle": "-", "linewidth": 2.0, "facecolor": "none"}
_FOUND: dict[str, Any] = {"edgecolor": colour(1), "linestyle": "--", "linewidth": 1.6, "facecolor": "none"}

_LETTERS = 7
"""Points."""


def ap_curves(result: AveragePrecision, labels: Sequence[Hashable] | None = None) -> Figure:
    """Precision against recall of some classes; None: of the seven that most boxes of the truth have.

    The line is precision made falling, whose area is the average precision that the legend says.
    """
    if labels is None:
        wanted = {label: one.wanted for label, one in result.ranked.items() if one.wanted}
        labels = sorted(wanted, key=lambda label: -wanted[label])[: len(SERIES)]
    if not labels:
        return nothing_to_show("no class to show")
    with style():
        fig, ax = figure(3.6)
        for number, label in enumerate(labels):
            curve = result.curve(label)
            falling = np.maximum.accumulate(curve.precision.to_numpy()[::-1])[::-1]
            steps = np.flatnonzero(np.diff(curve.recall, prepend=0.0) > 0)  # recall rises at hits only
            recall = np.concatenate([[0.0], curve.recall.to_numpy()[steps]])
            heights = np.concatenate([falling[:1], falling[steps]])
            name = f"{_short(result.names[label], 30)}, {result.per_class[label]:.1%}"
            dashes = ("-", "--", ":", "-.")[number // len(SERIES) % 4]
            if len(steps):
                ax.step([*recall, recall[-1]], [*heights, 0.0], dashes, where="pre", color=colour(number), label=name)
            else:
                ax.plot([], [], dashes, color=colour(number), label=f"{name}, nothing found")
        ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def boxes_plot(
    frames: Frames,
    truth: pd.DataFrame,
    detections: pd.DataFrame | None = None,
    names: Mapping[Any, str] | None = None,
    *,
    min_score: float = 0.5,
    most: int = 3,
    columns: int = 2,
    called: str = "truth",
) -> Figure:
    """Frames with the boxes of the truth (solid) and those that were found (dashed), each with its classes.

    Tables as `evaluation.ava_tables` says; `names` of labels, which otherwise stand for themselves. Of a box that was
    found the `most` classes with the highest scores are written, from `min_score` on; one with none is not drawn. The
    solid ones are `called` so in the legend.
    """
    if not frames:
        return nothing_to_show("no frame to show")
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    height = max(frame.shape[0] / frame.shape[1] for frame in frames.values())
    with style():
        fig, axes = figure(rows * (WIDTH / columns * height + 0.3) + 0.4, rows, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for ax, ((video, second), frame) in zip(axes.flat, frames.items(), strict=False):
            ax.imshow(frame)
            ax.set_title(f"{_short(video, 40)}, {second:g} s", fontsize=9)
            drawn = [
                (corners, [_name(label, names) for label in labels], _TRUTH)
                for corners, labels, _ in _boxes(truth, video, second)
            ]
            for corners, labels, scores in _boxes(detections, video, second):
                best = sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])[:most]
                lines = [f"{_name(label, names)} {score:.2f}" for score, label in best if score >= min_score]
                drawn += [(corners, lines, _FOUND)] if lines else []
            _draw(ax, drawn, np.array(frame.shape[1::-1]), frame.shape[1] * columns / (WIDTH * 72))
        looks = {**({called: _TRUTH} if len(truth) else {}), **({} if detections is None else {"detections": _FOUND})}
        marks = [Line2D([], [], color=look["edgecolor"], linestyle=look["linestyle"]) for look in looks.values()]
        fig.legend(marks, list(looks), loc="outside lower center", ncols=2)
    return fig


def confusion_plot(found: Confusion, most: int = 15) -> Figure:
    """Shares of the boxes of a class (rows) at which a class that they do not have (columns) scores higher.

    The `most` classes that take part most often. The diagonal is empty: no class scores above itself.
    """
    weight = found.above.sum(axis=0) + found.above.sum(axis=1)
    chosen = np.sort(np.argsort(-weight, kind="stable")[:most])
    chosen = chosen[weight[chosen] > 0]
    if not len(chosen):
        return nothing_to_show("no class scores above one that a box has")
    shares = found.shares[np.ix_(chosen, chosen)]
    np.fill_diagonal(shares, np.nan)
    with style():
        fig, ax = figure(float(np.clip(0.36 * len(chosen) + 2.2, 3.2, 7.5)))
        image = ax.imshow(shares, cmap="GnBu", vmin=0, vmax=1)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        called = [_short(found.names[number], 28) for number in chosen]
        ax.set_xticks(range(len(chosen)), called, rotation=40, ha="right", rotation_mode="anchor")
        boxes = [f"{name}, {found.matched[number]:,}" for name, number in zip(called, chosen, strict=True)]
        ax.set_yticks(range(len(chosen)), boxes)
        ax.tick_params(length=0, labelsize=8)
        for (row, column), share in np.ndenumerate(shares):
            if row != column:
                text = f"{100 * share:.0f}" if share else "·"
                ax.text(column, row, text, ha="center", va="center", fontsize=8, color=PAPER if share > 0.6 else INK)
        ax.set(xlabel="scores higher and is not there", ylabel="is there, boxes found")
        fig.colorbar(image, ax=ax, format=PercentFormatter(1), label="share of the boxes found", shrink=0.8)
    return fig


def weights_plot(weights: Mapping[str, np.ndarray]) -> Figure:
    """What each bin of a box takes of each cell of an axis, (bins, cells) by the name of a rule, side by side."""
    if not weights:
        return nothing_to_show("no rule to show")
    bins, cells = next(iter(weights.values())).shape
    with style():
        fig, axes = figure(WIDTH / len(weights) * bins / cells + 0.9, 1, len(weights), squeeze=False)
        for number, (ax, (rule, each)) in enumerate(zip(axes.flat, weights.items(), strict=True)):
            ax.imshow(each, cmap="GnBu", vmin=0, vmax=1)
            ax.grid(False)
            ax.set(title=rule, xlabel="column", ylabel="" if number else "bin")
            ax.set_xticks(range(0, cells, 2))
            ax.set_yticks(range(0, bins, 2))
    return fig


def _boxes(table: pd.DataFrame | None, video: str, second: float) -> list[tuple[Any, list[Hashable], list[float]]]:
    """The boxes of a keyframe: corners, labels, and scores if there are any."""
    if table is None:
        return []
    here = table[(table["video"].astype(str) == video) & (pd.to_numeric(table["second"]) == second)]
    return [
        (corners, rows["label"].tolist(), rows["score"].tolist() if "score" in rows else [])
        for corners, rows in here.groupby(["x1", "y1", "x2", "y2"], sort=False)
    ]


def _draw(ax: Axes, drawn: Sequence[tuple[Any, list[str], dict[str, Any]]], size: np.ndarray, point: float) -> None:
    """Boxes in shares of a frame of `size` (W, H), with lines of text; `point` is how many pixels of it a point is."""
    taken: list[tuple[float, float, float, float]] = []
    for corners, lines, look in drawn:
        (x1, y1), (x2, y2) = (np.array(corners[place : place + 2]) * size - 0.5 for place in (0, 2))
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **look))
        # DejaVu Sans: lines are 1.2 and letters at most 0.6 of its size apart.
        width = (0.6 * max(map(len, lines)) + 0.6) * _LETTERS * point
        height = (1.2 * len(lines) + 0.5) * _LETTERS * point
        tops = [y1 - height, y2, y1, y2 - height]
        spots = [(x, top, x + width, top + height) for x in (x1, x2 - width) for top in tops]
        inside = [one for one in spots if min(one[:2]) >= -0.5 and one[2] < size[0] and one[3] < size[1]]
        # The first place that no other text has; where there is none, in the box.
        left, top, *_ = spot = next(filter(lambda one: not any(_meet(one, each) for each in taken), inside), spots[2])
        taken.append(spot)
        around = {"boxstyle": "square,pad=0.12", "fc": PAPER, "ec": "none", "alpha": 0.85}
        text = {"fontsize": _LETTERS, "va": "top", "color": look["edgecolor"], "linespacing": 1.0, "bbox": around}
        pad = 0.2 * _LETTERS * point
        ax.text(left + pad, top + pad, "\n".join(lines), clip_on=True, **text)


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _name(label: Hashable, names: Mapping[Any, str] | None) -> str:
    return _short(str(names.get(label, label)) if names else str(label), 30)


def _short(text: str, width: int) -> str:
    """A name that fits. AVA's have examples in brackets, which go first."""
    if len(text) > width and " (" in text:
        text = text.partition(" (")[0]
    return textwrap.shorten(text, width, placeholder=" …") if " " in text else text[:width]
