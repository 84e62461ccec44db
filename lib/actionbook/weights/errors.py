"""The error of this floor."""

from __future__ import annotations

from actionbook.core.errors import BookError


class WeightsError(BookError):
    """A weight file cannot be read, or its tensors do not fit the network.

    The message names the file or the tensors, says what was expected, and what to do about it.
    """
