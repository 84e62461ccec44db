"""Who does what and when: a person with one action all along, and others laid over it for a while."""

from __future__ import annotations

from dataclasses import dataclass

from actionbook.datasets.figures.actions import ACTIONS, travelled
from actionbook.datasets.figures.drawing import Placement
from actionbook.datasets.figures.people import Person
from actionbook.datasets.figures.skeleton import Joints, Point, Pose, joints, mixed
from actionbook.datasets.figures.tools import Tool, flown


@dataclass(frozen=True)
class Act:
    """An action that an actor does from frame `start` up to `stop` (excluded), instead of its own.

    The first and the last `ease` frames of it are on the way from and to what the actor does otherwise.
    """

    action: str
    start: int
    stop: int
    ease: int = 4

    def share(self, t: float) -> float:
        """How far the actor does this at frame `t`: 0 outside, 1 inside, rising and falling smoothly between them."""
        inside = min(max(min(t - self.start + 1, self.stop - t) / (self.ease + 1), 0.0), 1.0)
        return inside * inside * (3.0 - 2.0 * inside)


@dataclass(frozen=True)
class Actor:
    """A person who performs an action at a place, for `length` frames (then stays as it is), and `acts` in between.

    `x`, `y`: where the feet stand, in units (the view is 240 units high; for a travelling action, in mid-performance);
    `height` in units; `facing` +1 right, -1 left; `phase` in cycles at the first frame; `period` in frames per cycle.
    `tool`: what is held, or thrown by an action that throws. Every act begins at `phase` and keeps to `period`; of acts
    at one time the later ones in `acts` go over the others. Raises ValueError for an act that needs more than a pose:
    one that is seen from another side than `action`, travels, sits on a stool or throws.

    `track`: where who does not stand but glides along is at frame 0, in units from the track's left end, how far a
    frame takes (to the left where negative), and how long the track is, with `x` its middle. Who has left it at one end
    comes in at the other.
    """

    person: Person
    action: str
    x: float
    y: float
    height: float
    facing: int
    phase: float
    period: float
    length: int
    tool: Tool | None = None
    acts: tuple[Act, ...] = ()
    track: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for act in self.acts:
            action, own = ACTIONS[act.action], ACTIONS[self.action]
            if action.frontal != own.frontal or action.travels or action.seat or action.release is not None:
                raise ValueError(f"{act.action} during {self.action}: expected an act on the spot, from the same side")

    def moment(self, t: float) -> float:
        """Phase (cycles) or progress (0 to 1) of the action's curve at frame `t`."""
        return ACTIONS[self.action].moment(t, self.length, self.phase, self.period)

    def pose(self, t: float) -> Pose:
        """Joint angles at frame `t`."""
        pose = ACTIONS[self.action].curve(self.moment(t))
        for act in self.acts:
            if share := act.share(t):
                action = ACTIONS[act.action]
                moment = action.moment(t - act.start, act.stop - act.start, self.phase, self.period)
                pose = mixed(pose, action.curve(moment), share)
        return pose

    def joints(self, t: float) -> Joints:
        """Joint positions at frame `t`, in body heights, before the figure is placed in the scene."""
        return joints(self.person.body, self.pose(t), frontal=ACTIONS[self.action].frontal)

    def ball(self, t: float) -> Point:
        """Where a thrown thing is at frame `t`, in body heights like `joints`: in the hand, or flying."""
        action, progress = ACTIONS[self.action], self.moment(t)
        if action.release is None or progress <= action.release:
            return self.joints(t).hands[1]
        left = joints(self.person.body, action.curve(action.release), frontal=action.frontal).hands[1]
        return flown(left, progress - action.release)

    def placement(self, t: float) -> Placement:
        """Where the figure stands at frame `t`."""
        action, body = ACTIONS[self.action], self.person.body
        middle = self.phase + 0.5 * max(self.length - 1, 1) * action.tempo / self.period
        way = travelled(body, action, self.moment(t)) - travelled(body, action, middle) if action.travels else 0.0
        x = self.x + self.facing * self.height * way
        if self.track:
            start, speed, span = self.track
            x += (start + speed * t) % span - span / 2
        return Placement(x, self.y, self.height, self.facing)
