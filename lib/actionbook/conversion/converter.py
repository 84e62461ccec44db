"""Run one of Ascend's converters: no shell, console into a log, and a result that is in place only when it is whole."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actionbook.conversion.errors import ConversionError
from actionbook.core.files import sha256_file
from actionbook.core.paths import shown
from actionbook.core.process import ProgramError, run_logged, was_killed

KEPT_LINES = 5000  # of the console, for the search for error codes; the log file has all
TAIL_LINES = 40

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Converter:
    """What is to be known of a converter; options are written ``--name=value``."""

    name: str
    model_option: str
    output_option: str
    suffix: str
    failure: str
    """Text on its console that means failure, whatever the exit status is."""
    success: str | None = None
    """Text that must stand on its console."""
    paths: tuple[str, ...] = ()
    """Further options whose value is a path."""
    other_names: str = ""
    """Regular expression of what may stand between the name asked for and the suffix."""
    companion: str | None = None
    """Folder beside the result, by its ending, that the result needs: "_variables"."""


@dataclass(frozen=True)
class Converted:
    """What a converter made."""

    path: Path
    """The file, under the name that the tool gave it."""
    command: tuple[str, ...]
    seconds: float
    console: str
    """Last lines of the console output."""
    log: Path
    """The whole console output."""
    bytes: int
    sha256: str


class ConverterError(ConversionError):
    """A converter failed; `returncode` is None if it could not be started."""

    def __init__(self, message: str, *, returncode: int | None, console: str, log: Path) -> None:
        super().__init__(message)
        self.returncode, self.console, self.log = returncode, console, log

    @property
    def killed(self) -> bool:
        """Whether the system stopped it."""
        return was_killed(self.returncode)


class _FailedError(Exception):
    """Why a run is no success."""


def run_converter(
    tool: Converter,
    command: Sequence[str],
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Converted:
    """Run a converter in an empty folder beside its output, and move the result into place if all is well.

    All is well if the exit status is 0, no failure is on the console, and the file is there and not empty. Else nothing
    is moved, a file of an earlier run stays as it was, and ConverterError is raised. The console goes line by line to
    ``<output>.<tool>.log``, to the logger of this module (level INFO) and to `on_line`. After `timeout` seconds, or
    when interrupted, the tool is stopped with all that it has started.
    """
    stem = Path(_value(command, tool.output_option))
    model = Path(_value(command, tool.model_option))
    if not model.is_file():
        raise ConversionError(f"{shown(model)}: no such model file. Export the network first")
    log = stem.with_name(f"{stem.name}.{tool.name}.log")
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    started = time.perf_counter()

    def note(line: str) -> None:
        lines.append(line)
        logger.info("%s: %s", tool.name, line)
        if on_line is not None:
            on_line(line)

    with _scratch(stem.parent) as folder:
        returncode = None
        try:
            inner = _from_inside(tool, command, folder)
            returncode = run_logged(
                inner, folder, log, first_line=f"$ {shlex.join(command)}\n", timeout=timeout, on_line=note
            )
            _check_end(tool, returncode, "\n".join(lines))
            made = _made(tool, folder, stem.name)
        except (_FailedError, ProgramError) as error:
            console = "\n".join(lines)
            raise ConverterError(
                f"{tool.name} failed: {error}", returncode=returncode, console=console, log=log
            ) from None
        path = _into_place(tool, folder, made, stem)
    seconds = time.perf_counter() - started
    tail = "\n".join(list(lines)[-TAIL_LINES:])
    return Converted(path, tuple(command), seconds, tail, log, path.stat().st_size, sha256_file(path))


def _value(command: Sequence[str], option: str) -> str:
    values = [argument.removeprefix(f"{option}=") for argument in command if argument.startswith(f"{option}=")]
    if len(values) != 1 or not values[0]:
        raise ConversionError(f"expected {option}=… once in the command: {shlex.join(command)}")
    return values[0]


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder on the file system of the result, so that the result can be renamed in one step."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f".tmp-{os.getpid()}-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise ConversionError(f"{shown(parent)}: no file can be written there ({error.strerror})") from error
    with folder as name:
        yield Path(name)


def _from_inside(tool: Converter, command: Sequence[str], folder: Path) -> list[str]:
    """The command as it must read in `folder`: there the tools may leave what they write beside their results.

    Paths are relative, so that the characters that the tools refuse may stand in the folders above.
    """
    inner = [command[0]]
    for argument in command[1:]:
        name, _, value = argument.partition("=")
        if name == tool.output_option:
            inner.append(f"{name}={Path(value).name}")
        elif name == tool.model_option or name in tool.paths:
            path = Path(value)  # a link keeps its name: it may lead to a file without suffix
            inner.append(f"{name}={os.path.relpath(path.parent.resolve() / path.name, folder.resolve())}")
        else:
            inner.append(argument)
    return inner


def _check_end(tool: Converter, returncode: int, console: str) -> None:
    if returncode < 0:
        raise _FailedError(f"it was stopped by {signal.Signals(-returncode).name}")
    if returncode != 0:
        raise _FailedError(f"exit status {returncode}")
    if tool.failure in console:
        raise _FailedError(f"exit status 0, but its console says {tool.failure!r}")
    if tool.success is not None and tool.success not in console:
        raise _FailedError(f"exit status 0, but its console does not say {tool.success!r}")


def _made(tool: Converter, folder: Path, stem: str) -> Path:
    """The result in `folder`: the name asked for, or else the one that the tool made of it."""
    pattern = re.compile(rf"{re.escape(stem)}({tool.other_names})?{re.escape(tool.suffix)}")
    found = [path for path in folder.iterdir() if path.is_file() and pattern.fullmatch(path.name)]
    if not found:
        raise _FailedError(f"exit status 0, but it wrote no {stem}{tool.suffix}")
    made = min(found, key=lambda path: len(path.name))
    if made.stat().st_size == 0:
        raise _FailedError(f"exit status 0, but {made.name} is empty")
    return made


def _into_place(tool: Converter, folder: Path, made: Path, stem: Path) -> Path:
    if tool.companion is not None and (beside := folder / f"{stem.name}{tool.companion}").is_dir():
        target = stem.with_name(beside.name)
        if target.is_dir():
            shutil.rmtree(target)
        beside.replace(target)
    return made.replace(stem.with_name(made.name))
