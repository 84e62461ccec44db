"""Writing back to object storage while a stage runs: a thread sends what is new, again and again.

All files of the library get their names once they are whole, so whatever has a name can be sent at any time, and a job
that is ended without warning has lost no more than what was written since the last look.
``python -m actionbook.core.write_back ADDRESS NAMES…`` sends what an ended process has left.
"""

from __future__ import annotations

import atexit
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from actionbook.core.errors import BookError, some
from actionbook.core.local_copy import LocalCopy

logger = logging.getLogger(__name__)

SECONDS = 5.0
"""Between two looks; longer where looking itself takes its time, or where the store cannot be reached."""
_LONGEST = 300.0

_RUNNING: dict[Path, WriteBack] = {}


class WriteBack(threading.Thread):
    """Sends the files of a copy whose names begin with one of `below`, of which the first is sent in its order."""

    def __init__(self, copy: LocalCopy, below: tuple[str, ...]) -> None:
        super().__init__(daemon=True, name=f"write back to {copy.store}")
        self.copy, self.below = copy, below
        self._seen: set[str] = set()
        self._one = threading.Lock()
        self._failing = False
        self._stopped = threading.Event()

    def run(self) -> None:
        """Send, wait, and so on, until it is stopped or the process ends. A store that fails only is said."""
        pause = SECONDS
        while not self._stopped.is_set():
            start = time.monotonic()
            try:
                self._push()
                pause = max(SECONDS, min(_LONGEST, time.monotonic() - start))
                if self._failing:
                    logger.warning("%s: written back again", self.copy.store)
                self._failing = False
            except Exception as error:  # whatever it is, the training goes on
                if not threading.main_thread().is_alive():
                    return  # the process ends, and `at_exit` sends the rest
                pause = min(_LONGEST, 2 * pause)
                if not self._failing:
                    logger.warning("not written back, which is tried again and stops nothing: %s", error)
                self._failing = True
            self._stopped.wait(pause)

    def stop(self) -> None:
        """End with the next look; what is not sent then stays here."""
        self._stopped.set()

    def settle(self) -> None:
        """Send all that is not sent yet. Raises BookError that names what could not be."""
        try:
            self._push(quiet=False)
        except BookError as error:
            left = self.copy.unpushed(self.below)
            raise BookError(
                f"{len(left)} files are not written back to {self.copy.store}: {some(left)}. They are kept in "
                f"{self.copy.folder}; run again on this machine, and they are sent. {error}"
            ) from error

    def _push(self, quiet: bool = True) -> None:
        with self._one:
            self.copy.push(self.below, self._seen, ordered=self.below[0], quiet=quiet)

    def at_exit(self) -> None:
        """Send in a process of its own: one that ends can start no threads, which the connection needs."""
        if self.copy.unpushed(self.below):
            subprocess.run(
                [sys.executable, "-m", "actionbook.core.write_back", str(self.copy.store), *self.below], check=False
            )


def keep_written(copy: LocalCopy, *below: str) -> None:
    """From now on write back what lies below these names of a copy, of which the first is sent in its order."""
    running = _RUNNING.get(copy.folder)
    if running is not None:
        running.below = tuple(dict.fromkeys((*below, *running.below)))
        return
    _RUNNING[copy.folder] = started = WriteBack(copy, below)
    atexit.register(started.at_exit)
    started.start()


def settle(folder: Path) -> None:
    """Send all that lies in `folder` and is to be written back; nothing, where that is an ordinary one.

    Raises BookError that names what could not be sent.
    """
    if folder in _RUNNING:
        _RUNNING[folder].settle()


@contextmanager
def written_back(folder: Path) -> Iterator[None]:
    """`settle` after the block; where that is left by an error or an interruption, as far as it goes."""
    try:
        yield
    except BaseException:
        with suppress(BookError):
            settle(folder)
        raise
    settle(folder)


def main(address: str, *below: str) -> int:
    """Send once, and return the exit status."""
    try:
        WriteBack(LocalCopy.of("address", address), below).settle()
    except BookError as error:
        sys.stderr.write(f"BookError: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
