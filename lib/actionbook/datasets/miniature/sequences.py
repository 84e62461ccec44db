"""Classes that only the whole of a video decides: one action, a pause, another action, in one order or the other.

A person stands, does the first action, stands, does the second and stands. No `WINDOW` frames in a row see both
actions. Nor do they see which one comes first: the standing before, between and after is so long that every such
window, also one over the beginning or the end of an action, is in the videos of either order. Frames from all over a
video tell.
"""

from __future__ import annotations

from itertools import permutations

from actionbook.datasets.figures import Act

SEQUENCES: dict[str, tuple[str, str]] = {
    f"{first}Then{second}": (first, second) for first, second in permutations(("Boxing", "Lunging", "Squatting"), 2)
}
"""The classes and the actions that follow each other: three that a single frame tells apart, in profile."""

WINDOW = 16
"""Frames in a row that do not tell the order."""
LEAD = WINDOW - 1
"""Frames of standing before the first action, and after the second."""
PAUSE = WINDOW + 1
"""Frames of standing between the two actions, or one more."""
SHORTEST = 2 * LEAD + PAUSE + 2 * WINDOW
"""Frames of the shortest video: either action is as long as a window."""


def sequence(class_name: str, length: int) -> tuple[Act, Act]:
    """The two actions of a class of `SEQUENCES` in a video of `length` frames, both equally long."""
    return in_turn(SEQUENCES[class_name], length, LEAD, PAUSE)


def in_turn(actions: tuple[str, str], length: int, lead: int, pause: int) -> tuple[Act, Act]:
    """Two actions, equally long, with `lead` frames of standing before and after, and `pause` or one more between."""
    each = (length - 2 * lead - pause) // 2
    return Act(actions[0], lead, lead + each), Act(actions[1], length - lead - each, length - lead)
