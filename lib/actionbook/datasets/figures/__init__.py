"""Figures: articulated people who act in painted scenes, the raw material of every miniature data set.

A `Scene` holds a place, a camera, moving things and actors; `render_frame(scene, t)` draws it at any time and
`actor_box(scene, index, t)` says where an actor is. Which data set's folders the frames go to is decided elsewhere.
"""

from __future__ import annotations

from actionbook.datasets.figures.actions import ACTIONS, REVERSED_PAIRS, Action
from actionbook.datasets.figures.actor import Act, Actor
from actionbook.datasets.figures.backgrounds import OUTDOORS, PLACES, Place
from actionbook.datasets.figures.encode import RATES, write_avi, write_by_suffix, write_mp4
from actionbook.datasets.figures.people import Person, draw_person
from actionbook.datasets.figures.props import Prop, random_props
from actionbook.datasets.figures.scene import Camera, Scene, actor_box, render_frame
from actionbook.datasets.figures.tools import Tool

__all__ = [
    "ACTIONS", "OUTDOORS", "PLACES", "RATES", "REVERSED_PAIRS", "Act", "Action", "Actor", "Camera", "Person", "Place",
    "Prop", "Scene", "Tool", "actor_box", "draw_person", "random_props", "render_frame", "write_avi", "write_by_suffix",
    "write_mp4",
]  # fmt: skip
