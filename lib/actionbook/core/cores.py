"""The machine's CPU cores, handed out among all processes of this book: a training takes some, a measurement all."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from actionbook.core.home import own_folder

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 900.0
"""Of work that disturbs a measurement, and of measurements: after so long they go on beside others."""


def usable() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def held(
    count: int | None = None, *, patience: float | None = None, tick: Callable[[], None] | None = None
) -> Iterator[list[int]]:
    """Hold `count` cores (None: all that this process may use) while the block runs; gives their numbers.

    Nobody else who asks here gets them meanwhile; who does not ask is not kept away. Waits until so many are free,
    calling `tick` a few times a second; after `patience` seconds it goes on all the same, with a warning. A process
    gives back what it holds when it ends, however it ends.
    """
    cores = usable()
    wanted = len(cores) if count is None else min(count, len(cores))
    end = None if patience is None else time.monotonic() + patience
    locks: dict[int, int] = {}
    try:
        while not _lock(locks, cores, wanted):
            if wanted < len(cores):  # two that hold a part each would wait for each other
                _give_back(locks)
            if tick is not None:
                tick()
            if end is not None and time.monotonic() > end:
                logger.warning("the cores of this machine were not free within %g s: going on beside others", patience)
                break
            time.sleep(POLL_SECONDS)
        yield sorted(locks) if len(locks) == wanted else cores[:wanted]
    finally:
        _give_back(locks)


@contextmanager
def alone() -> Iterator[None]:
    """While the block runs nothing else of this book that asks for cores works on this machine: for measuring speed."""
    with held(patience=PATIENCE_SECONDS):
        yield


@contextmanager
def busy() -> Iterator[None]:
    """Hold one core while the block works with all of them, so that nothing is measured meanwhile."""
    with held(1, patience=PATIENCE_SECONDS):
        yield


def _lock(locks: dict[int, int], cores: Sequence[int], wanted: int) -> bool:
    """Add cores that nobody holds, and the descriptors of their lock files, to `locks`; whether they are enough now.

    Where all are wanted, everybody takes them in the order of their numbers: two never wait for each other.
    """
    for core in cores:
        if len(locks) == wanted:
            break
        if core in locks:
            continue
        descriptor = os.open(own_folder() / f"core-{core}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            if wanted == len(cores):
                break
        else:
            locks[core] = descriptor
    return len(locks) == wanted


def _give_back(locks: dict[int, int]) -> None:
    for descriptor in locks.values():
        os.close(descriptor)
    locks.clear()
