"""Classes that differ in what a frame shows as well as in what moves: their looks, and scenes that follow from them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from actionbook.datasets.figures import ACTIONS, Actor, Camera, Person, Place, Scene, Tool, draw_person, random_props
from actionbook.datasets.figures.canvas import Colour
from actionbook.datasets.miniature.spec import Clip, MiniSpec

ANYWHERE = ("beach", "gym", "park", "room", "snow", "street")
HOME = ("room", "gym", "street", "park")
FIELD = ("park", "street", "snow", "gym")
BALL = Tool((250, 214, 84))
CLUB = Tool((226, 232, 240))
BAT = Tool((206, 128, 60))
FOIL = Tool((236, 240, 246), 0.52, 0.012)
SWORD = Tool((120, 84, 62), 0.52, 0.012)

_PASSING = ("ball", "butterfly")  # what passes by in any place, so that its motion says nothing about the place


@dataclass(frozen=True)
class Look:
    """What a frame of a class shows: its action, the places it happens in, and what people hold and wear."""

    action: str
    places: tuple[str, ...]
    tool: Tool | None = None
    clothes: tuple[Colour, Colour] | None = None
    """Colours of shirt and trousers, where the class has a costume."""


def look_scene(look: Look, clip: Clip, spec: MiniSpec, *, camera_moves: bool) -> Scene:
    """The scene of one video. The random numbers depend on seed, group and clip, not on the class.

    Two classes of one action therefore differ in their look alone, and of two actions that are each other's time
    reverse, with one look, the videos are each other backwards.
    """
    action = ACTIONS[look.action]
    own = np.random.default_rng([spec.seed, 1, clip.group])
    person = _dressed(draw_person(own), look)
    place = Place(look.places[int(own.integers(12)) % len(look.places)], int(own.integers(2**31)))
    tempo, height, ground, pan = own.uniform((18.0, 160.0, 215.0, -40.0), (23.5, 176.0, 224.0, 40.0))
    rng = np.random.default_rng([spec.seed, 2, clip.group, clip.clip])
    length = int(rng.integers(spec.min_frames, spec.max_frames + 1))
    view = spec.width / spec.height * 240.0
    actor = Actor(
        person=person,
        action=look.action,
        x=pan + view * (0.46 + rng.uniform(-0.06, 0.06)),
        y=ground + rng.uniform(-3.0, 3.0),
        height=height * rng.uniform(0.92, 1.06),
        facing=1,
        phase=float(rng.uniform()),
        period=tempo * rng.uniform(0.88, 1.12),
        length=length,
        tool=look.tool,
    )
    sway = rng.uniform(2.0, 5.0)
    camera = Camera(
        pan, rng.uniform(-3, 3), sway if camera_moves else 0.0, rng.uniform(40, 80), float(rng.uniform()),
        follow=0.3 if action.travels else 0.0,
    )  # fmt: skip
    return Scene(
        place, (actor,), length, spec.width, spec.height, camera, random_props(rng, _PASSING, pan, view),
        grain=int(rng.integers(2**20)), backwards=action.backwards,
    )  # fmt: skip


def _dressed(person: Person, look: Look) -> Person:
    if look.clothes is None:
        return person
    shirt, trousers = look.clothes
    return dataclasses.replace(person, shirt=shirt, trousers=trousers, pattern="plain", long_sleeves=True, shorts=False)
