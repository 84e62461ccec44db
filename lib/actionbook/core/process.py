"""Run another program to its end: no shell, its output in a log while it runs, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from actionbook.core.errors import BookError
from actionbook.core.paths import is_plain, shown

POLL_SECONDS = 0.2
PAGE_WIDTH = 88
"""Columns of a command for people, which pages then show without scrolling sideways."""


class ProgramError(BookError):
    """A program is not on this machine, cannot be started, or has not ended in time."""


def was_killed(status: int | None) -> bool:
    """Whether the system stopped a program (SIGKILL, often for want of memory): itself, or one in the script it is."""
    return status in (-signal.SIGKILL, 128 + signal.SIGKILL)


def typed(command: Sequence[str], folder: Path) -> str:
    """A tool's command line as a person types it into a shell, to be run in `folder`, where its names are plain.

    Broken with backslashes where it is wider than `PAGE_WIDTH`; no word is. A remark before it says where the folder's
    own path has signs that Ascend's newer tools refuse all the same.
    """
    words = [f"cd {shlex.quote(shown(folder))} &&", *map(shlex.quote, command)]
    lines = [words[0]]
    for number, word in enumerate(words[1:], start=1):
        room = PAGE_WIDTH - (0 if number == len(words) - 1 else len(" \\"))
        if len(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    line = " \\\n".join(lines)
    if is_plain(folder.resolve()):
        return line
    remark = "# newer CANN takes letters, digits and _ - . / only in a path:\n# copy the folder to such a one first"
    return f"{remark}\n{line}"


def run_logged(
    command: Sequence[str],
    folder: Path,
    log: Path,
    *,
    first_line: str = "",
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    tick: Callable[[], None] | None = None,
) -> int:
    """Run `command` in `folder`; everything it prints goes to the file `log`, after `first_line`. Its exit status.

    `environment` is laid over this process's own.
    `on_line` gets each line as it appears, `tick` is called a few times a second. An exception, Ctrl-C among them, ends
    the program with all that it has started. Raises ProgramError where it is not on the PATH, where it cannot be
    started, and after `timeout` seconds.
    """
    program = shutil.which(command[0])
    if program is None:
        raise ProgramError(f"{command[0]}: no such program; install it, or put its folder on the PATH")
    arguments = [str(Path(program).absolute()), *command[1:]]  # a relative one would be looked for in `folder`
    end = None if timeout is None else time.monotonic() + timeout
    try:
        file = log.open("wb")
    except OSError as error:
        why = f"{command[0]}'s output cannot be written there ({error.strerror})"
        raise ProgramError(f"{log}: {why}. Remove what is there, or give this user the right to write") from error
    with file, log.open("rb") as written:
        file.write(first_line.encode(errors="backslashreplace"))
        file.flush()
        written.seek(0, os.SEEK_END)
        process = _start(arguments, folder, file, {**os.environ, **(environment or {})})
        rest = b""
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
                ended = process.returncode is not None
                *lines, rest = (rest + written.read()).split(b"\n")
                if ended and rest:
                    lines.append(rest)
                if on_line is not None:
                    for line in lines:
                        on_line(line.decode("utf-8", errors="replace").rstrip("\r"))
                if tick is not None:
                    tick()
                if ended:
                    return process.returncode
                if end is not None and time.monotonic() > end:
                    raise ProgramError(f"{command[0]}: did not end within {timeout:g} s and was stopped")
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _start(arguments: list[str], folder: Path, file: IO[bytes], environment: Mapping[str, str]) -> subprocess.Popen:
    try:
        return subprocess.Popen(
            arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that what the program starts can be ended with it
        )
    except OSError as error:
        raise ProgramError(f"{arguments[0]}: cannot be started ({error.strerror or error})") from error
