"""What figures hold or throw: a stick in the hand, a ball that leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

from actionbook.datasets.figures.canvas import Canvas, Colour, Point, shade
from actionbook.datasets.figures.drawing import INK, OUTLINE, Placement

_BALL = 0.050
_SPEED: Point = (2.3, -0.80)
_FALL = 1.9
"""The ball's radius (body heights), its speed when it leaves the hand and its fall (in the progress of the action)."""


@dataclass(frozen=True)
class Tool:
    """A stick (or, for an action that throws, a ball): its colour, and length and thickness in body heights."""

    colour: Colour
    length: float = 0.46
    thickness: float = 0.020


def flown(start: Point, since: float) -> Point:
    """Where a ball is (body heights) that left `start` when the action was `since` less far on."""
    return start[0] + _SPEED[0] * since, min(start[1] + _SPEED[1] * since + _FALL * since**2, -_BALL)


def draw_ball(canvas: Canvas, tool: Tool, placement: Placement, centre: Point) -> None:
    """Draw the ball with its middle at `centre` (body heights)."""
    (x, y), size = placement.world(centre), _BALL * placement.height
    canvas.blob([(x, y, size)], INK, OUTLINE * placement.height)
    canvas.blob([(x, y, size)], tool.colour)
    canvas.blob([(x - 0.3 * size, y - 0.3 * size, 0.35 * size)], shade(tool.colour, 1.5))


def draw_stick(canvas: Canvas, tool: Tool, placement: Placement, *, hand: Point, angle: float, skin: Colour) -> None:
    """Draw the stick in `hand` (body heights) at `angle` (radians from straight down, forward), and the fist on it."""
    tip = (hand[0] + tool.length * sin(angle), hand[1] + tool.length * cos(angle))
    radius, outline = 0.5 * tool.thickness * placement.height, OUTLINE * placement.height
    ends = [(*placement.world(hand), 0.8 * radius), (*placement.world(tip), radius)]
    canvas.blob(ends, INK, 0.7 * outline)
    canvas.blob(ends, tool.colour)
    fist = [(*placement.world(hand), 0.034 * placement.height)]
    canvas.blob(fist, INK, outline)
    canvas.blob(fist, skin)
