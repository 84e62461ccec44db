"""Run Ascend's converters: no shell, console into a log, and a result that is in place only when it is whole.

ATC, the model compiler, comes with CANN's toolkit and needs no Ascend card, only (from CANN 8.5 on) the operator
package of the target chip; `converter_lite` comes with MindSpore Lite. Commands are built by `atc_command` and
`converter_lite_command`.
"""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from actionbook.conversion.ascend import ATC_PATHS
from actionbook.conversion.atc_codes import KILLED, Explained, explain, explain_code
from actionbook.conversion.errors import ConversionError
from actionbook.conversion.folders import name_from, scratch
from actionbook.core.files import sha256_file
from actionbook.core.paths import shown
from actionbook.core.process import ProgramError, run_logged, was_killed

KEPT_LINES = 5000  # of the console, for the search for error codes; the log file has all
TAIL_LINES = 40
LAST_LINES = 15  # of the console, in the message for a failure without a code
_PLOG = (
    "$ASCEND_PROCESS_LOG_PATH/debug/plog where that is set, else ~/ascend/log/debug/plog "
    "(old releases: ~/ascend/log/plog)"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Converter:
    """What is to be known of a converter; options are written ``--name=value``."""

    name: str
    origin: str
    """Where it comes from, and what a shell needs there before its command."""
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


@dataclass(frozen=True)
class AtcResult(Converted):
    """An OM file that ATC has made. It runs on the chip it was made for, with the same or a somewhat later CANN."""

    @property
    def om(self) -> Path:
        """``<output>.om``, or the name that ATC gave it for another host: ``<output>_linux_aarch64.om``."""
        return self.path


class ConverterError(ConversionError):
    """A converter failed. `codes` are ATC's error codes as found on the console, `explained` what they mean."""

    def __init__(self, message: str, explained: Sequence[Explained] = ()) -> None:
        super().__init__(message)
        self.explained = tuple(explained)
        self.codes = tuple(dict.fromkeys(item.code for item in explained))


class ConverterMissing(ConverterError):
    """There is no such converter on this machine; the message holds the command to run where there is one."""


ATC = Converter(
    name="atc",
    origin="""\
It comes with CANN's toolkit and needs no Ascend card. There:
    source /usr/local/Ascend/ascend-toolkit/set_env.sh    # CANN before 8.5
    source /usr/local/Ascend/cann/set_env.sh              # CANN 8.5 and later
    # only with old CANN and a card:
    export LD_LIBRARY_PATH=/usr/local/Ascend/driver/lib64/driver:$LD_LIBRARY_PATH""",
    model_option="--model",
    output_option="--output",
    suffix=".om",
    failure="ATC run failed",
    paths=tuple(f"--{name}" for name in ATC_PATHS),
    other_names=r"_[A-Za-z]+_\w+",  # newer CANN, when it compiles for another host: net_linux_aarch64.om
)
LITE = Converter(
    name="converter_lite",
    origin="""\
It comes with the MindSpore Lite package for Linux. There:
    # LITE is the unpacked MindSpore Lite package
    export PATH=$LITE/tools/converter/converter:$PATH
    export LD_LIBRARY_PATH=$LITE/tools/converter/lib:$LITE/runtime/lib:$LD_LIBRARY_PATH
    # only for --optimize=ascend_oriented; or cann/set_env.sh:
    source /usr/local/Ascend/ascend-toolkit/set_env.sh""",
    model_option="--modelFile",
    output_option="--outputFile",
    suffix=".mindir",
    failure="CONVERT RESULT FAILED",
    success="CONVERT RESULT SUCCESS:0",
    paths=("--configFile",),
    other_names="_graph",  # above 2 GB: net_graph.mindir and the folder net_variables
    companion="_variables",
)


def run_atc(
    command: Sequence[str],
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> AtcResult:
    """Run an `atc_command` and return the OM file with its digest. Minutes; the output folder is made if need be.

    It succeeded if it ended with status 0, did not say otherwise, and wrote the file. The file is put in place only
    then: a failed or interrupted run leaves its log and, if there was one, the OM of an earlier run. The console goes
    line by line to ``<output>.atc.log``, to the logger of this module (level INFO), and to `on_line` (in a notebook:
    ``on_line=print``). After `timeout` seconds (None: no limit), or when interrupted, the tool is stopped with all that
    it has started.

    Raises ConverterMissing where there is no `atc` on the PATH, ConverterError where it fails, and ConversionError for
    a model that is not there or a folder that cannot be written.
    """
    return AtcResult(**vars(_run(ATC, command, timeout, on_line)))


def run_converter_lite(
    command: Sequence[str],
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Converted:
    """Run a `converter_lite_command` and return the MINDIR for MindSpore Lite with its digest, as `run_atc` does.

    It must also say that it succeeded. The log is ``<output>.converter_lite.log``. The tool runs in a folder of its
    own: paths inside the file given as --configFile must be absolute.
    """
    return _run(LITE, command, timeout, on_line)


def _run(
    tool: Converter, command: Sequence[str], timeout: float | None, on_line: Callable[[str], None] | None
) -> Converted:
    """Run a converter in an empty folder, and move the result into place if all is well."""
    if shutil.which(command[0]) is None:
        raise ConverterMissing(f"{command[0]} is not on the PATH. {tool.origin}\n    {shlex.join(command)}")
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

    with scratch(stem.parent) as (folder, beside):
        returncode = None
        try:
            inner = _from_inside(tool, command, folder)
            returncode = run_logged(
                inner, folder, log, first_line=f"$ {shlex.join(command)}\n", timeout=timeout, on_line=note
            )
            _check_end(tool, returncode, "\n".join(lines))
            made = _made(tool, folder, stem.name)
        except (ConversionError, ProgramError) as error:
            explained = explain("\n".join(lines))
            # With --optimize=ascend_oriented converter_lite compiles as ATC does, with ATC's error codes.
            if was_killed(returncode) and KILLED not in [item.code for item in explained]:
                explained.append(explain_code(KILLED))
            cause = f" ({explained[0].code}: {explained[0].meaning.rstrip('.')})" if explained else ""
            said = [f"{tool.name} failed: {error}{cause}", f"    {shlex.join(command)}"]
            said += map(str, explained)
            if not explained and lines:
                said += ["No known error code on its console, which ends with"]
                said += [f"    {line}" for line in list(lines)[-LAST_LINES:]]
            said += [f"Console: {shown(log.absolute())}. CANN's own log: {_PLOG}"]
            raise ConverterError("\n".join(said), explained) from error
        path = _into_place(tool, made, beside, stem)
    seconds = time.perf_counter() - started
    tail = "\n".join(list(lines)[-TAIL_LINES:])
    return Converted(path, tuple(command), seconds, tail, log, path.stat().st_size, sha256_file(path))


def _value(command: Sequence[str], option: str) -> str:
    values = [argument.removeprefix(f"{option}=") for argument in command if argument.startswith(f"{option}=")]
    if len(values) != 1 or not values[0]:
        raise ConversionError(f"expected {option}=… once in the command: {shlex.join(command)}")
    return values[0]


def _from_inside(tool: Converter, command: Sequence[str], folder: Path) -> list[str]:
    """The command as it must read in `folder`: there the tools may leave what they write beside their results.

    Names are plain and relative, so that the signs that the tools refuse may stand in the folders above.
    """
    inner = [command[0]]
    for argument in command[1:]:
        name, _, value = argument.partition("=")
        if name == tool.output_option:
            inner.append(f"{name}={Path(value).name}")
        elif name == tool.model_option or name in tool.paths:
            given = name_from(folder, Path(value), name.replace("--", "given_"))
            inner.append(f"{name}={given}")
        else:
            inner.append(argument)
    return inner


def _check_end(tool: Converter, returncode: int, console: str) -> None:
    if returncode < 0:
        raise ConversionError(f"it was stopped by {signal.Signals(-returncode).name}")
    if returncode != 0:
        raise ConversionError(f"exit status {returncode}")
    if tool.failure in console:
        raise ConversionError(f"exit status 0, but its console says {tool.failure!r}")
    if tool.success is not None and tool.success not in console:
        raise ConversionError(f"exit status 0, but its console does not say {tool.success!r}")


def _made(tool: Converter, folder: Path, stem: str) -> Path:
    """The result in `folder`: the name asked for, or else the one that the tool made of it."""
    pattern = re.compile(rf"{re.escape(stem)}({tool.other_names})?{re.escape(tool.suffix)}")
    found = [path for path in folder.iterdir() if path.is_file() and pattern.fullmatch(path.name)]
    if not found:
        raise ConversionError(f"exit status 0, but it wrote no {stem}{tool.suffix}")
    made = min(found, key=lambda path: len(path.name))
    if made.stat().st_size == 0:
        raise ConversionError(f"exit status 0, but {made.name} is empty")
    return made


def _into_place(tool: Converter, made: Path, beside: Path, stem: Path) -> Path:
    """Move the result to its place, by way of `beside`: from there it is one step."""
    companion = made.with_name(f"{stem.name}{tool.companion}")
    if tool.companion is not None and companion.is_dir():
        target, companion = stem.with_name(companion.name), _moved(companion, beside)
        if target.is_dir():
            shutil.rmtree(target)
        companion.replace(target)
    return _moved(made, beside).replace(stem.with_name(made.name))


def _moved(path: Path, folder: Path) -> Path:
    """A file or folder, moved into `folder` if it is not there; a file system may lie between."""
    return path if path.parent == folder else Path(shutil.move(path, folder / path.name))
