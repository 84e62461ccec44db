"""What goes wrong in offline inference."""

from __future__ import annotations

from actionbook.core.errors import BookError


class InferenceError(BookError):
    """A batch, a result or a model file is missing, broken, or not what belongs together."""
