"""A skeleton of rigid limbs: body proportions, joint angles, and the joints that follow from them.

Lengths are in body heights. An angle of a limb is counted from hanging straight down, positive towards the side that
the figure looks at (profile) or away from its middle (frontal). Limb 0 is the far one in profile and the one on the
left of the picture in a frontal view; limb 1 is the near or right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, remainder, sin, tau

Point = tuple[float, float]
Pair = tuple[Point, Point]

HEEL_RADIUS = 0.026
TOE_RADIUS = 0.023


@dataclass(frozen=True)
class Body:
    """Lengths of a body's parts in body heights; the defaults are an adult with a picture book's large head."""

    head: float = 0.100
    neck: float = 0.030
    torso: float = 0.285
    shoulder: float = 0.098
    hip: float = 0.052
    upper_arm: float = 0.160
    forearm: float = 0.145
    thigh: float = 0.232
    shank: float = 0.212
    ankle: float = 0.050
    girth: float = 1.0


@dataclass(frozen=True)
class Arm:
    """Angles in radians: `shoulder` of the upper arm, `elbow` how far the forearm is bent forward of it."""

    shoulder: float = 0.0
    elbow: float = 0.0


@dataclass(frozen=True)
class Leg:
    """Angles in radians: `hip` of the thigh, `knee` how far the shank is bent back, `foot` toes down."""

    hip: float = 0.0
    knee: float = 0.0
    foot: float = 0.0


@dataclass(frozen=True)
class Pose:
    """All joint angles at one moment (radians), the height of the feet above the ground and a shift (body heights).

    `planted` 1 keeps the near foot over the origin instead of the pelvis (0): the pelvis moves, as when sitting down.
    `grip` is the angle of a stick that limb 1 holds, counted like a limb's.
    """

    arms: tuple[Arm, Arm]
    legs: tuple[Leg, Leg]
    lean: float = 0.0
    nod: float = 0.0
    lift: float = 0.0
    shift: float = 0.0
    planted: float = 0.0
    grip: float = 0.0


@dataclass(frozen=True)
class Joints:
    """Joint positions in body heights, x towards the facing side, y downwards, the ground at y = 0."""

    pelvis: Point
    chest: Point
    head: Point
    shoulders: Pair
    elbows: Pair
    hands: Pair
    hips: Pair
    knees: Pair
    ankles: Pair
    heels: Pair
    toes: Pair

    def points(self) -> tuple[Point, ...]:
        """Every joint, in the order of the fields, as (x, y)."""
        pairs = (self.shoulders, self.elbows, self.hands, self.hips, self.knees, self.ankles, self.heels, self.toes)
        return (self.pelvis, self.chest, self.head, *(point for pair in pairs for point in pair))


def mixed(one: Pose, other: Pose, share: float) -> Pose:
    """The pose on the way from `one` (`share` 0) to `other` (1): every limb turns the shorter way round."""

    def angle(a: float, b: float) -> float:
        return a + share * remainder(b - a, tau)

    def length(a: float, b: float) -> float:
        return a + share * (b - a)

    def arm(a: Arm, b: Arm) -> Arm:
        return Arm(angle(a.shoulder, b.shoulder), angle(a.elbow, b.elbow))

    def leg(a: Leg, b: Leg) -> Leg:
        return Leg(angle(a.hip, b.hip), angle(a.knee, b.knee), angle(a.foot, b.foot))

    return Pose(
        (arm(one.arms[0], other.arms[0]), arm(one.arms[1], other.arms[1])),
        (leg(one.legs[0], other.legs[0]), leg(one.legs[1], other.legs[1])),
        angle(one.lean, other.lean), angle(one.nod, other.nod), length(one.lift, other.lift),
        length(one.shift, other.shift), length(one.planted, other.planted), angle(one.grip, other.grip),
    )  # fmt: skip


def joints(body: Body, pose: Pose, *, frontal: bool) -> Joints:
    """Forward kinematics: where the joints of `body` are in `pose`, the lowest sole standing on the ground."""
    up = (sin(pose.lean), -cos(pose.lean))
    chest = (up[0] * body.torso, up[1] * body.torso)
    tilt, reach = pose.lean + pose.nod, body.neck + body.head
    head = (chest[0] + sin(tilt) * reach, chest[1] - cos(tilt) * reach)
    arms = [_arm(body, pose, side, frontal=frontal) for side in (0, 1)]
    legs = [_leg(body, pose.legs[side], side, frontal) for side in (0, 1)]
    lowest = max(max(leg[3][1] + HEEL_RADIUS, leg[4][1] + TOE_RADIUS) for leg in legs)
    dx = pose.shift - pose.planted * legs[1][2][0]
    dy = -lowest - pose.lift

    def moved(point: Point) -> Point:
        return point[0] + dx, point[1] + dy

    def pair(limbs: list[tuple[Point, ...]], index: int) -> Pair:
        return moved(limbs[0][index]), moved(limbs[1][index])

    return Joints(
        moved((0.0, 0.0)), moved(chest), moved(head),
        pair(arms, 0), pair(arms, 1), pair(arms, 2),
        pair(legs, 0), pair(legs, 1), pair(legs, 2), pair(legs, 3), pair(legs, 4),
    )  # fmt: skip


def _arm(body: Body, pose: Pose, side: int, *, frontal: bool) -> tuple[Point, ...]:
    up = (sin(pose.lean), -cos(pose.lean))
    chest = (up[0] * body.torso, up[1] * body.torso)
    arm, outward = pose.arms[side], float(2 * side - 1)
    sign = outward if frontal else 1.0
    spread = outward * body.shoulder if frontal else -0.012 * outward
    drop = -0.045  # shoulders sit a little below the base of the neck
    x = chest[0] + up[0] * drop - up[1] * spread
    y = chest[1] + up[1] * drop + up[0] * spread
    lean = 0.0 if frontal else -pose.lean * 0.5
    upper, lower = arm.shoulder + lean, arm.shoulder + lean + arm.elbow
    elbow = (x + sign * sin(upper) * body.upper_arm, y + cos(upper) * body.upper_arm)
    hand = (elbow[0] + sign * sin(lower) * body.forearm, elbow[1] + cos(lower) * body.forearm)
    return (x, y), elbow, hand


def _leg(body: Body, leg: Leg, side: int, frontal: bool) -> tuple[Point, ...]:
    outward = float(2 * side - 1)
    sign = outward if frontal else 1.0
    x = outward * body.hip if frontal else -0.008 * outward
    knee = (x + sign * sin(leg.hip) * body.thigh, cos(leg.hip) * body.thigh)
    lower = leg.hip - leg.knee
    ankle = (knee[0] + sign * sin(lower) * body.shank, knee[1] + cos(lower) * body.shank)
    sole = body.ankle - HEEL_RADIUS
    if frontal:
        heel, toe = (ankle[0], ankle[1] + sole), (ankle[0] + sign * 0.030, ankle[1] + sole + 0.006)
    else:
        c, s = cos(leg.foot), sin(leg.foot)
        heel = (ankle[0] - 0.020 * c - sole * s, ankle[1] - 0.020 * s + sole * c)
        toe = (ankle[0] + 0.072 * c - sole * s, ankle[1] + 0.072 * s + (sole + 0.003) * c)
    return (x, 0.0), knee, ankle, heel, toe
