"""The one base class of every error that a reader of the book can mend."""

from __future__ import annotations


class BookError(Exception):
    """Something outside the code is wrong: a file, a recipe, a missing stage, a device.

    The message names the file or key, says what was expected, and what to do about it.
    """
