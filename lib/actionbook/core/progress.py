"""The one progress bar of the house: rate and time left, on standard error; ``TQDM_DISABLE=1`` turns it off.

A process that works for another one leaves the state of its bar in a file instead, which the other one shows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from actionbook.core.files import write_json_atomic

Item = TypeVar("Item")

MIRROR = "ACTIONBOOK_PROGRESS"
"""Environment variable: the file that the state of the bar is written to; ``none``: it is not shown at all."""

_STYLE: dict[str, Any] = {"dynamic_ncols": True, "mininterval": 0.5}


class _Reported(tqdm):
    """A bar that is drawn by another process."""

    def display(self, *_: Any, **__: Any) -> None:
        file = os.environ.get(MIRROR)
        if file is None:
            return
        state = {"what": self.desc.removesuffix(": "), "unit": self.unit.strip(), "n": self.n, "total": self.total}
        write_json_atomic(file, {**state, "note": getattr(self, "postfix", None) or ""})


def progress_bar(total: int, what: str, unit: str, initial: int = 0, delay: float = 0.0) -> tqdm:
    """A bar over `total` units of work; use as a context manager and call ``update``.

    Work that is over within `delay` seconds shows none. Bytes ("B") are shown in thousands and millions.
    """
    bar, options = _kind()
    scaled = unit == "B"
    return bar(total=total, desc=what, unit=f" {unit}", initial=initial, delay=delay, unit_scale=scaled, **options)


def tracked(items: Iterable[Item], what: str, unit: str, *, progress: bool = True) -> Iterator[Item]:
    """`items`, one by one, with a bar beside them unless `progress` is false."""
    if not progress:
        yield from items
        return
    bar, options = _kind()
    yield from bar(items, desc=what, unit=f" {unit}", **options)


def _kind() -> tuple[type[tqdm], dict[str, Any]]:
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return tqdm, _STYLE
    return _Reported, {**_STYLE, "disable": mirror == "none"}


class Mirror:
    """The bar of another process, drawn here; see `MIRROR`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.changed = time.monotonic()
        """When its state was last another one."""
        self._seen = ""
        self._bar: tqdm | None = None
        file.unlink(missing_ok=True)

    def look(self) -> None:
        """Draw what has changed since the last look."""
        try:
            text = self.file.read_text(encoding="utf-8")
        except OSError:
            return  # not begun yet
        if text == self._seen:
            return
        self._seen, self.changed = text, time.monotonic()
        state = json.loads(text)
        if self._bar is None or (self._bar.desc.removesuffix(": "), self._bar.total) != (state["what"], state["total"]):
            self.close()
            self._bar = progress_bar(state["total"], state["what"], state["unit"], initial=state["n"])
        self._bar.set_postfix_str(state["note"], refresh=False)
        self._bar.update(state["n"] - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
