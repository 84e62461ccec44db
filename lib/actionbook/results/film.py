"""Film strips: frames of videos side by side, in files small enough for a notebook."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from actionbook.results.style import DPI, QUIET, WIDTH, nothing_to_show, style
from actionbook.stages.strips import Row, checked, spaced

COLOURS = 80
"""Colours of a strip. Photographs do not compress as PNG; with fewer colours they take half."""

_MARGIN, _TITLE, _NUMBERS = 0.1, 0.26, 0.2  # inches: around all, above and below each strip


def film_strip(rows: Sequence[Row], max_frames: int = 8) -> Figure:
    """Frames in time order, one strip for each row: (title, frames ``(T, H, W, 3)`` uint8 RGB, their numbers).

    Of longer clips `max_frames` are shown, evenly spaced from first to last. Underneath stand the numbers that the
    frames have in their video, counted from 1; nothing where a row does not say them (`stages.strips.Strip`). Each
    strip is drawn with its `COLOURS` main colours; without rows the figure says so. Raises ValueError for another shape
    or type, and for another number of numbers than of frames.
    """
    every = checked(rows)
    if max_frames < 1:
        raise ValueError("a film strip needs at least one frame")
    if not every:
        return nothing_to_show("no video to show")
    columns = min(max_frames, max(len(one.frames) for one in every))
    dpi = round(DPI * min(1.0, (30 / (len(every) * columns)) ** 0.5))
    width = round((WIDTH - 2 * _MARGIN) * dpi)
    strips = [(one, *_strip(one.frames, columns, width)) for one in every]
    height = 2 * _MARGIN + sum(len(strip) / dpi + _TITLE + _NUMBERS for _, strip, _, _ in strips)
    with style():
        fig = plt.figure(figsize=(WIDTH, height), dpi=dpi)
        top = height - _MARGIN
        for one, strip, shown, cell in strips:
            tall = len(strip) / dpi
            top -= _TITLE + tall
            # Placed to the pixel, so that the picture is not resampled and keeps its few colours.
            ax = fig.add_axes((_MARGIN / WIDTH, top / height, strip.shape[1] / dpi / WIDTH, tall / height))
            ax.imshow(strip, interpolation="nearest", aspect="auto")
            ax.set_title(one.title, fontsize=10, pad=4)
            places = [(cell + _gap(cell)) * place + cell / 2 for place in range(len(shown))]
            numbers = [] if one.numbers is None else [str(one.numbers[place]) for place in shown]
            ax.set_xticks(places[: len(numbers)], [f"frame {text}" for text in numbers[:1]] + numbers[1:])
            ax.tick_params(length=0, labelsize=8, labelcolor=QUIET, pad=1)
            ax.set_yticks([])
            ax.grid(False)
            ax.spines[:].set_visible(False)
            top -= _NUMBERS
    return fig


def _gap(cell: int) -> int:
    return max(1, cell // 40)


def _strip(frames: np.ndarray, columns: int, width: int) -> tuple[np.ndarray, list[int], int]:
    """A strip ``(h, w, 3)`` uint8 at most `width` pixels wide, which frames it holds, and the width of one."""
    shown = spaced(len(frames), columns)
    cell = int(width / (columns * 41 / 40))
    size = (cell, max(1, round(cell * frames.shape[1] / frames.shape[2])))
    method = cv2.INTER_AREA if cell < frames.shape[2] else cv2.INTER_LINEAR
    strip = np.full((size[1], columns * (cell + _gap(cell)) - _gap(cell), 3), 255, np.uint8)
    for place, number in enumerate(shown):
        left = place * (cell + _gap(cell))
        strip[:, left : left + cell] = cv2.resize(frames[number], size, interpolation=method)
    few = Image.fromarray(strip).quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return np.asarray(few.convert("RGB")), shown, cell
