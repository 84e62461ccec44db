"""Pictures of optical flow: colours for directions, and how far things move.

As in `pictures`: arrays in, an image or a figure out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from actionbook.results.style import GRID, INK, PAPER, QUIET, colour, figure, nothing_to_show, style
from actionbook.video.flow import clamped_share, dequantise

# Steps from each corner of the wheel to the next: red, yellow, green, cyan, blue, magenta, red. They follow how finely
# the eye tells hues apart (Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011).
_CORNERS = np.array([(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0)], float)
_STEPS = (15, 6, 4, 11, 13, 6)
_BEYOND = 0.75
"""Brightness of displacements that are longer than the limit."""

_EDGES = np.arange(-48, 49) * 8 / 255
"""Of a histogram's bars, in bounds: each holds four of the levels that are stored, the last ones begin at 1.47."""


@cache
def _hues() -> np.ndarray:
    """The wheel's colours, float (55, 3), 0..1, clockwise on the screen from motion to the right."""
    arcs = zip(_CORNERS[:-1], _CORNERS[1:], _STEPS, strict=True)
    return np.concatenate([start + (end - start) * np.arange(steps)[:, None] / steps for start, end, steps in arcs])


def flow_colours(flow: np.ndarray, limit: float) -> np.ndarray:
    """Flow (H, W, 2), pixels to the right and down, as uint8 RGB (H, W, 3) in the coding of Baker et al. (2011).

    The hue tells the direction, the saturation the length: white does not move, full colour moves by `limit` pixels,
    and what moves further is darker. Raises ValueError for another shape, or a limit that is not above zero.
    """
    if flow.ndim != 3 or flow.shape[-1] != 2 or not limit > 0:
        raise ValueError(f"expected flow (H, W, 2) and a limit above zero, found {flow.shape} and {limit}")
    right, down = (flow[..., component].astype(float) / limit for component in (0, 1))
    length = np.hypot(right, down)[..., None]
    hues = _hues()
    place = (np.arctan2(-down, -right) / np.pi + 1) / 2 * (len(hues) - 1)
    before = np.floor(place).astype(int)
    share = (place - before)[..., None]
    hue = hues[before] * (1 - share) + hues[(before + 1) % len(hues)] * share
    return np.floor(255 * np.where(length <= 1, 1 - length * (1 - hue), hue * _BEYOND)).astype(np.uint8)


def in_colours(pixels: np.ndarray, bound: float, limit: float | None = None) -> np.ndarray:
    """Stored frames, uint8 (T, H, W, C), as uint8 RGB (T, H, W, 3): colours as they are, flow (C = 2) in its colours.

    They are full at `limit` pixels; if that is None, at a length that all but a fiftieth of the flow stay below, and at
    one pixel at least: what hardly moves stays pale.
    """
    if pixels.shape[-1] == 3:
        return pixels
    flows = dequantise(pixels, bound)
    full = limit or max(1.0, float(np.percentile(np.hypot(flows[..., 0], flows[..., 1]), 98)))
    return np.stack([flow_colours(flow, full) for flow in flows])


def contrast(planes: np.ndarray) -> tuple[int, np.ndarray]:
    """A whole factor that makes small displacements seen, and stored planes (uint8, any shape) with it.

    The distance of every value from 128, which is no motion, is multiplied; one value in five hundred may then be
    beyond black or white. The factor is 1 for what already fills the range, and at most 16.
    """
    distance = planes.astype(np.int32) - 128
    reach = max(1.0, float(np.percentile(np.abs(distance), 99.8)))
    times = int(np.clip(127 // reach, 1, 16))
    return times, (128 + times * distance).clip(0, 255).astype(np.uint8)


def moving_part(flows: Iterable[np.ndarray]) -> tuple[slice, slice]:
    """Rows and columns around all that moves by more than a quarter of the greatest of `flows`, each (H, W, 2).

    With a margin of a tenth of the frame, and at least half of it in each direction; all of it where nothing moves.
    """
    most = np.max([np.hypot(flow[..., 0], flow[..., 1]) for flow in flows], axis=0)
    moves = most > max(0.25 * float(np.percentile(most, 99.5)), 1e-6)
    return (_around(moves.any(axis=1)), _around(moves.any(axis=0)))


def _around(moves: np.ndarray) -> slice:
    size, places = len(moves), np.flatnonzero(moves)
    if not len(places):
        return slice(0, size)
    first, last = int(places[0]), int(places[-1]) + 1
    side = min(size, max(last - first + size // 5, size // 2))
    start = min(max(0, (first + last - side) // 2), size - side)
    return slice(start, start + side)


def wheel(size: int = 151) -> np.ndarray:
    """The legend of `flow_colours`, uint8 RGB (size, size, 3): motion away from the middle, the limit at the rim."""
    ends = np.linspace(-1, 1, size, dtype=np.float32)
    flow = np.stack(np.broadcast_arrays(ends[None, :], ends[:, None]), axis=-1)
    inside = np.hypot(flow[..., 0], flow[..., 1])[..., None] <= 1
    return np.where(inside, flow_colours(flow, 1.0), 255).astype(np.uint8)


def displacement_histogram(flows: Iterable[np.ndarray], bound: float) -> Figure:
    """How many displacements there are of each size, on a logarithmic axis, and what share the bound cuts off.

    `flows` are arrays (H, W, 2) in pixels, as computed or as read back from a store; there the cut-off ones are those
    at the bound. What lies beyond one and a half bounds is counted at the ends of the axis. Without any the figure says
    so.
    """
    edges = _EDGES * bound
    counts, cut, total = np.zeros((2, len(edges) - 1)), 0.0, 0
    for flow in flows:
        for component in (0, 1):
            counts[component] += np.histogram(flow[..., component].astype(float).clip(edges[0], edges[-1]), edges)[0]
        cut += clamped_share(flow, bound) * flow.size
        total += flow.size
    if not total:
        return nothing_to_show("no flow to show")
    with style():
        fig, ax = figure(3.2)
        for component, label in enumerate(("to the right", "down")):
            share = counts[component] / (total / 2)
            ax.stairs(share, edges, color=colour(component), linewidth=1.6, label=label, zorder=3)
        low = 0.5 / total
        for side in (-1, 1):
            ax.axvspan(side * bound, side * 1.5 * bound, color=GRID, alpha=0.6, linewidth=0, zorder=0)
            ax.axvline(side * bound, color=QUIET, linestyle="--", linewidth=1.2)
            ax.annotate("cut off", (side * 1.25 * bound, 0.7), ha="center", fontsize=8.5, color=INK)
        ax.set_yscale("log")
        ax.set(
            xlim=(edges[0], edges[-1]),
            ylim=(max(low, 1e-8), 1.5),
            xlabel="displacement from one frame to the next, in pixels",
            ylabel="share of the pixels",
            title=f"{_percent(cut / total)} of the displacements lie beyond ±{bound:g} pixels",
        )
        ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: _percent(share)))
        ax.legend(loc="upper left", bbox_to_anchor=(0.18, 1), facecolor=PAPER)
    return fig


def _percent(share: float) -> str:
    """A share (0..1) in percent, with two digits that say something."""
    return f"{np.format_float_positional(100 * share, precision=2, fractional=False, trim='-')} %"
