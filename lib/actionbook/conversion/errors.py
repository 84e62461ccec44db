"""What goes wrong in conversion."""

from __future__ import annotations

from actionbook.core.errors import BookError


class ConversionError(BookError):
    """A network cannot be converted, or its converted form is not what it should be."""
