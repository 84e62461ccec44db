"""A limit on the time without a new frame: FFmpeg turns for ever in some damaged files, and nothing can interrupt it.

What hangs in foreign code can only be ended with its process. That is a worker's, and its nanny starts another one; a
mark beside the store tells whoever is given the video next what has become of the first one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distributed import get_worker

from actionbook.core.errors import BookError
from actionbook.core.files import TEMPORARY

_MARK = f"{TEMPORARY}hang-"
_STATUS = 1


@contextmanager
def hang_limit(store: Path, minutes: float) -> Iterator[Callable[[], None]]:
    """End this process if the function that it yields is not called for so long: once for every frame.

    Only in a worker that has a nanny, as those of `LocalCluster` and ``dask worker`` have: elsewhere there is no limit.
    Raises BookError if the work on `store` has ended a process that way; it is tried again the next time.
    """
    mark = _mark(store)
    if mark.exists():
        mark.unlink(missing_ok=True)
        raise BookError(
            f"no new frame came for {minutes:g} minutes (data.frames.hang_minutes): FFmpeg hangs in it; fetch the file "
            "again"
        )
    if not _has_nanny():
        yield lambda: None
        return
    last, over = time.monotonic(), threading.Event()

    def alive() -> None:
        nonlocal last
        last = time.monotonic()

    def watch() -> None:
        while not over.wait(max(0.0, left := last + minutes * 60 - time.monotonic())):
            if left <= 0:
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()
                os._exit(_STATUS)  # nothing milder ends a thread that does not come back

    threading.Thread(target=watch, name="hang limit", daemon=True).start()
    try:
        yield alive
    finally:
        over.set()


def sweep_marks(folders: Iterable[Path]) -> None:
    """Remove what an earlier run that was stopped has left in the folders of stores."""
    for folder in folders:
        for mark in folder.glob(f"{_MARK}*"):
            with suppress(OSError):  # it is another user's
                mark.unlink()


def _mark(store: Path) -> Path:
    return store.with_name(f"{_MARK}{store.name}")


def _has_nanny() -> bool:
    try:
        return bool(getattr(get_worker(), "nanny", None))
    except ValueError:  # this process is no worker
        return False
