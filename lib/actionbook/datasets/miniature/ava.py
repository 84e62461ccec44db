"""The miniature of AVA: two or three people in view, who do different things at the same time.

What a person does says which classes its box has: one of posture, and others of what is held, how the arms go, and what
is done to the next person. A frame is enough for most. Not for circling arms: inward and outward have the same poses,
and go round in half a second or so, which only neighbouring frames tell apart. And not for exercising: a lunge, a squat
and a pause follow each other in rounds of three seconds, and whether the lunge or the squat comes first only a view of
two seconds tells.

A group is one film with people of its own. Some go on all along, others change to something else halfway between two
keyframes.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from actionbook.core.keyframes import Cut
from actionbook.datasets.figures import (
    ACTIONS,
    RATES,
    Act,
    Actor,
    Camera,
    Place,
    Scene,
    Tool,
    actor_box,
    draw_person,
    random_props,
)  # fmt: skip
from actionbook.datasets.figures.canvas import VIEW_HEIGHT
from actionbook.datasets.figures.scene import Box
from actionbook.datasets.miniature.looks import ANYWHERE
from actionbook.datasets.miniature.spec import Clip, MiniatureError, MiniSpec

LUNGE_FIRST, SQUAT_FIRST = "lunge/squat (e.g., in rounds)", "squat/lunge (e.g., in rounds)"
INWARD, OUTWARD = "circle inward (both arms)", "circle outward (both arms)"
HOLD = "carry/hold (an object)"

CLASSES: dict[int, str] = {
    1: "crouch/kneel", 2: LUNGE_FIRST, 3: SQUAT_FIRST, 4: "stand",
    5: HOLD, 6: INWARD, 7: OUTWARD,
    8: "fight/hit (a person)", 9: "hand wave", 10: "kick (a person)", 11: "watch (a person)",
}  # fmt: skip
"""By number, as in AVA posture before objects before people."""
UNSCORED = ("kick (a person)",)
"""Classes whose numbers the class list lacks, as AVA's lacks those of rare classes."""

CUT = Cut(start=1, seconds=9)
KEYFRAMES = range(2, 10)
"""Seconds of the keyframes."""

ROUND = 2.8
"""Seconds of a lunge, a squat and a pause: each action takes one. No whole number, or keyframes would look alike."""


@dataclass(frozen=True)
class Activity:
    """What somebody does for a while: the classes that it has, and an action, or two in rounds."""

    labels: tuple[str, ...]
    actions: tuple[str, ...]


ACTIVITIES = {
    "crouch": Activity(("crouch/kneel", "watch (a person)"), ("Crouching",)),
    "fight": Activity(("stand", "fight/hit (a person)"), ("Boxing",)),
    "inward": Activity(("stand", INWARD), ("ArmCirclesInward",)),
    "kick": Activity(("stand", "kick (a person)"), ("Kicking",)),
    "lunge first": Activity((LUNGE_FIRST,), ("Lunging", "Squatting")),
    "outward": Activity(("stand", OUTWARD), ("ArmCirclesOutward",)),
    "squat first": Activity((SQUAT_FIRST,), ("Squatting", "Lunging")),
    "watch": Activity(("stand", "watch (a person)"), ("Standing",)),
    "wave": Activity(("stand", "hand wave"), ("Waving",)),
}

DECK = (
    ("inward", "inward"), ("outward", "outward"), ("inward", "outward"), ("outward", "inward"), ("inward", "wave"),
    ("wave", "outward"), ("lunge first", "lunge first"), ("squat first", "squat first"), ("lunge first", "fight"),
    ("squat first", "watch"), ("fight", "squat first"), ("crouch", "lunge first"), ("fight", "kick"),
    ("watch", "crouch"), ("kick", "watch"),
)  # fmt: skip
"""What people do first and then; dealt to them one after the other and shuffled whenever all has been dealt."""

_STICKS = Tool((250, 214, 84), 0.34, 0.045), Tool((232, 74, 78), 0.34, 0.045), Tool((246, 246, 244), 0.34, 0.045)


class Part(NamedTuple):
    """Somebody's activity from `start` up to `stop` (seconds of the video)."""

    activity: str
    start: float
    stop: float


class Film(NamedTuple):
    """One video: what is drawn, at how many frames a second, and what each of the scene's actors does."""

    scene: Scene
    rate: int
    parts: tuple[tuple[Part, ...], ...]

    def box(self, person: int, second: float) -> Box:
        """Corners x1, y1, x2, y2 of a person's body as shares of the frame, 0 to 1."""
        box = actor_box(self.scene, person, second * self.rate)
        if box is None:
            raise MiniatureError(f"person {person} is out of view at {second:g} s")
        width, height = self.scene.width, self.scene.height
        return box[0] / width, box[1] / height, box[2] / width, box[3] / height

    def labels(self, person: int, second: float) -> tuple[int, ...]:
        """Numbers of a person's classes, ascending."""
        (part,) = (part for part in self.parts[person] if part.start <= second < part.stop)
        names = set(ACTIVITIES[part.activity].labels) | ({HOLD} if self.scene.actors[person].tool else set())
        return tuple(number for number, name in CLASSES.items() if name in names)


def ava_clips(spec: MiniSpec) -> list[Clip]:
    """Every video, film by film; they have no class. Raises MiniatureError for other classes than `CLASSES`."""
    if set(spec.classes) != set(CLASSES.values()):
        raise MiniatureError(f"classes {list(spec.classes)}: expected all of {list(CLASSES.values())}")
    clips = range(1, spec.clips_per_group + 1)
    return [Clip("", group, clip) for group in range(1, spec.groups + 1) for clip in clips]


def is_validation(clip: Clip, spec: MiniSpec) -> bool:
    """Whether a video is one of the last third of the films."""
    return clip.group > spec.groups - max(1, spec.groups // 3)


def ava_video(clip: Clip, spec: MiniSpec) -> tuple[str, str]:
    """(id, suffix) of a video: a made-up id in the alphabet of YouTube's, and one of the containers that AVA has."""
    digest = hashlib.sha256(f"{spec.seed}/ava/{clip.group}/{clip.clip}".encode()).digest()
    suffix = {5: ".mkv", 9: ".webm"}.get(clip.group % 12, ".mp4")
    return base64.urlsafe_b64encode(digest)[:11].decode(), suffix


def ava_path(clip: Clip, spec: MiniSpec) -> str:
    """Path of a video below the root."""
    return "trainval/" + "".join(ava_video(clip, spec))


def ava_film(clip: Clip, spec: MiniSpec) -> Film:
    """What one video shows. The frames of `spec` are of 25 a second; other containers have as many seconds."""
    rng = np.random.default_rng([spec.seed, 3, clip.group, clip.clip])
    seconds = int(rng.integers(spec.min_frames, spec.max_frames + 1)) / RATES[".mp4"]
    if seconds < CUT.start + CUT.seconds:
        raise MiniatureError(f"{seconds:g} s: expected videos of at least {CUT.start + CUT.seconds:g} s")
    rate = RATES[ava_video(clip, spec)[1]]
    place = Place(ANYWHERE[int(rng.integers(len(ANYWHERE)))], int(rng.integers(2**31)))
    view, pan, length = spec.width / spec.height * VIEW_HEIGHT, rng.uniform(-40, 40), round(seconds * rate)
    parts = tuple(_parts(pair, seconds, rng) for pair in _dealt(clip, spec))
    actors = []
    for number, one in enumerate(parts):
        x, facing = pan + view * (number + 0.5) / len(parts), _facing(number, len(parts), rng)
        actors.append(_actor(one, x, facing, rng, rate=rate, length=length))
    props = random_props(rng, ("ball", "butterfly"), pan, view)
    grain = int(rng.integers(2**20))
    return Film(Scene(place, tuple(actors), length, spec.width, spec.height, Camera(pan), props, grain), rate, parts)


def _dealt(clip: Clip, spec: MiniSpec) -> list[tuple[str, str]]:
    """What the people of a video do: three of them, every third time two."""
    number = (clip.group - 1) * spec.clips_per_group + clip.clip - 1
    first, count = number // 3 * 8 + number % 3 * 3, 2 if number % 3 == 2 else 3

    def card(place: int) -> tuple[str, str]:
        times, within = divmod(place, len(DECK))
        return DECK[np.random.default_rng([spec.seed, 4, times]).permutation(len(DECK))[within]]

    return [card(place) for place in range(first, first + count)]


def _parts(pair: tuple[str, str], seconds: float, rng: np.random.Generator) -> tuple[Part, ...]:
    turn = int(rng.integers(4, 7)) + 0.5
    if pair[0] == pair[1]:
        return (Part(pair[0], 0, seconds),)
    return Part(pair[0], 0, turn), Part(pair[1], turn, seconds)


def _facing(number: int, count: int, rng: np.random.Generator) -> int:
    """Towards somebody else: 1 to the right."""
    return 1 if number == 0 else -1 if number == count - 1 else int(rng.choice([-1, 1]))


def _actor(
    parts: tuple[Part, ...], x: float, facing: int, rng: np.random.Generator, *, rate: int, length: int
) -> Actor:
    first = ACTIVITIES[parts[0].activity].actions[0]
    frontal = ACTIONS[first].frontal
    seconds = rng.uniform(0.36, 0.40) if frontal else rng.uniform(0.80, 0.90)
    phase, lead = rng.uniform(0, 1), rng.uniform(0, ROUND - 2)
    acts = tuple(act for part in parts for act in _acts(part, lead, rate))
    exercises = any(len(ACTIVITIES[part.activity].actions) > 1 for part in parts)
    return Actor(
        person=draw_person(rng),
        action=first if frontal else "Standing",
        x=x + rng.uniform(-5, 5),
        y=rng.uniform(200, 222),
        height=rng.uniform(112, 130),
        facing=facing,
        phase=0.0 if exercises else phase,  # lunge and squat begin and end upright
        period=seconds * rate,
        length=length,
        tool=_STICKS[int(rng.integers(len(_STICKS)))] if rng.uniform() < 0.4 else None,
        acts=acts,
    )


def _acts(part: Part, lead: float, rate: int) -> list[Act]:
    """The acts of a part: one, or, of two actions in rounds, `lead` seconds later, one for each second of no pause."""
    actions = ACTIVITIES[part.activity].actions
    if len(actions) == 1:
        # What the video begins with is under way already.
        return [Act(actions[0], round(part.start * rate) if part.start else -rate, round(part.stop * rate))]
    acts = []
    start = part.start + lead
    while start < part.stop:
        for place, action in enumerate(actions):
            begin, end = start + place, min(start + place + 1, part.stop)
            if end - begin > 0.36:  # less would hardly be seen
                acts.append(Act(action, round(begin * rate), round(end * rate)))
        start += ROUND
    return acts


def ava_scene(clip: Clip, spec: MiniSpec) -> Scene:
    """The scene of one video; see `ava_film`."""
    return ava_film(clip, spec).scene
