"""Boxes, arrows and labels of a picture of a network, as SVG that takes the page's colours."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from actionbook.results.style import QUIET, colour

# All in pixels.
_HIGH, _WIDE, _DEEP = 118.0, 2.1, 30.0  # of the most rows; of one channel; of the most frames
_BOXES = 360.0  # of all boxes of a row side by side: where they are more, all are narrower
_LEAST = 3.0
_SLANT = (0.8, 0.6)  # how far to the right and up a pixel of depth leads
_LETTER, _LINE, _SIZE = 6.4, 17.0, 12  # width of a letter, from one line to the next, height of letters
_BETWEEN, _MARGIN = 3.0, 66.0  # between boxes of one stage, for the heads of the lines
_PAPER = "var(--pst-color-background, var(--jp-layout-color0, #fff))"  # of the book's pages, and of Jupyter's
_HEADS = ("C × T", "H × W", "MACs", "parameters")
_LABEL = _LINE * (len(_HEADS) + 1) + 12
_SMALLEST = 0.85  # of its size, before a picture scrolls instead of shrinking
_GAP, _TURN = 12.0, 34.0  # between stages; where the ways of several rows part or meet
_ARC = 26.0  # of a shortcut, above the boxes


@dataclass(frozen=True)
class Box:
    """One stage to be drawn."""

    title: str
    lines: Sequence[str]
    """Two, below the title."""
    shares: Sequence[float]
    """Of multiply-accumulates and of parameters, 0..1."""
    sizes: Sequence[tuple[int, int, int]]
    """Channels, frames and rows of every box of it."""
    kind: int | None
    """Number of its kind, None of a plain stage."""
    row: str
    """Its pathway; empty: in the middle of all."""
    is_input: bool


@dataclass(frozen=True)
class _Placed:
    """A stage with its place."""

    box: Box
    solids: Sequence[tuple[float, float, float]]
    """Width, height and depth of every box."""
    column: float
    """Where its column begins."""
    centre: float
    middle: float
    label: float
    """Upper edge of its label."""

    @property
    def wide(self) -> float:
        return _extent(self.solids)

    @property
    def left(self) -> float:
        return self.centre - self.wide / 2

    @property
    def right(self) -> float:
        """Where the way leads out: half-way along the last box's side."""
        return self.left + self.wide - _SLANT[0] * self.solids[-1][2] / 2

    @property
    def top(self) -> float:
        return self.middle - _above(self.solids)


def drawing(boxes: Sequence[Box], arrows: Sequence[tuple[int, int, str]], kinds: Sequence[str], said: str) -> str:
    """HTML of the picture with its legend.

    `arrows` are (from, to, look), numbers of boxes and "", "lateral" or "shortcut"; `said` is the text for those who
    cannot see it. Pictures wider than the page shrink a little, and then scroll in their own frame.
    """
    placed, wide, high = _layout(boxes, arrows)
    body = [_arrow(placed[start], placed[end], look) for start, end, look in arrows]
    body += [_stage(stage) for stage in placed]
    maps = [stage for stage in placed if all(stage.box.lines)]  # what has no rows and columns needs no heads
    for label in dict.fromkeys(stage.label for stage in maps if stage.box.row or not any(box.row for box in boxes)):
        body += [_text(0, label + _LINE * (line + 2), head, 'opacity="0.75"') for line, head in enumerate(_HEADS)]
    legend = "".join(
        '<span style="margin-right: 1.4em; white-space: nowrap"><span style="display: inline-block; width: 0.9em; '
        f'height: 0.9em; vertical-align: -0.1em; background: {colour(number)}"></span> {html.escape(kind)}</span>'
        for number, kind in enumerate(kinds)
    )
    return (
        f'<div class="network">{f"<div>{legend}</div>" if legend else ""}<div style="overflow-x: auto" tabindex="0">'
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(said)}" '
        f'viewBox="0 0 {wide:.0f} {high:.0f}" style="width: 100%; min-width: {_SMALLEST * wide:.0f}px; '
        f'max-width: {wide:.0f}px; height: auto" '
        f'font-size="{_SIZE}" fill="currentColor">{"".join(body)}</svg></div></div>'
    )


def _layout(boxes: Sequence[Box], arrows: Sequence[tuple[int, int, str]]) -> tuple[list[_Placed], float, float]:
    """Every stage at its place, and width and height of the picture."""
    names = list(dict.fromkeys(box.row for box in boxes if box.row)) or [""]
    arched = any(look == "shortcut" for *_, look in arrows)
    high = _HIGH / (1 + 0.3 * (len(names) - 1))  # several rows are lower, and need room for the ways between them
    rows, frames = (max(size[place] for box in boxes for size in box.sizes) for place in (2, 1))
    roots = {name: sum(c**0.5 for box in boxes if box.row in (name, "") for c, _, _ in box.sizes) for name in names}
    wide = min(_WIDE, _BOXES / max(roots.values()))
    solids = [[_solid(size, (wide, high / rows**0.5, _DEEP / frames)) for size in box.sizes] for box in boxes]
    columns = _columns(boxes)
    widths = [0.0] * (max(columns) + 1)
    for column, box, mine in zip(columns, boxes, solids, strict=True):
        widths[column] = max(widths[column], _LETTER * max(len(box.title) * 1.08, *map(len, box.lines)), _extent(mine))
    gaps = _gaps(boxes, columns, arrows)
    lefts = [_MARGIN + gaps[0]]
    for width, gap in zip(widths, gaps[1:], strict=True):
        lefts.append(lefts[-1] + width + gap)
    places, bottom = {}, 0.0
    for name in names:
        row = [one for one, box in zip(solids, boxes, strict=True) if box.row == name]
        middle = bottom + 4 + _ARC * arched + max(map(_above, row))
        places[name] = middle, middle + max(map(_half, row))
        bottom = places[name][1] + _LABEL
    shared = (places[names[0]][0] + places[names[-1]][0]) / 2
    placed = []
    for column, box, mine in zip(columns, boxes, solids, strict=True):
        middle, label = places.get(box.row, (shared, shared + _half(mine)))
        start = lefts[column] - gaps[column]
        placed.append(_Placed(box, mine, start, lefts[column] + widths[column] / 2, middle, label))
    return placed, lefts[-1], bottom


def _gaps(boxes: Sequence[Box], columns: Sequence[int], arrows: Sequence[tuple[int, int, str]]) -> list[float]:
    """The room before every column and behind the last: more where ways lead from one row to another."""
    turns = {columns[end] for start, end, _ in arrows if boxes[start].row != boxes[end].row}
    return [_TURN if column in turns else _GAP for column in range(max(columns) + 2)]


def _columns(boxes: Sequence[Box]) -> list[int]:
    """The column of every stage: right of those that lead to it."""
    ends: dict[str, int] = {}
    columns = []
    for box in boxes:
        before = ends.get(box.row, ends.get("", -1)) if box.row else max(ends.values(), default=-1)
        if not box.row:
            ends = {}
        ends[box.row] = before + 1
        columns.append(before + 1)
    return columns


def _solid(size: tuple[int, int, int], scale: tuple[float, float, float]) -> tuple[float, float, float]:
    """Width, height and depth of a box of (channels, frames, rows), from what one channel, row and frame would have."""
    channels, frames, rows = size
    return max(scale[0] * channels**0.5, _LEAST), max(scale[1] * rows**0.5, _LEAST), scale[2] * frames


def _extent(solids: Sequence[tuple[float, float, float]]) -> float:
    return sum(wide for wide, _, _ in solids) + _BETWEEN * (len(solids) - 1) + _SLANT[0] * solids[-1][2]


def _above(solids: Sequence[tuple[float, float, float]]) -> float:
    return max(high / 2 + _SLANT[1] * deep for _, high, deep in solids)


def _half(solids: Sequence[tuple[float, float, float]]) -> float:
    return max(high for _, high, _ in solids) / 2


def _stage(stage: _Placed) -> str:
    """Boxes and label."""
    box, parts, left = stage.box, [], stage.left
    shade = "none" if box.is_input else QUIET if box.kind is None else colour(box.kind)
    for (wide, high, deep), (_, frames, _) in zip(stage.solids, box.sizes, strict=True):
        parts.append(_box(left, stage.middle - high / 2, (wide, high, deep), shade, frames))
        left += wide + _BETWEEN
    parts.append(_text(stage.centre, stage.label + _LINE, box.title, 'text-anchor="middle" font-weight="bold"'))
    parts += [_text(stage.centre, stage.label + _LINE * (n + 2), line) for n, line in enumerate(box.lines)]
    for number, share in enumerate(box.shares):
        base = stage.label + _LINE * (len(box.lines) + number + 2)
        if share:
            length = 48 * share
            parts.append(
                f'<rect x="{stage.centre - 24:.1f}" y="{base + 2.5:.1f}" width="48" height="2" opacity="0.18"/>'
                f'<rect x="{stage.centre - 24:.1f}" y="{base + 2.5:.1f}" width="{length:.1f}" height="2"/>'
            )
            parts.append(_text(stage.centre, base, f"{share:.0%}" if share >= 0.005 else "< 1%"))
    return "".join(parts)


def _box(left: float, top: float, solid: tuple[float, float, float], shade: str, frames: int) -> str:
    """A box seen from the front, with as many slices as frames, or as many as can be told apart."""
    wide, high, deep = solid
    x, y = _SLANT[0] * deep, -_SLANT[1] * deep
    front = _polygon([(left, top), (left + wide, top), (left + wide, top + high), (left, top + high)])
    roof = _polygon([(left, top), (left + x, top + y), (left + wide + x, top + y), (left + wide, top)])
    right = left + wide
    side = _polygon([(right, top), (right + x, top + y), (right + x, top + high + y), (right, top + high)])
    slices = min(frames, 16)
    lines = "".join(
        f'<path d="M{left + x * n / slices:.1f} {top + y * n / slices:.1f}h{wide:.1f}v{high:.1f}"/>'
        for n in range(1, slices)
    )
    edge = "currentColor" if shade == "none" else _PAPER
    faces = f'<path d="{roof}" fill-opacity="0.65"/><path d="{side}" fill-opacity="0.8"/><path d="{front}"/>'
    ground = f'<path d="{roof}{side}{front}" fill="{_PAPER}"/>'
    return (
        f'{ground}<g fill="{shade}" stroke="{edge}" stroke-width="0.8" stroke-linejoin="round">{faces}'
        f'<g fill="none" stroke-width="0.6" stroke-opacity="0.7">{lines}</g></g>'
    )


def _polygon(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _arrow(start: _Placed, end: _Placed, look: str) -> str:
    """The way from one stage to another, along its own row as far as it can; a shortcut goes over what is between."""
    if look == "shortcut":
        x, to, arc = (start.left + start.right) / 2, (end.left + end.right) / 2, min(start.top, end.top) - _ARC
        path = _path("M", (x, start.top), "C", (x, arc), (to, arc), (to, end.top))
        head = _path("M", (to - 4, end.top - 6), "L", (to, end.top), (to + 4, end.top - 6))
    else:
        y, to, last = start.middle, end.middle, max(start.right, end.column)
        bend = (end.left + last) / 2
        path = _path("M", (start.right, y), "L", (last, y), "C", (bend, y), (bend, to), (end.left, to))
        head = _path("M", (end.left - 6, to - 4), "L", (end.left, to), (end.left - 6, to + 4))
    dashes = ' stroke-dasharray="4 3"' if look == "lateral" else ""
    return (
        f'<g fill="none" stroke="currentColor" stroke-opacity="0.6" stroke-width="1.4"><path d="{path}"{dashes}/>'
        f'<path d="{head}"/></g>'
    )


def _path(*steps: str | tuple[float, float]) -> str:
    return " ".join(step if isinstance(step, str) else f"{step[0]:.1f} {step[1]:.1f}" for step in steps)


def _text(x: float, y: float, text: str, look: str = 'text-anchor="middle"') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{html.escape(text)}</text>' if text else ""
