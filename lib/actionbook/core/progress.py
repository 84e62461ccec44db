"""The one progress bar of the house: rate and time left, on standard error; ``TQDM_DISABLE=1`` turns it off."""

from __future__ import annotations

from tqdm import tqdm


def progress_bar(total: int, what: str, unit: str, initial: int = 0) -> tqdm:
    """A bar over `total` units of work; use as a context manager and call ``update``."""
    return tqdm(total=total, desc=what, unit=f" {unit}", initial=initial, dynamic_ncols=True, mininterval=0.5)
