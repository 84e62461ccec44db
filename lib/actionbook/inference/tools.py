"""What the failures of an Ascend tool mean."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from actionbook.core import card_memory
from actionbook.core.process import was_killed

TAIL = 15  # lines of the console that an error message quotes

_REMEDIES = (
    (
        r"507033|open device.{0,40}fail",
        "the card cannot be opened: another process holds it (see `npu-smi info`), or this user may not use it "
        "(must be in the group HwHiAiUser: `id`)",
    ),
    (
        r"unrecognized arguments|no such option",
        "this ais_bench does not know the options: another program of that name, or another release of the tool",
    ),
    (
        r"No module named '?(?:ais_bench|aclruntime)",
        "install the two wheels ais_bench and aclruntime of the CANN in use into this Python, or name another one",
    ),
    (
        r"libascendcl\.so|cannot open shared object file",
        "the CANN environment is not set: source its set_env.sh in the shell that starts this",
    ),
    (
        r"numpy\.core\.multiarray failed to import|compiled using NumPy 1\.x",
        "the tool's wheels are of before NumPy 2: install numpy<2 in the tool's Python",
    ),
    (
        r"load model from file fail|acl.{0,20}load.{0,40}fail",
        "the OM file cannot be loaded: it may be of another chip (atc --soc_version) or a newer CANN than is here",
    ),
    (
        r"model execute fail",
        "the card refused a batch: most often the OM was compiled for another batch size or clip shape than stated",
    ),
)
_SIZES = re.compile(r"tensorsize:\s*(\d+)\s+filesize:\s*(\d+)\s+not match")


def explained(command: Sequence[str], status: int, console: str, expected: Mapping[str, int]) -> str:
    """Why a tool failed, in words, from its exit status and console.

    `expected` says how many bytes a full batch of each input must have.

    A message of several lines: the cause and its remedy where it is known, the command, the end of the console. Where
    the card's memory was full, that is the cause: what else the tool says then (that the model cannot be loaded, that a
    parameter is invalid) only follows from it.
    """
    causes = _causes(status, console, expected)
    ending = f"exit status {status}" if status else "exit status 0, but results are missing"
    tail = "\n".join(console.strip().splitlines()[-TAIL:]) or "(nothing)"
    return "\n".join(
        [
            f"{ending}: {'; '.join(causes) or 'cause not known; see the output below'}",
            f"command: {shlex.join(command)}",
            f"end of its output:\n{tail}",
        ]
    )


def _causes(status: int, console: str, expected: Mapping[str, int]) -> list[str]:
    if full := card_memory.explained(console, "the OM's batch (export.inference_batch)"):
        return [full]
    causes = [remedy for pattern, remedy in _REMEDIES if re.search(pattern, console, re.IGNORECASE)]
    sizes = _SIZES.search(console)
    made = ", ".join(map(str, expected.values()))
    if sizes:
        causes.insert(
            0,
            f"the OM's input takes {sizes[1]} bytes, a file of batches has {sizes[2]}, and the first must be a whole "
            f"multiple of the second; the batch size and shapes stated here make {made}. State those of "
            "atc's --input_shape (dynamic_batch=True where --dynamic_batch_size was given), or write the batches for "
            "them",
        )
    if was_killed(status):
        causes.append("it was killed, often for want of memory")
    return causes
