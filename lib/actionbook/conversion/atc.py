"""Run ATC, Ascend's model compiler, and say in plain words what it complains of. The command is built by `atc_command`.

ATC comes with CANN's toolkit and needs no Ascend card, only (from CANN 8.5 on) the operator package of the target chip.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from actionbook.conversion.ascend import ATC_PATHS
from actionbook.conversion.atc_codes import KILLED, Explained, explain, explain_code
from actionbook.conversion.converter import Converted, Converter, ConverterError, run_converter
from actionbook.conversion.errors import ConversionError
from actionbook.core.paths import shown

ATC = Converter(
    name="atc",
    model_option="--model",
    output_option="--output",
    suffix=".om",
    failure="ATC run failed",
    paths=tuple(f"--{name}" for name in ATC_PATHS),
    other_names=r"_[A-Za-z]+_\w+",  # newer CANN, when it compiles for another host: net_linux_aarch64.om
)
LAST_LINES = 15  # of the console, in the message for a failure without a code

_ENVIRONMENT = """\
    source /usr/local/Ascend/ascend-toolkit/set_env.sh    # CANN before 8.5
    source /usr/local/Ascend/cann/set_env.sh              # CANN 8.5 and later
    export LD_LIBRARY_PATH=/usr/local/Ascend/driver/lib64/driver:$LD_LIBRARY_PATH    # old CANN, with a card"""
_PLOG = (
    "$ASCEND_PROCESS_LOG_PATH/debug/plog where that is set, else ~/ascend/log/debug/plog "
    "(old releases: ~/ascend/log/plog)"
)


class AtcError(ConversionError):
    """ATC failed. `codes` are its error codes as found on the console, `explained` what they mean."""

    def __init__(self, message: str, explained: Sequence[Explained] = ()) -> None:
        super().__init__(message)
        self.explained = tuple(explained)
        self.codes = tuple(dict.fromkeys(item.code for item in explained))


class AtcMissing(AtcError):
    """There is no ATC on this machine; the message holds the command to run where there is one."""


@dataclass(frozen=True)
class AtcResult(Converted):
    """An OM file that ATC has made. It runs on the chip it was made for, with the same or a somewhat later CANN.

    `console` is the end of what ATC said, `log` (``<output>.atc.log``) all of it.
    """

    @property
    def om(self) -> Path:
        """``<output>.om``, or the name that ATC gave it for another host: ``<output>_linux_aarch64.om``."""
        return self.path


def run_atc(
    command: Sequence[str],
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> AtcResult:
    """Run an `atc_command` and return the OM file with its digest. Minutes; the output folder is made if need be.

    It succeeded if it ended with status 0, did not say otherwise, and wrote the file. The file is put in place only
    then: a failed or interrupted run leaves its log and, if there was one, the OM of an earlier run. The console goes
    to the log file while it is written, to the logger "actionbook.conversion.converter" (level INFO), and to `on_line`
    (in a notebook: ``on_line=print``). `timeout` is in seconds, None for no limit.

    Raises AtcMissing where there is no `atc` on the PATH, AtcError where it fails, and ConversionError for a model
    that is not there or a folder that cannot be written.
    """
    if shutil.which(command[0]) is None:
        raise AtcMissing(
            f"{command[0]} is not on the PATH. It comes with CANN's toolkit and needs no Ascend card. There:\n"
            f"{_ENVIRONMENT}\n    {shlex.join(command)}"
        )
    try:
        done = run_converter(ATC, command, timeout=timeout, on_line=on_line)
    except ConverterError as error:
        explained = explanations(error)
        raise AtcError(failure_text(error, command, explained), explained) from error
    return AtcResult(**vars(done))


def explanations(error: ConverterError) -> list[Explained]:
    """What the console of a failed converter says, and what its end says without words."""
    explained = explain(error.console)
    if error.killed and KILLED not in [item.code for item in explained]:
        explained.append(explain_code(KILLED))
    return explained


def failure_text(error: ConverterError, command: Sequence[str], explained: Sequence[Explained]) -> str:
    """The message for a failed converter: the command, what it said and what that means, and where to read on."""
    lines = [f"{error}, for the command", f"    {shlex.join(command)}", *map(str, explained)]
    if not explained and error.console:
        lines += ["No known error code on its console, which ends with"]
        lines += [f"    {line}" for line in error.console.splitlines()[-LAST_LINES:]]
    return "\n".join([*lines, f"Console: {shown(error.log)}. CANN's own log: {_PLOG}"])
