"""Classes on two scales of time, in Kinetics' layout: what a moment shows, what takes seconds, what a frame tells.

Who skates to the left and who skates to the right have the same poses at the same places, and the direction is seen in
neighbouring frames alone. In frames that lie a seventh of the video apart it is not: a skater is back at a place after
`ROUND` frames, and a seventh of a video is half as long, give or take two frames, each as often. Of boxing then
squatting and squatting then boxing every moment is in both, and only the order tells. Kicking and waving differ in
every frame.
"""

from __future__ import annotations

from dataclasses import replace

from actionbook.datasets.figures import Act, Scene
from actionbook.datasets.figures.canvas import VIEW_HEIGHT
from actionbook.datasets.miniature.looks import ANYWHERE, Look, look_scene
from actionbook.datasets.miniature.spec import Clip, MiniSpec

ROUND = 28
"""Frames in which a skater goes once over the track."""
LEAD = 3
"""Frames of standing before the first of two actions, and after the second; twice as many and more between them."""

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
    action = PLAIN.get(name, "Standing")
    scene = look_scene(Look(action, ANYWHERE), clip, spec, camera_moves=False)
    (actor,) = scene.actors
    if name in SKATING:
        span = VIEW_HEIGHT * spec.width / spec.height + actor.height / 2  # as wide as the view and the figure
        actor = replace(actor, track=(SKATING[name] * span / ROUND, span))
    elif name in SEQUENCES:
        first, second = SEQUENCES[name]
        each = (scene.length - 4 * LEAD) // 2
        acts = Act(first, LEAD, LEAD + each), Act(second, scene.length - LEAD - each, scene.length - LEAD)
        actor = replace(actor, acts=acts)
    return replace(scene, actors=(actor,))
