"""The one progress bar of the house: how far, rate and time left; ``TQDM_DISABLE=1`` turns it off.

In a terminal it is a line that changes, in a notebook one output that changes: the notebook that is saved, by
papermill for example, keeps its last state. Elsewhere, in the log of a batch job, it is a line now and then. A process
that works for another one leaves the state of its bar in a file, which the other one shows.
"""

from __future__ import annotations

import io
import json
import os
import sys
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


_FIRST_SECONDS = 10.0
_LATER = 1.25
"""In a log each line comes so many times later after the start than the one before: 50 in a week."""


class _Lines(tqdm):
    """A bar in a log: a line at the start, some later, and one at the end."""

    _due = 0.0

    def display(self, *_: Any, **__: Any) -> None:
        elapsed = self.format_dict["elapsed"]
        if self.disable or elapsed >= self._due:  # closing disables it first
            self._due = max(_FIRST_SECONDS, elapsed * _LATER)
            sys.stderr.write(f"{self}\n")
            sys.stderr.flush()


class _Output(tqdm):
    """A bar in a notebook: one output, written anew as the work goes on."""

    _shown: Any = None

    def display(self, *_: Any, **__: Any) -> None:
        from IPython.display import display  # noqa: PLC0415 (it is there: this is its kernel)

        state = {"text/plain": str(self)}
        if self._shown is None:
            self._shown = display(state, raw=True, display_id=True)
        else:
            self._shown.update(state, raw=True)


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
    silent = {**_STYLE, "file": io.StringIO()}  # for what tqdm writes besides
    if mirror := os.environ.get(MIRROR):
        return _Reported, {**silent, "disable": mirror == "none"}
    if _in_notebook():
        return _Output, silent | {"ascii": False}
    return (tqdm, _STYLE) if sys.stderr.isatty() else (_Lines, silent)


def _in_notebook() -> bool:
    """Whether this process is a kernel, whose outputs a notebook shows."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


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
