"""Classes on two scales of time, in Kinetics' layout: what a moment shows, what takes seconds, what a frame tells.

Skaters alike follow each other at equal distances, to the left or to the right, and neighbouring frames tell the
direction. Frames that lie a seventh of the video apart do not: each skater has moved by half the distance to the next
one, and whether to the left or to the right, the picture is the same; in the middles of the seven parts it is the same
in both classes. Of boxing then squatting and squatting then boxing every moment is in both, and only the order tells.
Kicking and waving differ in every frame.
"""

from __future__ import annotations

from dataclasses import replace

from actionbook.datasets.figures import Actor, Scene
from actionbook.datasets.figures.canvas import VIEW_HEIGHT
from actionbook.datasets.miniature.looks import ANYWHERE, Look, look_scene
from actionbook.datasets.miniature.sequences import in_turn
from actionbook.datasets.miniature.spec import Clip, MiniSpec

PARTS = 7
"""Parts of a video from one to the next of which the direction of the skaters does not show."""
SKATERS = 3
LEAD = 3
"""Frames of standing before the first of two actions and after the second; twice as many, or one more, between them."""

SKATING = {"skating left": -1, "skating right": 1}
SEQUENCES = {
    "boxing then squatting": ("Boxing", "Squatting"),
    "squatting then boxing": ("Squatting", "Boxing"),
}
PLAIN = {"kicking": "Kicking", "waving": "Waving"}

TIMESCALES = (*SKATING, *SEQUENCES, *PLAIN)
"""The classes; none is one of Kinetics' own."""


def timescales_scene(clip: Clip, spec: MiniSpec) -> Scene:
    """The scene of one video. The random numbers depend on seed, group and clip, not on the class."""
    name = clip.class_name
    scene = look_scene(Look(PLAIN.get(name, "Standing"), ANYWHERE), clip, spec, camera_moves=False)
    (actor,) = scene.actors
    if name in SKATING:
        return replace(scene, actors=_file(actor, SKATING[name], scene))
    if name in SEQUENCES:
        actor = replace(actor, acts=in_turn(SEQUENCES[name], scene.length, LEAD, 2 * LEAD))
    return replace(scene, actors=(actor,))


def _file(actor: Actor, direction: int, scene: Scene) -> tuple[Actor, ...]:
    """The skaters, one behind the other on a track as wide as the view and a figure."""
    view = VIEW_HEIGHT * scene.width / scene.height
    span = view + actor.height / 2
    distance, part = span / SKATERS, scene.length // PARTS
    speed = direction * distance / (2 * part)
    # In the middle of the first part, frame (part - 1) // 2, both directions have the same places.
    start = actor.phase * distance - speed * ((part - 1) // 2)
    tracks = ((start + number * distance, speed, span) for number in range(SKATERS))
    return tuple(replace(actor, x=scene.camera.x + view / 2, track=track) for track in tracks)
