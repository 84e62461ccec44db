"""The one base class of every error that a reader of the book can mend, and how its message lists names."""

from __future__ import annotations

from collections.abc import Iterable


class BookError(Exception):
    """Something outside the code is wrong: a file, a recipe, a missing stage, a device.

    The message names the file or key, says what was expected, and what to do about it.
    """


def some(names: Iterable[object], most: int = 5) -> str:
    """The first `most` names, and how many more there are, for a sentence."""
    listed = list(map(str, names))
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
