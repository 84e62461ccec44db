"""Classes on two scales of time, in Kinetics' layout: what a moment shows, what takes seconds, what a frame tells.

Arms that circle inwards or outwards have the same poses; the direction is seen in neighbouring frames alone. It is not
seen in frames that lie a `PART` of the video apart: in that time the arms turn by one half to three halves of a circle,
any of them as likely, so that every step forwards looks as often like one backwards. Of boxing then squatting and
squatting then boxing every moment is in both, and only the order tells. Kicking and waving differ in every frame.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actionbook.datasets.figures import ACTIONS, Act, Scene
from actionbook.datasets.miniature.looks import ANYWHERE, Look, look_scene
from actionbook.datasets.miniature.spec import Clip, MiniSpec

PART = 7
"""Parts of a video, of each of which a network sees a moment."""
LEAD = 3
"""Frames of standing before the first of two actions, and after the second; twice as many and more between them."""

CIRCLES = {"circling arms inward": "ArmCirclesInward", "circling arms outward": "ArmCirclesOutward"}
SEQUENCES = {
    "boxing then squatting": ("Boxing", "Squatting"),
    "squatting then boxing": ("Squatting", "Boxing"),
}
PLAIN = {"kicking": "Kicking", "waving": "Waving"}

TIMESCALES = (*CIRCLES, *SEQUENCES, *PLAIN)
"""The classes; none is one of Kinetics' own."""


def timescales_scene(clip: Clip, spec: MiniSpec) -> Scene:
    """The scene of one video. The random numbers depend on seed, group and clip, not on the class."""
    name = clip.class_name
    action = CIRCLES.get(name) or PLAIN.get(name) or "Standing"
    scene = look_scene(Look(action, ANYWHERE), clip, spec, camera_moves=False)
    (actor,) = scene.actors
    if name in CIRCLES:
        turns = np.random.default_rng([spec.seed, 3, clip.group, clip.clip]).uniform(0.5, 1.5)
        actor = replace(actor, period=ACTIONS[action].tempo * scene.length / PART / turns)
    elif name in SEQUENCES:
        first, second = SEQUENCES[name]
        each = (scene.length - 4 * LEAD) // 2
        acts = Act(first, LEAD, LEAD + each), Act(second, scene.length - LEAD - each, scene.length - LEAD)
        actor = replace(actor, acts=acts)
    return replace(scene, actors=(actor,))
