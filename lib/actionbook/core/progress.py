"""The one progress bar of the house: rate and time left, on standard error; ``TQDM_DISABLE=1`` turns it off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_STYLE: dict[str, Any] = {"dynamic_ncols": True, "mininterval": 0.5}


def progress_bar(total: int, what: str, unit: str, initial: int = 0) -> tqdm:
    """A bar over `total` units of work; use as a context manager and call ``update``."""
    return tqdm(total=total, desc=what, unit=f" {unit}", initial=initial, **_STYLE)


def tracked(items: Iterable[Item], what: str, unit: str, *, progress: bool = True) -> Iterator[Item]:
    """`items`, one by one, with a bar beside them unless `progress` is false."""
    if not progress:
        yield from items
        return
    yield from tqdm(items, desc=what, unit=f" {unit}", **_STYLE)
