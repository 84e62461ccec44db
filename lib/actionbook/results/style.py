"""How the book's pictures look: one palette, one set of matplotlib settings, one way to begin a figure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

INK = "#1f2933"
QUIET = "#7b8794"
GRID = "#e4e7eb"
PAPER = "#ffffff"
WIDTH = 8.0
"""Inches; with `DPI` a figure is 880 pixels wide."""
DPI = 110

SERIES = ("#0f766e", "#c2570c", "#2563a8", "#b0518f", "#8a6d00", "#4c9ed9", "#52606d")
"""Line colours that differ in lightness or along blue and yellow, which the usual colour blindnesses keep apart."""
MARKERS = "osD^vPX"

STATE_COLOURS = {"shown": "#0f766e", "failed": "#c2570c", "not run here": "#cbd2d9"}
"""Colours of a rung's state; pictures also write the state as text."""

_SETTINGS: Any = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.facecolor": PAPER,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextmanager
def style() -> Iterator[None]:
    """Use the book's matplotlib settings inside the block, whatever they were before."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of the book's width and `height` inches with ``(rows, columns)`` axes, to be called inside `style`.

    It is known to pyplot, so a notebook shows it with ``plt.show()``. Further `options` go to ``plt.subplots``.
    """
    return plt.subplots(rows, columns, figsize=(WIDTH, height), dpi=DPI, layout="constrained", **options)


def nothing_to_show(why: str) -> Figure:
    """A figure with nothing but words, for a run that has nothing to draw."""
    with style():
        fig, ax = figure(0.5)
        ax.set_axis_off()
        ax.text(0, 0.5, why, color=QUIET, va="center")
    return fig


def colour(number: int) -> str:
    """Colour of the series with this number, counted from 0; they repeat after seven."""
    return SERIES[number % len(SERIES)]


def marker(number: int) -> str:
    """Marker of the series with this number, counted from 0."""
    return MARKERS[number % len(MARKERS)]
