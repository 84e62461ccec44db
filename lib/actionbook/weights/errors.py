"""The error of this floor."""

from __future__ import annotations

from typing import Final

from actionbook.core.errors import BookError

FETCH_AGAIN: Final = "Fetch the file again and compare its size and sha256 with the manifest."
"""The remedy for a damaged file, and for no other."""


class WeightsError(BookError):
    """A weight file cannot be read, or its tensors do not fit the network.

    The message names the file or the tensors, says what was expected, and what to do about it.
    """
