"""Things that move by themselves in the background. Their motion looks the same forwards and backwards in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from actionbook.datasets.figures.canvas import Canvas, Colour, shade

KINDS_OUTDOORS = ("ball", "bird", "butterfly", "cloud", "kite")
KINDS_INDOORS = ("ball", "balloon", "butterfly")


@dataclass(frozen=True)
class Prop:
    """A moving thing: a kind, where it is (units), how fast it drifts (units per frame), its rhythm and its colour."""

    kind: str
    x: float
    y: float
    drift: float
    period: float
    phase: float
    colour: Colour


def random_props(rng: np.random.Generator, kinds: Sequence[str], pan: float, view: float) -> tuple[Prop, ...]:
    """No or one moving thing out of `kinds`, near an edge of the view (`view` units wide, moved by `pan`)."""
    props = []
    for kind in rng.permutation(kinds)[: int(rng.integers(0, 2))]:
        edge = view * (0.12 if rng.integers(2) else 0.88)
        red, green, blue = (int(channel) for channel in rng.integers(90, 256, 3))
        props.append(
            Prop(
                kind=str(kind),
                x=pan + edge + rng.uniform(-22, 22),
                y=rng.uniform(26, 64),
                drift=rng.uniform(-0.6, 0.6),
                period=rng.uniform(22, 44),
                phase=float(rng.uniform()),
                colour=(red, green, blue),
            )
        )
    return tuple(props)


def draw_prop(canvas: Canvas, prop: Prop, t: float) -> None:
    """Draw `prop` at frame `t`."""
    turn = 2 * pi * (t / prop.period + prop.phase)
    _DRAW[prop.kind](canvas, prop, prop.x + prop.drift * t, turn)


def _ball(canvas: Canvas, prop: Prop, x: float, turn: float) -> None:
    y = 196 - 40 * abs(sin(turn / 2))
    canvas.darken(x, 203, 11, 3.5, 0.35)
    canvas.blob([(x, y, 8.0)], (52, 42, 58))
    canvas.blob([(x, y, 6.8)], prop.colour)
    canvas.blob([(x - 2.2, y - 2.4, 2.2)], shade(prop.colour, 1.5))


def _bird(canvas: Canvas, prop: Prop, x: float, turn: float) -> None:
    flap = 5 * sin(turn * 3)
    y = prop.y + 3 * sin(turn)
    canvas.line(
        [(x - 10, y - flap), (x - 5, y - 3 - flap / 3), (x, y), (x + 5, y - 3 - flap / 3), (x + 10, y - flap)],
        (70, 66, 86),
        1.8,
    )


def _butterfly(canvas: Canvas, prop: Prop, x: float, turn: float) -> None:
    wing = 1.2 + 3.4 * abs(cos(turn * 3))
    x, y = x + 10 * sin(turn), prop.y + 70 + 8 * sin(2 * turn)
    for side in (-1, 1):
        canvas.blob([(x, y, 0.8), (x + side * wing, y - 3, 2.6)], prop.colour)
        canvas.blob([(x, y, 0.8), (x + side * wing * 0.8, y + 2.4, 1.9)], shade(prop.colour, 0.8))
    canvas.blob([(x, y - 3, 0.8), (x, y + 3, 0.8)], (52, 42, 58))


def _cloud(canvas: Canvas, prop: Prop, x: float, turn: float) -> None:
    for dx, dy, r in ((-15, 3, 7), (-5, -3, 10), (7, -1, 9), (17, 4, 6)):
        canvas.blob([(x + dx, prop.y + dy, float(r))], (252, 253, 255))
    canvas.blob([(x - 17, prop.y + 6, 4.5), (x + 18, prop.y + 6, 4.5)], (252, 253, 255))


def _kite(canvas: Canvas, prop: Prop, x: float, turn: float) -> None:
    x, y, tilt = x + 9 * sin(turn), prop.y + 5 * sin(2 * turn), 0.35 * sin(turn)
    tail = [(x + 4 * sin(turn + k) + 2 * k * tilt, y + 13 + 7 * k) for k in range(5)]
    canvas.line(tail, (90, 84, 104), 1)
    canvas.polygon([(x, y - 16), (x + 10, y - 2), (x, y + 14), (x - 10, y - 2)], prop.colour)
    canvas.polygon([(x, y - 16), (x + 10, y - 2), (x, y - 2)], shade(prop.colour, 1.4))
    canvas.polygon([(x, y + 14), (x - 10, y - 2), (x, y - 2)], shade(prop.colour, 0.8))


def _balloon(canvas: Canvas, prop: Prop, x: float, turn: float) -> None:
    x, y = x + 5 * sin(turn), prop.y + 20 + 4 * cos(2 * turn)
    canvas.line([(x, y + 14), (x - 3 * sin(turn), y + 30), (x, y + 46)], (90, 84, 104), 1)
    canvas.blob([(x, y, 11.0), (x, y + 8, 6.0)], prop.colour)
    canvas.blob([(x - 4, y - 4, 2.8)], shade(prop.colour, 1.5))


_DRAW = {"ball": _ball, "balloon": _balloon, "bird": _bird, "butterfly": _butterfly, "cloud": _cloud, "kite": _kite}
