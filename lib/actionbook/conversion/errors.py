"""What goes wrong in conversion."""

from __future__ import annotations

from actionbook.core.errors import BookError


class ConversionError(BookError):
    """A network cannot be converted, or its converted form is not what it should be."""


def first_line(error: Exception) -> str:
    """What an error of another library says, without the trace that may follow it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
