"""Drawing one figure: limbs from back to front, each with an outline, flat colours and a lighter side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, sin

import numpy as np

from actionbook.datasets.figures.canvas import Canvas, Colour, Disc, Point, shade
from actionbook.datasets.figures.heads import INK, draw_head
from actionbook.datasets.figures.people import Person
from actionbook.datasets.figures.skeleton import HEEL_RADIUS, TOE_RADIUS, Joints

OUTLINE = 0.0105
"""Width of the outline around every part, in body heights."""

_FAR = 0.74  # brightness of the limbs behind the body
Part = tuple[Sequence[Disc], Colour]


@dataclass(frozen=True)
class Placement:
    """Where a figure stands: feet at world point (x, y), `height` units tall, facing +1 (right) or -1 (left)."""

    x: float
    y: float
    height: float
    facing: int = 1

    def world(self, point: Point) -> Point:
        """World point of a point in body heights."""
        return self.x + self.facing * self.height * point[0], self.y + self.height * point[1]


@dataclass(frozen=True)
class _Brush:
    canvas: Canvas
    placement: Placement

    def disc(self, point: Point, radius: float) -> Disc:
        x, y = self.placement.world(point)
        return x, y, radius * self.placement.height

    def part(self, blobs: Sequence[Part], light: float = 1.0) -> None:
        """Outline all blobs first, then fill them, so that the pieces of one limb run into each other."""
        outline = OUTLINE * self.placement.height
        for discs, _ in blobs:
            self.canvas.blob(discs, INK, outline)
        for discs, colour in blobs:
            self.canvas.blob(discs, shade(colour, light))

    def gleam(self, a: Disc, b: Disc, colour: Colour) -> None:
        """A lighter band along a limb, on the side of the light (upper left)."""
        moved = [(x - 0.30 * r, y - 0.18 * r, 0.42 * r) for x, y, r in (a, b)]
        self.canvas.blob(moved, shade(colour, 1.22))


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])


def draw_figure(canvas: Canvas, person: Person, pose: Joints, placement: Placement, *, frontal: bool) -> None:
    """Draw `person` with its joints as in `pose` onto `canvas`."""
    brush = _Brush(canvas, placement)
    light = 1.0 if frontal else _FAR
    if not frontal:
        _arm(brush, person, pose, 0, light)
    _leg(brush, person, pose, 0, light)
    _leg(brush, person, pose, 1, 1.0)
    _torso(brush, person, pose, frontal)
    _head(brush, person, pose, frontal)
    if frontal:
        _arm(brush, person, pose, 0, 1.0)
    _arm(brush, person, pose, 1, 1.0)


def draw_seat(canvas: Canvas, person: Person, placement: Placement) -> None:
    """Draw the stool on which a figure with its feet at the origin of `placement` sits down."""
    body = person.body
    top, middle = -(body.ankle + body.shank - 0.068), -body.thigh * 0.98
    brush = _Brush(canvas, placement)
    for lean in (-1.0, 1.0):
        foot = brush.disc((middle + lean * 0.098, -0.014), 0.013)
        head = brush.disc((middle + lean * 0.070, top + 0.02), 0.015)
        brush.part([([foot, head], shade(person.seat, 0.72))])
    rung = [brush.disc((middle + lean * 0.084, top * 0.42), 0.008) for lean in (-1.0, 1.0)]
    brush.part([(rung, shade(person.seat, 0.62))])
    left, right = brush.disc((middle - 0.095, top), 0.021), brush.disc((middle + 0.095, top), 0.021)
    brush.part([([left, right], person.seat)])
    brush.gleam(left, right, person.seat)


def _arm(brush: _Brush, person: Person, pose: Joints, side: int, light: float) -> None:
    girth = person.body.girth
    shoulder, elbow, hand = pose.shoulders[side], pose.elbows[side], pose.hands[side]
    top, mid = brush.disc(shoulder, 0.040 * girth), brush.disc(elbow, 0.031 * girth)
    wrist, fist = brush.disc(_between(elbow, hand, 0.86), 0.025 * girth), brush.disc(hand, 0.034)
    sleeve = person.shirt if person.long_sleeves else person.skin
    cuff = brush.disc(_between(shoulder, elbow, 0.62), 0.041 * girth)
    parts: list[Part] = [([fist], person.skin), ([mid, wrist], sleeve), ([top, mid], sleeve)]
    if not person.long_sleeves:
        parts.append(([top, cuff], person.shirt))
    brush.part(parts, light)
    if light == 1.0:
        brush.gleam(top, mid if person.long_sleeves else cuff, person.shirt)


def _leg(brush: _Brush, person: Person, pose: Joints, side: int, light: float) -> None:
    girth = person.body.girth
    hip, knee, ankle = pose.hips[side], pose.knees[side], pose.ankles[side]
    top = brush.disc(_between(hip, knee, 0.04), 0.060 * girth)
    mid, low = brush.disc(knee, 0.043 * girth), brush.disc(ankle, 0.031 * girth)
    shoe: Part = ([brush.disc(pose.heels[side], HEEL_RADIUS), brush.disc(pose.toes[side], TOE_RADIUS)], person.shoes)
    instep: Part = (
        [brush.disc(ankle, 0.026), brush.disc(_between(pose.heels[side], pose.toes[side], 0.5), 0.024)],
        person.shoes,
    )
    if person.shorts:
        hem = brush.disc(_between(hip, knee, 0.78), 0.057 * girth)
        calf = brush.disc(knee, 0.038 * girth)
        parts: list[Part] = [([brush.disc(ankle, 0.026 * girth), calf], person.skin), instep, shoe]
        parts += [([calf, top], person.skin), ([top, hem], person.trousers)]
        mid = hem
    else:
        parts = [instep, shoe, ([mid, low], person.trousers), ([top, mid], person.trousers)]
    brush.part(parts, light)
    if light == 1.0:
        brush.gleam(top, mid, person.trousers)


def _torso(brush: _Brush, person: Person, pose: Joints, frontal: bool) -> None:
    body, girth = person.body, person.body.girth
    brush.part(
        [
            (
                [brush.disc(_between(pose.chest, pose.head, -0.25), 0.036), brush.disc(pose.head, 0.036)],
                shade(person.skin, 0.9),
            )
        ]
    )
    width = body.hip if frontal else 0.012
    hips = [brush.disc((pose.pelvis[0] + side * width, pose.pelvis[1] - 0.012), 0.062 * girth) for side in (-1, 1)]
    chest = _between(pose.chest, pose.pelvis, 0.20)
    if frontal:
        top = [brush.disc(_between(shoulder, chest, 0.20), 0.050 * girth) for shoulder in pose.shoulders]
    else:
        top = [brush.disc(chest, 0.078 * girth), brush.disc(_between(pose.chest, pose.pelvis, 0.12), 0.056 * girth)]
    waist = [(x, y - 0.016 * brush.placement.height, r) for x, y, r in hips]
    brush.part([(hips, person.trousers), ([*top, *waist], person.shirt)])
    spread = 0.085 if frontal else 0.052
    if person.pattern != "plain":
        for share in (0.50,) if person.pattern == "band" else (0.40, 0.62):
            thick = 0.020 if person.pattern == "band" else 0.011
            middle = _between(pose.chest, pose.pelvis, share)
            lean = (pose.chest[0] - pose.pelvis[0], pose.chest[1] - pose.pelvis[1])
            across = (-lean[1] / body.torso * spread * girth, lean[0] / body.torso * spread * girth)
            ends = [(middle[0] + sign * across[0], middle[1] + sign * across[1]) for sign in (-1, 1)]
            brush.canvas.blob([brush.disc(end, thick) for end in ends], person.trim)
    else:
        brush.gleam(top[0], waist[0], person.shirt)


def _head(brush: _Brush, person: Person, pose: Joints, frontal: bool) -> None:
    placement, radius = brush.placement, person.body.head
    x, y = placement.world(pose.head)
    up = (pose.head[0] - pose.chest[0], pose.head[1] - pose.chest[1])
    tilt = float(np.arctan2(up[0], -up[1])) * placement.facing
    size = radius * placement.height
    c, s = cos(tilt) * size, sin(tilt) * size

    def world(points: np.ndarray) -> np.ndarray:
        local = np.asarray(points, np.float64)
        u, v = local[..., 0] * placement.facing, local[..., 1]
        return np.stack([x + c * u - s * v, y + s * u + c * v], axis=-1)

    draw_head(brush.canvas, person, world, size, frontal=frontal)
