"""What a sampler and a crop take of a video, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from actionbook.results.style import GRID, INK, colour, figure, nothing_to_show, style


def frames_plot(rows: Mapping[str, tuple[int, Mapping[str, Sequence[np.ndarray]]]]) -> Figure:
    """Which frames clips take: one line for each row, as long as the video, frame numbers from 0.

    Of each row: how many frames the video has, and clips (frame numbers) by what they are called; those of one name
    have one colour, and each clip is a line of marks of its own.
    """
    if not rows:
        return nothing_to_show("no video to show")
    names = list(dict.fromkeys(name for _, clips in rows.values() for name in clips))
    lines = sum(1 + sum(map(len, clips.values())) for _, clips in rows.values())
    with style():
        fig, ax = figure(0.8 + 0.2 * lines)
        place, ticks = 0.0, []
        for label, (frames, clips) in rows.items():
            count = sum(map(len, clips.values()))
            ticks.append((place - (count - 1) / 2, label))
            for name, several in clips.items():
                for clip in several:
                    ax.hlines(place, 0, frames - 1, color=GRID, linewidth=5, zorder=0)
                    ax.plot(clip, np.full(len(clip), place), "|", color=colour(names.index(name)), markersize=10, mew=2)
                    place -= 1
            place -= 1
        for number, name in enumerate(names):
            ax.plot([], [], "|", color=colour(number), markersize=10, mew=2, label=name)
        ax.set_yticks([y for y, _ in ticks], [label for _, label in ticks])
        ax.set(xlabel="frame", ylim=(place + 1, 1))
        ax.grid(False)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.9 / (0.8 + 0.2 * lines)), ncol=len(names), frameon=False)
    return fig


def places_plot(frame: np.ndarray, places: Sequence[tuple[int, int, int, int]]) -> Figure:
    """Rectangles (top, left, height, width) in pixels of a frame, uint8 (H, W, 3), with a dot in the middle of each."""
    height, width = frame.shape[:2]
    with style():
        fig, ax = plt.subplots(figsize=(5.2, 5.2 * height / width))
        ax.imshow(frame, alpha=0.45)
        for number, (top, left, rows, columns) in enumerate(places):
            x, y = left - 0.5, top - 0.5  # the middle of a pixel has whole numbers
            edge = colour(number)
            ax.add_patch(Rectangle((x, y), columns, rows, edgecolor=edge, linewidth=1.4, facecolor="none"))
            ax.plot(x + columns / 2, y + rows / 2, "o", color=edge, markersize=5, markeredgecolor=INK)
        ax.set(xticks=[], yticks=[], xlim=(-2, width + 1), ylim=(height + 1, -2))
        ax.spines[:].set_visible(False)
        ax.grid(False)
    return fig
