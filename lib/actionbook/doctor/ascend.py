"""Checks of Ascend hardware and its software, where there is any or where it was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from actionbook.core import npu_smi
from actionbook.doctor.findings import Check, Finding, ok, problem, warning

if TYPE_CHECKING:
    from actionbook.core.recipe import Recipe

CANN = "source CANN's set_env.sh; the page 'Ascend tool chain' of the book says more"


def ascend_checks(device: str, recipe: Recipe | None) -> dict[str, Check]:
    """The checks by name; one row says so where there is no such device and none is wanted."""
    from actionbook.core.runtime import has_npu  # noqa: PLC0415 (needs NumPy)

    if not has_npu() and device != "Ascend":
        return {"device": lambda: [ok("device", "no Ascend device on this machine, and none was asked for")]}
    return {"driver": lambda: driver(recipe), "CANN": cann}


def driver(recipe: Recipe | None) -> Iterator[Finding]:
    """The driver answers and says that its chips are well, and the recipe converts for them."""
    text = npu_smi.npu_smi("info")
    chips = npu_smi.read_npu_smi(text)
    ill = [f"{one.name} (NPU {one.npu}, chip {one.chip}): {one.health}" for one in chips if one.health != "OK"]
    if ill:
        row = warning if {one.health for one in chips} <= {"OK", "Warning"} else problem
        yield row("driver", f"chips that are not well: {', '.join(ill)}", "see `npu-smi info -t health` and dmesg")
    else:
        version = npu_smi.driver_version(text) or "of unknown version"
        yield ok("driver", f"driver {version}, {len(chips)} chips: {', '.join(sorted({one.name for one in chips}))}")
    yield from chip(recipe)


def cann() -> Iterator[Finding]:
    """The toolkit and its converter."""
    from actionbook.core.runtime import environment  # noqa: PLC0415

    version = environment()["cann"]
    if version is None:
        yield problem("CANN", "no CANN toolkit is found, without which MindSpore cannot use the card", CANN)
    else:
        yield ok("CANN", f"CANN {version}")
    if shutil.which("atc"):
        yield ok("ATC", "atc is on the PATH")
    else:
        yield warning("ATC", "atc is not on the PATH: notebook 04_conversion only gives its commands", CANN)


def chip(recipe: Recipe | None) -> Iterator[Finding]:
    """The chip's name against what the recipe converts for."""
    found = npu_smi.soc_version()
    if found.remark:
        yield warning("chip", found.remark, "compare with the label of the card")
    if recipe is None or found.name == recipe.export.soc_version:
        yield ok("chip", f"the chip is {found.name}")
    else:
        message = f"the chip is {found.name}, the recipe converts for {recipe.export.soc_version}"
        yield problem("chip", message, f"set export.soc_version to {found.name}, or convert for the other machine only")
