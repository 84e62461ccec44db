"""Jupyter's interrupt, Ctrl-C and SIGTERM: what is under way stops, what it has reached is kept, one line says so."""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOPPED = "stopped; what is done is kept, run again to go on"


def keep_interrupts() -> None:
    """From now on an interrupt is a KeyboardInterrupt also where MindSpore has run a graph. It may be called again.

    At the beginning of every graph that it runs, and in threads of its own, MindSpore 2.10 replaces the process's
    handler of SIGINT (``mindspore::RegisterGlobalSignalHandler``, called by ``GraphScheduler::Run``) and leaves its own
    there. That one sends SIGTERM to the process: a notebook's kernel dies. It cannot be kept from it, and most of a
    training's time is spent inside graphs, so putting Python's handler back between them would not do. What is caught
    here is the SIGTERM. A graph that runs is finished first.

    A SIGTERM from elsewhere cannot be told from an interrupt while MindSpore's handler is there: it stops the cell, and
    only a second one the kernel. Programs tell them apart, see `wait_for_interrupts`. Where SIGTERM has a handler
    already, and in other threads than the main one, nothing is changed.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, _: FrameType | None) -> None:
    # Python has one C function for all signals that it handles, SIGTERM among them.
    if _c_handler(signal.SIGINT) not in (None, signal.SIG_IGN, _c_handler(number)):
        raise KeyboardInterrupt
    _end_by(number)


def _c_handler(number: int) -> int | None:
    """Address of the function that the process runs for a signal (`signal.getsignal` knows Python's alone)."""
    action = (ctypes.c_void_p * 64)()  # struct sigaction, which is shorter, begins with it
    if ctypes.CDLL(None).sigaction(number, None, action):
        raise OSError(f"signal {number}: its handler cannot be read")
    return action[0]


def _end_by(number: int) -> NoReturn:
    """End this process by a signal: its status then says so to whoever waits for it."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # not reached: the signal comes before `kill` returns


@contextmanager
def stopped_in_one_line(words: str = STOPPED) -> Iterator[None]:
    """Give a KeyboardInterrupt without words these, on what it means for the work; a notebook shows them alone."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        # Not a class of our own: for this one alone Python ends as the shell expects it, by the signal.
        error = KeyboardInterrupt(str(stopped) or words)
        # What IPython shows in place of a traceback.
        setattr(error, "_render_traceback_", lambda: [str(error)])  # noqa: B010 (not a name that the class has)
        raise error from None


class _Terminated(BaseException):
    """Somebody has sent SIGTERM to a program."""


@contextmanager
def program() -> Iterator[None]:
    """The work of a program: after Ctrl-C or SIGTERM it ends with one line on standard error, and by that signal.

    Blocks within are left in order: what they have started is ended, what they have written is whole.
    """

    def terminated(_: int, __: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    except KeyboardInterrupt as error:
        _say_and_end(str(error), signal.SIGINT)
    except _Terminated:
        _say_and_end("", signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_and_end(words: str, number: signal.Signals) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(f"{words or STOPPED}\n")
    sys.stderr.flush()
    _end_by(number)


def wait_for_interrupts() -> None:
    """Let a thread take every SIGINT of this process and raise KeyboardInterrupt in the main one.

    For a program that runs graphs, as the very first thing: the threads that it starts afterwards, MindSpore's too, are
    out of SIGINT's reach like this one, so that no handler of MindSpore's is ever run, and SIGTERM is what it is.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def forward() -> None:
        while True:
            signal.sigwait({signal.SIGINT})
            _thread.interrupt_main()

    threading.Thread(target=forward, daemon=True, name="interrupts").start()
