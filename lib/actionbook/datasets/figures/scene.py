"""Scenes: actors who do something at a place in front of a camera, as a function of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import cos, pi, sin

import cv2
import numpy as np

from actionbook.datasets.figures.actions import ACTIONS
from actionbook.datasets.figures.actor import Actor
from actionbook.datasets.figures.backgrounds import MARGIN_X, MARGIN_Y, Place, paint
from actionbook.datasets.figures.canvas import SUPERSAMPLING, VIEW_HEIGHT, Canvas, Image
from actionbook.datasets.figures.drawing import OUTLINE, draw_figure, draw_seat
from actionbook.datasets.figures.heads import HEAD_REACH
from actionbook.datasets.figures.props import Prop, draw_prop
from actionbook.datasets.figures.tools import draw_ball, draw_stick

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Camera:
    """A view that sways by `sway` units (`period` frames, `phase` cycles) and follows the first actor by a share."""

    x: float = 0.0
    y: float = 0.0
    sway: float = 0.0
    period: float = 60.0
    phase: float = 0.0
    follow: float = 0.0


@dataclass(frozen=True)
class Scene:
    """All that a clip shows. `backwards`: camera, props and grain run from the last of `length` frames to the first.

    Actors know their own direction in time; both together make a clip the exact reverse of another.
    """

    place: Place
    actors: tuple[Actor, ...]
    length: int
    width: int = 320
    height: int = 240
    camera: Camera = field(default_factory=Camera)
    props: tuple[Prop, ...] = ()
    grain: int = 0
    backwards: bool = False

    def ambient(self, t: float) -> float:
        """Time of everything but the actors, in frames."""
        return self.length - 1 - t if self.backwards else t


def _view(scene: Scene, t: float) -> tuple[int, int]:
    """Upper left corner of the view at frame `t`, in supersampled pixels of the background."""
    camera, scale = scene.camera, SUPERSAMPLING * scene.height / VIEW_HEIGHT
    turn = 2 * pi * (scene.ambient(t) / camera.period + camera.phase)
    x, y = camera.x + camera.sway * sin(turn), camera.y + 0.4 * camera.sway * cos(1.7 * turn)
    if scene.actors and camera.follow:
        x += camera.follow * (scene.actors[0].placement(t).x - scene.actors[0].x)
    left, top = (min(max(value + margin, 0.0), 2 * margin) for value, margin in ((x, MARGIN_X), (y, MARGIN_Y)))
    return round(left * scale), round(top * scale)


def render_frame(scene: Scene, t: float) -> Image:
    """Draw the scene at frame `t` (a float between frames is fine).

    Returns RGB uint8 ``(H, W, 3)``. Actors whose feet stand lower in the view are drawn in front.
    """
    scale = SUPERSAMPLING * scene.height / VIEW_HEIGHT
    left, top = _view(scene, t)
    backdrop = paint(scene.place, scene.width, scene.height)
    rows, columns = SUPERSAMPLING * scene.height, SUPERSAMPLING * scene.width
    view = backdrop[top : top + rows, left : left + columns].copy()
    canvas = Canvas(view, scale, (left / scale - MARGIN_X, top / scale - MARGIN_Y))
    for prop in scene.props:
        draw_prop(canvas, prop, scene.ambient(t))
    for actor in sorted(scene.actors, key=lambda actor: actor.y):
        draw_actor(canvas, actor, t)
    frame = cv2.resize(view, (scene.width, scene.height), interpolation=cv2.INTER_AREA)
    return _grained(frame.astype(np.uint8, copy=False), scene.grain, round(scene.ambient(t)))


def draw_actor(canvas: Canvas, actor: Actor, t: float) -> None:
    """Draw one actor with its shadow, its tool, and its stool where the action has one, at frame `t`."""
    action, pose, placement = ACTIONS[actor.action], actor.joints(t), actor.placement(t)
    x, _ = placement.world(((pose.pelvis[0] + pose.toes[0][0] + pose.toes[1][0]) / 3, 0.0))
    spread = abs(pose.toes[0][0] - pose.toes[1][0]) * 0.5 + 0.17
    canvas.darken(x, actor.y - 0.006 * actor.height, spread * actor.height, 0.048 * actor.height, 0.42)
    if action.seat:
        draw_seat(canvas, actor.person, placement)
    draw_figure(canvas, actor.person, pose, placement, frontal=action.frontal)
    if actor.tool is not None and action.release is not None:
        draw_ball(canvas, actor.tool, placement, actor.ball(t))
    elif actor.tool is not None:
        draw_stick(canvas, actor.tool, placement, hand=pose.hands[1], angle=actor.pose(t).grip, skin=actor.person.skin)


def actor_box(scene: Scene, index: int, t: float) -> Box | None:
    """Bounding box of actor `index` (its body, without shadow, stool and tool) at frame `t`.

    Returns ``(x1, y1, x2, y2)`` in pixels of the frame, clipped to it, or None when the actor is out of view.
    """
    actor = scene.actors[index]
    pose, placement = actor.joints(t), actor.placement(t)
    unit = scene.height / VIEW_HEIGHT
    left, top = (value / SUPERSAMPLING for value in _view(scene, t))
    head, girth = actor.person.body.head, max(actor.person.body.girth, 1.0)
    up, aside = (head * (share - 1.0) for share in HEAD_REACH[actor.person.headwear])
    crown = [(0.0, -up), (-aside, 0.0), (aside, 0.0)]
    reach = [((pose.head[0] + dx, pose.head[1] + dy), head) for dx, dy in crown]
    reach.append((pose.pelvis, 0.08 * girth))
    reach += [(point, 0.045 * girth) for point in (*pose.shoulders, *pose.elbows, *pose.hands, *pose.knees)]
    reach += [(point, 0.034) for point in (*pose.heels, *pose.toes)]
    spots = [(*placement.world(point), (radius + OUTLINE) * placement.height) for point, radius in reach]
    x1 = (min(x - r for x, _, r in spots) + MARGIN_X) * unit - left
    x2 = (max(x + r for x, _, r in spots) + MARGIN_X) * unit - left
    y1 = (min(y - r for _, y, r in spots) + MARGIN_Y) * unit - top
    y2 = (max(y + r for _, y, r in spots) + MARGIN_Y) * unit - top
    x1, x2 = max(x1, 0.0), min(x2, float(scene.width))
    y1, y2 = max(y1, 0.0), min(y2, float(scene.height))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


@lru_cache(maxsize=4)
def _noise(width: int, height: int) -> tuple[Image, Image]:
    """What to add and what to subtract for a grain of standard deviation 1.4, on a sheet larger than a frame."""
    sheet = np.random.default_rng(7).normal(0.0, 1.4, (height + 64, width + 64, 3))
    rounded = np.rint(sheet).astype(np.int16)
    return np.clip(rounded, 0, 255).astype(np.uint8), np.clip(-rounded, 0, 255).astype(np.uint8)


def _grained(frame: Image, seed: int, t: int) -> Image:
    """Add film grain: a different cut of one sheet of noise for every frame."""
    height, width = frame.shape[:2]
    mixed = (seed * 2654435761 + t * 40503 + 12345) & 0xFFFFFFFF
    x, y = (mixed >> 8) % 64, (mixed >> 17) % 64
    plus, minus = (sheet[y : y + height, x : x + width] for sheet in _noise(width, height))
    return cv2.subtract(cv2.add(frame, plus), minus)  # type: ignore[return-value]
