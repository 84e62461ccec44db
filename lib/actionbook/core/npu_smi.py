"""What `npu-smi` says of the Ascend chips of this machine, and the name that ATC has for them.

Layouts after the examples in Huawei's npu-smi guides and in public run logs: 310, 310B, 310P (single, Duo and virtual),
910 (first generation), A2, A3 and 950. The table names chips without "Ascend"; A3 and 950 show the family only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from actionbook.core.errors import BookError

TIMEOUT_SECONDS = 30.0  # a driver that hangs makes npu-smi hang

_REMARKS = {
    r"Ascend910(Pro)?B": "without a digit after the B this is a first-generation 910 (Atlas training cards); "
    "the chips of Atlas A2 are Ascend910B1 to Ascend910B4",
    r"Ascend910": "on Atlas A3 `npu-smi info` shows only the family; ATC wants the full name, such as Ascend910_9391: "
    "see `npu-smi info -t board -i 0 -c 0`",
}


class NpuSmiError(BookError):
    """`npu-smi` is not there, sees no chip, or writes what cannot be read."""


@dataclass(frozen=True)
class Chip:
    """One chip in the table of `npu-smi info`."""

    npu: int
    """Number of the card (NPU ID)."""
    chip: int
    """Number of the chip on its card."""
    name: str
    """As shown: "310P3", "910B3", "310Pvir02"; on A3 only "Ascend910"."""
    health: str
    """OK, Warning, Alarm, Critical or UNKNOWN."""


@dataclass(frozen=True)
class Soc:
    """The value for ATC's ``--soc_version``, and what to know about it (None: nothing special)."""

    name: str
    remark: str | None = None


def read_npu_smi(text: str) -> tuple[Chip, ...]:
    """The chips in the output of `npu-smi info`, in its order. Raises NpuSmiError for a text without such a table."""
    chips: list[Chip] = []
    rows = _rows(text)
    for first in rows:
        found = re.fullmatch(r"(\d+)\s+(\S+)", " ".join(first[:-2]).strip())
        if not found:
            continue
        second = next(rows, [])
        if len(second) != len(first) or not re.match(r"NA$|[0-9A-Fa-f]{4}:", second[-2]):
            raise NpuSmiError(f"npu-smi: no second line with bus and memory for NPU {found[1]}: {'|'.join(second)!r}")
        inner = re.match(r"\d+", " ".join(second[:-2]).strip())  # 950 leaves the chip number out
        chips.append(Chip(npu=int(found[1]), chip=int(inner[0]) if inner else 0, name=found[2], health=first[-2]))
    if not chips:
        raise NpuSmiError(
            f"npu-smi: no chip in its output, expected the table of `npu-smi info`: {text.strip()[:200]!r}"
        )
    return tuple(chips)


def driver_version(text: str) -> str | None:
    """The driver's version from the head of `npu-smi info` ("24.1.rc1"); None for a text without that head."""
    found = re.search(r"^\|\s*npu-smi\s+\S+\s+Version:\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else None


def npu_smi(*arguments: str) -> str:
    """Output of `npu-smi` with these arguments.

    Raises NpuSmiError where the tool is absent, hangs, fails, or reaches no device.
    """
    command = " ".join(("npu-smi", *arguments))
    tool = shutil.which("npu-smi")
    if tool is None:
        raise NpuSmiError(
            "npu-smi is not on the PATH: this machine has no Ascend driver. Install driver and firmware, or in a "
            "container mount /usr/local/sbin/npu-smi and /usr/local/Ascend/driver; else name the soc_version yourself"
        )
    try:
        done = subprocess.run(
            [tool, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NpuSmiError(f"{command}: no answer in {TIMEOUT_SECONDS:.0f} s; the driver hangs, see dmesg") from error
    except OSError as error:
        raise NpuSmiError(f"{command}: cannot be started: {error}") from error
    said = f"{done.stdout}\n{done.stderr}".strip()
    # Some releases exit with 0 although dcmi, the layer between tool and driver, has failed.
    no_device = re.search(r"(?i)\bdcmi\b.*\b(fail|error)", said)
    if done.returncode != 0 or no_device:
        why = no_device.string[no_device.start() :] if no_device else said
        raise NpuSmiError(
            f"{command}: exit status {done.returncode}, {(why.splitlines() or ['no message'])[0].strip()!r}. "
            "Is the driver loaded (lsmod | grep drv_davinci), was the machine restarted after a firmware update, is "
            "this user in the group HwHiAiUser, and does a container see /dev/davinci0 and /dev/davinci_manager?"
        )
    return done.stdout


def soc_version(index: int = 0) -> Soc:
    """ATC's name of the chip at place `index` of `npu-smi info` on this machine.

    "Ascend" is put before the name; where the table shows the family only (A3: "Ascend910"), the board is asked and its
    Chip Name and NPU Name are joined: Ascend910_9391. Raises NpuSmiError as `npu_smi` does, for an index that is
    not there, and for a virtual chip, of which the table does not say what it is a part of.
    """
    chips = read_npu_smi(npu_smi("info"))
    if not 0 <= index < len(chips):
        raise NpuSmiError(f"chip {index}: this machine has {len(chips)}, counted from 0")
    chip = chips[index]
    if re.search(r"(?i)vir\d+", chip.name):
        raise NpuSmiError(
            f"chip {index} is the virtual {chip.name}: its table does not name the physical chip. Look at "
            "`npu-smi info` on the host, and give that name with ATC's --virtual_type=1"
        )
    if not chip.name.startswith("Ascend"):
        name = f"Ascend{chip.name}"
        return Soc(name, soc_remark(name))
    board = dict(
        re.findall(
            r"^\s*(\S[^:\n]*?)\s*:\s*(\S+)", npu_smi(*f"info -t board -i {chip.npu} -c {chip.chip}".split()), re.M
        )
    )
    family, number = board.get("Chip Name", chip.name), board.get("NPU Name")
    if number in (None, "NA", "N/A", "-"):
        raise NpuSmiError(
            f"chip {index} ({chip.name}): `npu-smi info -t board` gives no NPU Name, expected a number such as 9391; "
            "name the soc_version yourself (`acl.get_soc_name()` on that machine returns it)"
        )
    return Soc(f"{family}_{number}", f"{chip.name} in the table; the full name is from `npu-smi info -t board`")


def soc_remark(name: str) -> str | None:
    """What is easily taken wrongly about a ``--soc_version``; None for an unambiguous one."""
    return next((f"{name}: {remark}" for form, remark in _REMARKS.items() if re.fullmatch(form, name)), None)


def _rows(text: str) -> Iterator[list[str]]:
    """Cells of the lines between rules, up to the table of processes."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        if "Process id" in cells:
            return
        if line.lstrip().startswith("|") and len(cells) >= 3:
            yield cells
