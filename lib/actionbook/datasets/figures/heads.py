"""Heads: face, hair and hats, in units of the head's radius, the face looking towards +x in profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from actionbook.datasets.figures.canvas import Canvas, Colour, shade
from actionbook.datasets.figures.people import Person

INK: Colour = (52, 42, 58)
HEAD_REACH: dict[str, tuple[float, float]] = {
    "bob": (1.22, 1.28),
    "bun": (1.75, 1.25),
    "cap": (1.34, 1.66),
    "beanie": (1.60, 1.26),
    "curls": (1.42, 1.42),
    "hat": (1.54, 1.56),
    "ponytail": (1.20, 1.80),
    "short": (1.20, 1.24),
}
"""How far hair and hats reach from the middle of the head, upwards and sideways, in radii of the head."""
_CHEEK: Colour = (240, 120, 110)
_LINE = 0.105
World = Callable[[np.ndarray], np.ndarray]
Local = Sequence[tuple[float, float]]


def _arc(start: float, end: float, radius: float = 1.0, count: int = 24) -> list[tuple[float, float]]:
    """Points on a circle from `start` to `end` degrees, 0 at the right, 90 at the top."""
    angle = np.radians(np.linspace(start, end, count))
    return [(float(radius * np.cos(a)), float(-radius * np.sin(a))) for a in angle]


_HAIR_PROFILE: Local = [
    *_arc(42, 205, 1.10),
    (-0.62, 0.62),
    (-0.42, 0.30),
    (-0.30, -0.10),
    (0.18, -0.34),
    (0.52, -0.52),
]
_HAIR_FRONT: Local = [*_arc(-8, 188, 1.10), (-0.84, -0.10), (-0.62, -0.44), (0.0, -0.58), (0.62, -0.44), (0.84, -0.10)]
_BOB_PROFILE: Local = [*_arc(42, 200, 1.12), (-1.05, 0.85), (-0.10, 0.92), (-0.02, 0.0), (0.2, -0.36), (0.52, -0.54)]
_BOB_FRONT: Local = [
    *_arc(0, 180, 1.14),
    (-1.16, 0.82),
    (-0.66, 0.90),
    (-0.74, -0.30),
    (0.0, -0.52),
    (0.74, -0.30),
    (0.66, 0.90),
    (1.16, 0.82),
]
_BACK_FRONT: Local = [*_arc(0, 180, 1.12), (-1.10, 0.80), (1.10, 0.80)]
_DOME: Local = [*_arc(14, 166, 1.14), (-1.08, -0.22), (1.08, -0.22)]


class _Pen:
    """Draws in the head's own coordinates; `size` is the head's radius in units."""

    def __init__(self, canvas: Canvas, world: World, size: float) -> None:
        self._canvas, self._world, self._size = canvas, world, size

    def discs(self, discs: Sequence[tuple[float, float, float]], colour: Colour, *, inked: bool = False) -> None:
        table = np.asarray(discs, np.float64)
        moved = [
            (float(x), float(y), r * self._size)
            for (x, y), r in zip(self._world(table[:, :2]), table[:, 2], strict=True)
        ]
        if inked:
            self._canvas.blob(moved, INK, _LINE * self._size)
        self._canvas.blob(moved, colour)

    def shape(self, points: Local, colour: Colour, *, inked: bool = True) -> None:
        moved = self._world(np.asarray(points))
        self._canvas.polygon(moved, colour)
        if inked:
            self._canvas.line(np.concatenate([moved, moved[:1]]), INK, _LINE * self._size * 0.8)

    def stroke(self, points: Local, colour: Colour = INK, width: float = 0.10) -> None:
        self._canvas.line(self._world(np.asarray(points)), colour, width * self._size)


def draw_head(canvas: Canvas, person: Person, world: World, size: float, *, frontal: bool) -> None:
    """Draw a head of radius `size` units; `world` maps points `(N, 2)` of the head (radii, y down) to the world."""
    pen = _Pen(canvas, world, size)
    _behind(pen, person, frontal)
    if frontal:
        _face_front(pen, person)
    else:
        _face_profile(pen, person)
    _hair(pen, person, frontal)
    _hat(pen, person, frontal)


def _behind(pen: _Pen, person: Person, frontal: bool) -> None:
    style, hair = person.headwear, person.hair
    if style == "curls":
        around = range(-10, 200, 30) if frontal else range(40, 240, 28)
        puffs = [(*point, 0.36) for point in (_arc(a, a, 1.0, 1)[0] for a in around)]
        for puff in puffs:
            pen.discs([puff], hair, inked=True)
    elif style == "bun":
        pen.discs([(0.0 if frontal else -0.78, -1.28 if frontal else -0.98, 0.42)], hair, inked=True)
    elif style == "ponytail":
        tail = [(0.85, -0.5, 0.24), (1.32, 0.35, 0.14)] if frontal else [(-1.0, -0.35, 0.28), (-1.62, 0.75, 0.13)]
        pen.discs(tail, hair, inked=True)
    elif style == "bob" and frontal:
        pen.shape(_BACK_FRONT, shade(hair, 0.8))


def _face_front(pen: _Pen, person: Person) -> None:
    for side in (-1.0, 1.0):
        pen.discs([(side * 0.98, 0.10, 0.20)], person.skin, inked=True)
    pen.discs([(0.0, -0.06, 1.0), (0.0, 0.14, 0.90)], person.skin, inked=True)
    for side in (-1.0, 1.0):
        pen.discs([(side * 0.60, 0.36, 0.19)], _blush(person.skin))
        pen.discs([(side * 0.36, -0.04, 0.12), (side * 0.36, 0.08, 0.12)], INK)
        pen.discs([(side * 0.36 - 0.04, -0.06, 0.05)], (255, 255, 255))
    pen.discs([(0.0, 0.26, 0.10)], shade(person.skin, 0.84))
    pen.stroke([(-0.30, 0.50), (-0.16, 0.60), (0.0, 0.64), (0.16, 0.60), (0.30, 0.50)])


def _face_profile(pen: _Pen, person: Person) -> None:
    pen.discs([(1.02, 0.18, 0.17)], person.skin, inked=True)
    pen.discs([(0.0, -0.06, 1.0), (0.06, 0.14, 0.90)], person.skin, inked=True)
    pen.discs([(0.86, 0.16, 0.16), (1.02, 0.18, 0.16)], person.skin)
    pen.discs([(0.42, 0.38, 0.20)], _blush(person.skin))
    pen.discs([(0.58, -0.06, 0.11), (0.58, 0.08, 0.11)], INK)
    pen.discs([(0.55, -0.08, 0.045)], (255, 255, 255))
    pen.stroke([(0.42, 0.56), (0.58, 0.62), (0.76, 0.54)])
    pen.discs([(-0.22, 0.14, 0.20)], shade(person.skin, 0.86))


def _hair(pen: _Pen, person: Person, frontal: bool) -> None:
    if person.headwear == "bob":
        pen.shape(_BOB_FRONT if frontal else _BOB_PROFILE, person.hair)
    else:
        pen.shape(_HAIR_FRONT if frontal else _HAIR_PROFILE, person.hair)
    pen.stroke(_arc(105, 145, 0.86, 6), shade(person.hair, 1.3), 0.12)


def _hat(pen: _Pen, person: Person, frontal: bool) -> None:
    style, hat = person.headwear, person.hat
    if style == "cap":
        pen.shape(_DOME, hat)
        brim = [(-0.62, -0.24, 0.12), (0.62, -0.24, 0.12)] if frontal else [(0.55, -0.28, 0.13), (1.52, -0.20, 0.09)]
        pen.discs(brim, shade(hat, 0.78), inked=True)
        pen.discs([(0.0, -1.16, 0.10)], shade(hat, 0.78), inked=True)
    elif style == "beanie":
        pen.shape(_DOME, hat)
        pen.discs([(-0.98, -0.36, 0.17), (0.98, -0.36, 0.17)], person.trim, inked=True)
        pen.discs([(0.0, -1.28, 0.25)], person.trim, inked=True)
    elif style == "hat":
        pen.shape(
            [(-0.86, -0.50), (-0.70, -1.36), (-0.25, -1.46), (0.0, -1.36), (0.25, -1.46), (0.70, -1.36), (0.86, -0.50)],
            hat,
        )
        pen.shape([(-0.84, -0.56), (-0.79, -0.84), (0.79, -0.84), (0.84, -0.56)], INK, inked=False)
        pen.discs([(-1.40, -0.50, 0.10), (1.40, -0.50, 0.10)], hat, inked=True)


def _blush(skin: Colour) -> Colour:
    red, green, blue = (round(0.62 * a + 0.38 * b) for a, b in zip(skin, _CHEEK, strict=True))
    return red, green, blue
