"""Run `converter_lite`, MindSpore Lite's converter. The command is built by `converter_lite_command`."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence

from actionbook.conversion.atc import explanations, failure_text
from actionbook.conversion.converter import Converted, Converter, ConverterError, run_converter
from actionbook.conversion.errors import ConversionError

CONVERTER = Converter(
    name="converter_lite",
    model_option="--modelFile",
    output_option="--outputFile",
    suffix=".mindir",
    failure="CONVERT RESULT FAILED",
    success="CONVERT RESULT SUCCESS:0",
    paths=("--configFile",),
    other_names="_graph",  # above 2 GB: net_graph.mindir and the folder net_variables
    companion="_variables",
)
_ENVIRONMENT = """\
    export PATH=$LITE/tools/converter/converter:$PATH    # LITE is the unpacked MindSpore Lite package
    export LD_LIBRARY_PATH=$LITE/tools/converter/lib:$LITE/runtime/lib:$LD_LIBRARY_PATH
    source /usr/local/Ascend/ascend-toolkit/set_env.sh    # or cann/set_env.sh; for --optimize=ascend_oriented only"""


class LiteError(ConversionError):
    """`converter_lite` failed, or is not on this machine."""


def run_converter_lite(
    command: Sequence[str],
    *,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Converted:
    """Run a `converter_lite_command` and return the MINDIR for MindSpore Lite with its digest.

    It succeeded if it ended with status 0, said so, and wrote the file; else nothing is put in place. Log, `timeout`
    and `on_line` are as in `run_atc`; the log is ``<output>.converter_lite.log``. The tool runs in a folder of its
    own: paths inside the file given as --configFile must be absolute.

    Raises LiteError where the tool is absent (with the command to run where there is one) or fails, and
    ConversionError for a model that is not there or a folder that cannot be written.
    """
    if shutil.which(command[0]) is None:
        raise LiteError(
            f"{command[0]} is not on the PATH. It comes with the MindSpore Lite package for Linux. There:\n"
            f"{_ENVIRONMENT}\n    {shlex.join(command)}"
        )
    try:
        return run_converter(CONVERTER, command, timeout=timeout, on_line=on_line)
    except ConverterError as error:
        # With --optimize=ascend_oriented it compiles as ATC does, with ATC's error codes.
        raise LiteError(failure_text(error, command, explanations(error))) from error
