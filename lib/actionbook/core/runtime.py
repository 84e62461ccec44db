"""Device, seeds and the environment report."""

from __future__ import annotations

import ast
import gc
import hashlib
import os
import platform
import random
import re
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from actionbook.core.cores import usable
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json, sha256_tree
from actionbook.core.interrupts import keep_interrupts
from actionbook.core.npu_smi import NpuSmiError, driver_version, npu_smi
from actionbook.core.paths import LIBRARY, shown

DEVICES = ("auto", "CPU", "GPU", "Ascend")
PACKAGES = ("mindspore", "numpy", "opencv-contrib-python-headless", "numba", "av", "simplejpeg", "onnx", "onnxruntime")


def set_device(device: str = "auto") -> str:
    """Choose the device for MindSpore and GRAPH mode; returns the device in use.

    ``auto`` takes Ascend where this machine has one, else the CPU. Graphs can then be interrupted, see
    `interrupts.keep_interrupts`. Raises BookError for an unknown name or a device
    that this machine or this MindSpore cannot use.
    """
    import mindspore as ms  # noqa: PLC0415 (slow to import, and not needed to prepare data)

    if device not in DEVICES:
        raise BookError(f"device {device!r}: expected one of {', '.join(DEVICES)}")
    keep_interrupts()
    spare_libraries()
    ms.set_context(mode=ms.GRAPH_MODE)
    wanted = ("Ascend" if has_npu() else "CPU") if device == "auto" else device
    try:
        # MindSpore refuses a second call once something has run, even for the same device: a cell may be run again.
        if ms.get_context("device_target") != wanted:
            ms.set_device(wanted)
    except (RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise BookError(
            f"device {wanted!r} cannot be used here: {first} "
            "Use device='CPU', or see 'Run it yourself' for what an Ascend machine needs."
        ) from error
    return wanted


@cache
def spare_libraries() -> None:
    """Keep the collection of garbage from what all libraries hold, which stays for good.

    MindSpore collects before it compiles and while it does: without that a notebook that compiles takes a sixth less
    time. Once a process: whatever is there is never collected, and later that would be networks, too.
    """
    gc.collect()
    gc.freeze()


def has_npu() -> bool:
    """Whether an Ascend device node exists (``/dev/davinci0`` and so on)."""
    return any(Path("/dev").glob("davinci[0-9]*"))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and MindSpore. Library code draws from its own generators; this is for all that does not."""
    import mindspore as ms  # noqa: PLC0415

    random.seed(seed)
    np.random.seed(seed)
    ms.set_seed(seed)


def default_workers() -> int:
    """Number of CPU cores that this process may use."""
    return len(usable())


@cache
def library_sha256() -> str:
    """Digest of the library's source files: two runs with the same digest ran the same code."""
    return sha256_tree(LIBRARY, LIBRARY.rglob("*.py"))


def code_sha256(*floors: str) -> str:
    """Digest of what the code of some floors of the library does: packages directly below it, by name.

    Comments, documentation and layout have no influence; constants, names and files of data do. Raises BookError for a
    floor that does not exist.
    """
    return sha256_json({floor: _floor_sha256(floor) for floor in floors})


@cache
def _floor_sha256(floor: str) -> str:
    folder = LIBRARY / floor
    if folder.parent != LIBRARY or not (folder / "__init__.py").is_file():
        raise BookError(f"floor {floor!r}: {shown(folder)} is no package of the library")
    parts = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".yaml", ".json", ".csv"}):
        content = _meaning(path).encode() if path.suffix == ".py" else path.read_bytes()
        parts[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return sha256_json(parts)


def _meaning(path: Path) -> str:
    """The syntax tree of a source file without texts that stand alone, which document what is around them."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body[:] = [one for one in node.body if not _is_text(one)]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def environment() -> dict[str, Any]:
    """Versions of everything that numbers may hang on; what is absent is None."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": default_workers(),
        **{name: _version(name) for name in PACKAGES},
        "ffmpeg": ffmpeg_build(),
        "opencv_ffmpeg": _opencv_ffmpeg(),
        "ONEDNN_MAX_CPU_ISA": os.environ.get("ONEDNN_MAX_CPU_ISA"),
        "cann": _cann_version(),
        "driver": _driver_version(),
        "library_sha256": library_sha256(),
    }


def ffmpeg_build() -> str:
    """The FFmpeg libraries that decode the videos (PyAV's), as name and version."""
    import av  # noqa: PLC0415

    versions = av.library_versions
    return ", ".join(f"{name} {'.'.join(map(str, versions[name]))}" for name in ("libavcodec", "libavformat"))


def _opencv_ffmpeg() -> str | None:
    import cv2  # noqa: PLC0415

    found = re.findall(r"^\s+(avcodec|avformat):\s+YES \(([\d.]+)\)", cv2.getBuildInformation(), re.MULTILINE)
    return ", ".join(f"lib{name} {version}" for name, version in found) or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or None
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


_CANN = {
    "version.cfg": r"(?m)^toolkit_(?:running|installed)_version=.*:([^\]\s]+)\]",
    "ascend_toolkit_install.info": r"(?m)^version=(\S+)",
    "*-linux/ascend_toolkit_install.info": r"(?m)^version=(\S+)",
    "compiler/version.info": r"(?im)^version=(\S+)",
}
"""Files below CANN's folder, and where they name the release. The first has an internal number before it, the last that
alone, and of several installed ones the first names the running one first: [7.6.0.1.220:8.0.0]."""


def _cann_version() -> str | None:
    """Version of the CANN toolkit, from the files that its installer writes."""
    home = os.environ.get("ASCEND_HOME_PATH") or os.environ.get("ASCEND_TOOLKIT_HOME")
    candidates = [Path(home)] if home else []
    candidates += [Path("/usr/local/Ascend/ascend-toolkit/latest"), Path("/usr/local/Ascend/cann")]
    for folder in candidates:
        for name, form in _CANN.items():
            for path in sorted(folder.glob(name)):
                with suppress(OSError):
                    if found := re.search(form, path.read_text(encoding="utf-8", errors="replace")):
                        return found[1]
    return None


def _driver_version() -> str | None:
    """Version of the Ascend driver, None where there is no such tool or device."""
    try:
        return driver_version(npu_smi("info"))
    except NpuSmiError:
        return None
