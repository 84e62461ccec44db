"""What figures do: joint-angle curves over a cycle, or over the whole clip, for each action.

Pairs of actions are each other's exact time reverse. They share one curve, so they hold the same poses and only their
order tells them apart: no single frame is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import acos, cos, exp, floor, pi, sin

from actionbook.datasets.figures.skeleton import Arm, Body, Joints, Leg, Pose, joints

REVERSED_PAIRS: tuple[tuple[str, str], ...] = (
    ("ArmCirclesInward", "ArmCirclesOutward"),
    ("Walking", "MoonWalk"),
    ("SittingDown", "StandingUp"),
    ("Throwing", "Catching"),
)
"""(action, its time reverse): the second is played from the first's curve, last moment first."""


@dataclass(frozen=True)
class Action:
    """One action: `curve` from phase (cycles) or progress (0 to 1, where not `cyclic`) to a pose.

    `travels`: the figure moves over the ground as its stance foot pushes. `backwards`: played last moment first.
    `seat`: a stool stands behind the figure. `tempo`: cycles in one period of the actor. `release`: the progress from
    which a ball no longer lies in the hand but flies (None: nothing is thrown).
    """

    curve: Callable[[float], Pose]
    frontal: bool
    cyclic: bool = True
    travels: bool = False
    backwards: bool = False
    seat: bool = False
    tempo: float = 1.0
    release: float | None = None

    def moment(self, t: float, length: int, phase: float, period: float) -> float:
        """Phase (cycles, `phase` at the start) or progress (0 to 1) after `t` of `length` frames, held at both ends."""
        last = max(length - 1, 1)
        local = min(max(t, 0.0), float(last))
        if self.backwards:
            local = last - local
        return phase + local * self.tempo / period if self.cyclic else local / last


def _wave(phase: float, at: float = 0.0) -> float:
    """A cosine over one cycle, 1 at phase `at`."""
    return cos(2 * pi * (phase - at))


def _bump(phase: float, at: float, sharpness: float) -> float:
    """A smooth periodic bump of height 1 at phase `at` (von Mises shape); narrower for a larger `sharpness`."""
    return exp(sharpness * (_wave(phase, at) - 1.0))


def _arm_circles(phase: float) -> Pose:
    turn = 2 * pi * phase
    bend = 0.12 + 0.28 * _bump(phase, 0.75, 1.5)  # arms bend a little as they pass in front of the chest
    arm = Arm(turn, bend)
    return Pose((arm, arm), (Leg(0.10), Leg(0.10)), lift=0.0)


def _walking(phase: float) -> Pose:
    def leg(at: float) -> Leg:
        own = phase - at
        hip = 0.06 + 0.46 * _wave(own)
        knee = 0.08 + 1.00 * _bump(own, 0.76, 3.0) + 0.14 * _bump(own, 0.14, 4.0)
        foot = 0.75 * _bump(own, 0.60, 5.0) - 0.30 * _bump(own, 0.97, 7.0)
        return Leg(hip, knee, foot)

    def arm(at: float) -> Arm:
        swing = _wave(phase, at)
        return Arm(0.05 - 0.50 * swing, 0.42 - 0.22 * swing)

    return Pose((arm(0.5), arm(0.0)), (leg(0.5), leg(0.0)), lean=0.05, nod=0.03 * _wave(2 * phase))


_SEATED = 1.47  # angle of the thighs on the stool, nearly level


def _sitting_down(progress: float) -> Pose:
    # The hips sink evenly, and trunk and arms turn round at different times: some part always moves clearly.
    even = acos(1 - progress * (1 - cos(_SEATED)))
    bend = 0.30 * _SEATED * progress + 0.70 * even
    early, late = sin(pi * progress**0.62), sin(pi * progress**1.3)
    leg = Leg(bend, bend + 0.26 * sin(pi * progress))
    reach = 0.10 + 0.95 * late + 0.55 * progress
    elbow = 0.25 + 0.5 * progress
    arms = (Arm(reach + 0.06, elbow), Arm(reach - 0.04, elbow))
    return Pose(arms, (leg, leg), lean=0.03 + 0.66 * early, nod=-0.32 * early, planted=1.0)


def _boxing(phase: float) -> Pose:
    def arm(at: float) -> Arm:
        punch = _bump(phase, at, 3.5)
        return Arm(0.30 + 1.27 * punch, 2.15 * (1 - punch) + 0.04)

    step = _wave(phase, 0.25)
    legs = (Leg(0.42 + 0.03 * step, 0.42, 0.0), Leg(-0.22 + 0.03 * step, 0.36, 0.22))
    bounce = 0.012 * (1 + _wave(2 * phase, 0.1)) / 2
    return Pose((arm(0.0), arm(0.5)), legs, lean=0.12 + 0.06 * _wave(2 * phase), nod=-0.05, lift=bounce)


def _jumping_jack(phase: float) -> Pose:
    spread = (1 - _wave(phase)) / 2
    arm = Arm(0.14 + 2.72 * spread, 0.10 + 0.16 * _bump(phase, 0.25, 2.0) + 0.10 * _bump(phase, 0.75, 2.0))
    leg = Leg(0.03 + 0.46 * spread, 0.04 * spread)
    return Pose((arm, arm), (leg, leg), lift=0.075 * (1 - _wave(2 * phase)) / 2)


def _kicking(phase: float) -> Pose:
    chamber = _bump(phase, 0.27, 3.5) + _bump(phase, 0.73, 3.5)
    kick = _bump(phase, 0.5, 1.3)
    near = Leg(-0.20 + 1.80 * kick, 0.22 + 1.35 * chamber, 0.10 - 1.25 * kick)
    far = Leg(0.10 - 0.14 * kick, 0.16 - 0.08 * kick, 0.0)
    arms = (Arm(0.55 + 0.25 * kick, 1.75 - 0.5 * kick), Arm(0.35 - 0.95 * kick, 1.85 - 1.0 * kick))
    return Pose(arms, (far, near), lean=0.08 - 0.40 * kick, nod=0.22 * kick)


def _waving(phase: float) -> Pose:
    sway = _wave(phase)
    arms = (Arm(0.34, -0.10), Arm(1.95 + 0.12 * sway, 0.90 + 0.72 * sway))
    return Pose(arms, (Leg(0.09), Leg(0.09)), lean=0.03 * sway, nod=0.06 * _wave(phase, 0.1))


def _swinging(phase: float) -> Pose:
    turn = 1.75 * _wave(phase)  # both arms and the stick, from one side of the body to the other
    together = 0.30  # the arms point inwards so that the hands meet on the stick
    arms = (Arm(-turn - together, 0.12), Arm(turn - together, 0.12))
    bend = 0.08 + 0.05 * _wave(2 * phase)
    return Pose(arms, (Leg(0.16, bend), Leg(0.16, bend)), lean=0.05 * turn, nod=-0.03 * turn, grip=1.22 * turn)


def _lunging(phase: float) -> Pose:
    thrust = _bump(phase, 0.5, 1.5)
    near = Leg(0.38 + 0.42 * thrust, 0.42 + 0.20 * thrust, 0.0)
    far = Leg(-0.30 - 0.38 * thrust, 0.34 - 0.30 * thrust, 0.30 + 0.18 * thrust)
    arms = (Arm(-0.9 - 0.55 * thrust, 0.9 - 0.8 * thrust), Arm(0.30 + 1.22 * thrust, 1.35 - 1.30 * thrust))
    return Pose(arms, (far, near), lean=0.06 + 0.20 * thrust, nod=-0.06, shift=0.16 * thrust, grip=1.72 - 0.12 * thrust)


THROW_RELEASE = 0.46


def _throwing(progress: float) -> Pose:
    # Underarm: back, a fast swing forward, and on upwards after the ball has gone.
    back = 1.15 * _bump(min(progress, 0.55) / 1.1, 0.22, 2.0)
    forward = 1.0 / (1.0 + exp(-16.0 * (progress - 0.40)))
    follow = max(progress - THROW_RELEASE, 0.0)
    reach = -0.10 - back * (1.0 - forward) + 1.15 * forward + 1.35 * follow
    arms = (Arm(0.50 - 0.80 * forward - 0.50 * follow, 0.45), Arm(reach, 0.10 + 0.35 * back * (1 - forward)))
    legs = (Leg(-0.22 - 0.22 * forward, 0.20, 0.28 * forward), Leg(0.26 + 0.20 * forward, 0.30 + 0.10 * forward))
    lean = 0.34 - 0.30 * forward - 0.20 * follow + 0.16 * back
    return Pose(arms, legs, lean=lean, nod=-0.10, planted=1.0)


def _clapping(phase: float) -> Pose:
    apart = (1 + _wave(phase)) / 2
    upper = 0.30 + 0.14 * apart
    arm = Arm(upper, 3.92 - 1.25 * apart - upper)  # the forearms close over the top, hands before the chest
    return Pose((arm, arm), (Leg(0.09), Leg(0.09)), nod=0.04 * _wave(phase, 0.1))


def _squatting(phase: float) -> Pose:
    down = (1 - _wave(phase)) / 2
    leg = Leg(1.20 * down + 0.04, 1.75 * down + 0.06)
    arms = (Arm(0.12 + 1.32 * down, 0.12), Arm(0.08 + 1.36 * down, 0.12))
    return Pose(arms, (leg, leg), lean=0.02 + 0.50 * down, nod=-0.24 * down, planted=1.0)


def _crouching(phase: float) -> Pose:
    sway = _wave(phase)
    near, far = Leg(1.36 + 0.02 * sway, 1.92), Leg(0.62, 1.98, 0.75)  # one knee up, the other close to the ground
    arms = (Arm(0.35 + 0.03 * sway, 0.55), Arm(0.75 + 0.03 * sway, 0.45))
    return Pose(arms, (far, near), lean=0.22 + 0.015 * sway, nod=-0.16 + 0.03 * sway, planted=1.0)


def _standing(phase: float) -> Pose:
    sway = _wave(phase)
    arms = (Arm(0.10 + 0.02 * sway, 0.16), Arm(0.02 + 0.02 * sway, 0.16))
    return Pose(arms, (Leg(-0.05, 0.02), Leg(0.05, 0.02)), lean=0.015 * sway, nod=0.03 * sway)


ACTIONS: dict[str, Action] = {
    "ArmCirclesInward": Action(_arm_circles, frontal=True, tempo=0.65),
    "ArmCirclesOutward": Action(_arm_circles, frontal=True, backwards=True, tempo=0.65),
    "Boxing": Action(_boxing, frontal=False),
    "Catching": Action(_throwing, frontal=False, cyclic=False, backwards=True, release=THROW_RELEASE),
    "Clapping": Action(_clapping, frontal=True, tempo=1.4),
    "Crouching": Action(_crouching, frontal=False, tempo=0.4),
    "JumpingJack": Action(_jumping_jack, frontal=True),
    "Kicking": Action(_kicking, frontal=False),
    "Lunging": Action(_lunging, frontal=False, tempo=1.2),
    "MoonWalk": Action(_walking, frontal=False, travels=True, backwards=True),
    "SittingDown": Action(_sitting_down, frontal=False, cyclic=False, seat=True),
    "Squatting": Action(_squatting, frontal=False, tempo=0.8),
    "Standing": Action(_standing, frontal=False, tempo=0.4),
    "StandingUp": Action(_sitting_down, frontal=False, cyclic=False, seat=True, backwards=True),
    "Swinging": Action(_swinging, frontal=True, tempo=0.9),
    "Throwing": Action(_throwing, frontal=False, cyclic=False, release=THROW_RELEASE),
    "Walking": Action(_walking, frontal=False, travels=True),
    "Waving": Action(_waving, frontal=True),
}

_STEPS = 96


@lru_cache(maxsize=256)
def _stride(body: Body, curve: Callable[[float], Pose]) -> tuple[float, ...]:
    """Ground covered (body heights) after each 1/96 of a cycle, such that the foot on the ground does not slip."""
    frames: list[Joints] = [joints(body, curve(step / _STEPS), frontal=False) for step in range(_STEPS + 1)]
    covered = [0.0]
    for now, after in pairwise(frames):
        # The stance foot is the one that moves back under the trunk, the other one swings forward.
        back = max(before[0] - later[0] for before, later in zip(now.ankles, after.ankles, strict=True))
        covered.append(covered[-1] + back)
    return tuple(covered)


def travelled(body: Body, action: Action, phase: float) -> float:
    """Distance over the ground (body heights) at `phase` cycles; 0 for an action that stays in place."""
    if not action.travels:
        return 0.0
    covered = _stride(body, action.curve)
    whole = floor(phase)
    place = (phase - whole) * _STEPS
    index = min(int(place), _STEPS - 1)
    within = covered[index] + (place - index) * (covered[index + 1] - covered[index])
    # Half of it evenly: the trunk's inertia keeps a walker's speed steadier than the rigid stance leg alone would.
    return covered[-1] * (whole + 0.5 * (phase - whole)) + 0.5 * within
