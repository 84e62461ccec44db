"""OM files on a machine that has the card and not the book: what is taken there, and what comes back."""

from __future__ import annotations

from actionbook.elsewhere.bring import bring
from actionbook.elsewhere.take import take

__all__ = ["bring", "take"]
