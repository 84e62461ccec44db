"""Checks of the machine and of the installed packages: whatever the recipe, the book needs these."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from actionbook.core.errors import some
from actionbook.core.paths import ROOT
from actionbook.doctor.findings import Check, Finding, ok, problem, warning

PYTHON = (3, 11)
REQUIREMENTS = ROOT / "requirements.txt"
CODECS = {"h264": "H.264 (Kinetics)", "mpeg4": "MPEG-4 and Xvid (UCF101, HMDB51)", "mjpeg": "Motion JPEG"}
BROWSERS = ("google-chrome", "chromium", "chromium-browser")
SECONDS = 120.0
"""For MindSpore to be imported and to run one operator; it takes five, more from a cold disk."""
OPEN_FILES = 1024
INSTALL = "run `make install`"


def environment_checks(device: str, networks: list[dict[str, object]]) -> dict[str, Check]:
    """The checks by name. `networks` are those of a recipe, which are made where MindSpore is tried."""
    return {
        "Python": python,
        "packages": packages,
        "NumPy": numpy_version,
        "libgomp": libgomp,
        "MindSpore": lambda: mindspore(device, networks),
        "FFmpeg": ffmpeg,
        "OpenCV": opencv,
        "oneDNN": onednn,
        "open files": open_files,
        "programs": programs,
        "RAR": rar,
    }


def python() -> Iterator[Finding]:
    """The version of Python that the packages are pinned for."""
    found = platform.python_version()
    if sys.version_info[:2] == PYTHON:
        yield ok("Python", f"Python {found} on {platform.system()} {platform.machine()}")
    else:
        wanted = ".".join(map(str, PYTHON))
        remedy = f"install Python {wanted} and make the environment anew: make install PYTHON=python{wanted}"
        yield problem("Python", f"Python {found}, the pinned packages are for {wanted}", remedy)


def packages() -> Iterator[Finding]:
    """Every package of requirements.txt, in its version."""
    if not REQUIREMENTS.is_file():
        remedy = "install from a checkout (pip install -e .), where the versions are pinned"
        yield warning("packages", f"{REQUIREMENTS.name} is not there, so versions cannot be compared", remedy)
        return
    wanted = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    missing, other = [], []
    for name, version in wanted:
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if found != version:
            other.append(f"{name} {found} instead of {version}")
    if missing:
        yield problem("packages", f"{len(missing)} pinned packages are missing: {some(missing, 6)}", INSTALL)
    if other:
        remedy = f"{INSTALL}; figures are proven with the pinned versions only"
        yield warning("packages", f"{len(other)} packages have another version than pinned: {some(other, 6)}", remedy)
    if not missing and not other:
        yield ok("packages", f"all {len(wanted)} pinned packages are installed in their versions")


def numpy_version() -> Iterator[Finding]:
    """MindSpore 2.10 breaks on NumPy 2 without saying so."""
    found = metadata.version("numpy")
    if int(found.split(".")[0]) < 2:
        yield ok("NumPy", f"NumPy {found}, below 2")
    else:
        yield problem("NumPy", f"NumPy {found}: the pinned MindSpore breaks on version 2", f"{INSTALL}, which pins it")


def libgomp() -> Iterator[Finding]:
    """MindSpore's only system library that slim images lack."""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        yield problem(
            "libgomp", "libgomp.so.1 is not found, without which MindSpore does not load", "apt-get install libgomp1"
        )
    else:
        yield ok("libgomp", "libgomp.so.1 loads")


def mindspore(device: str, networks: list[dict[str, object]]) -> Iterator[Finding]:
    """Import MindSpore, run one convolution and make the recipe's networks, in a process that may crash."""
    command = [sys.executable, "-m", "actionbook.doctor.trial", device, json.dumps(networks)]
    environment = {**os.environ, "GLOG_v": "3"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        remedy = "try `python -c 'import mindspore'`; on Ascend see whether `npu-smi info` answers"
        yield problem("MindSpore", f"it has not run one convolution in {SECONDS:.0f} s", remedy)
        return
    answer = next((line for line in reversed(done.stdout.splitlines()) if line.startswith('{"device"')), None)
    if answer is None:
        last = next(iter(reversed(done.stderr.strip().splitlines())), f"exit status {done.returncode}")
        remedy = f"{INSTALL}; on Ascend source CANN's set_env.sh; or work with device CPU"
        yield problem("MindSpore", f"it does not run on device {device!r}: {last[:300]}", remedy)
        return
    told = json.loads(answer)
    version = metadata.version("mindspore")
    yield ok("MindSpore", f"MindSpore {version} runs a convolution on {told['device']}")
    for mistake in told["mistakes"]:
        yield problem("networks", mistake, "correct the recipe's section model or its training.trainable")
    if networks and not told["mistakes"]:
        rest = f"; {told['untried']} more were not tried, to be quick" if told["untried"] else ""
        yield ok("networks", f"the recipe's networks can be made: {told['made']}{rest}")
    for misfit in told["misfits"]:
        yield problem("weights", misfit, "correct the recipe's section weights or model, as the message says")
    if told["fitting"]:
        yield ok("weights", f"weight files and networks that fit each other in names and shapes: {told['fitting']}")


def ffmpeg() -> Iterator[Finding]:
    """The decoders that the data sets need, in PyAV's FFmpeg."""
    import av  # noqa: PLC0415 (its absence is a finding)

    absent = []
    for name, what in CODECS.items():
        try:
            av.codec.Codec(name, "r")
        except ValueError:
            absent.append(f"{name} for {what}")
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    if absent:
        yield problem("FFmpeg", f"libavcodec {version} lacks decoders: {', '.join(absent)}", f"{INSTALL}: PyAV's wheel")
    else:
        yield ok("FFmpeg", f"libavcodec {version} of PyAV decodes {', '.join(CODECS)}; no ffmpeg program is needed")


def opencv() -> Iterator[Finding]:
    """OpenCV with its contributed modules, where TV-L1 is."""
    import cv2  # noqa: PLC0415

    if hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create"):
        yield ok("OpenCV", f"OpenCV {cv2.__version__} has TV-L1")
    else:
        remedy = "uninstall every opencv-* package, then run `make install`: only the contrib package has it"
        yield problem("OpenCV", f"OpenCV {cv2.__version__} has no TV-L1 (cv2.optflow)", remedy)


def onednn() -> Iterator[Finding]:
    """The variable that keeps oneDNN from a slow path."""
    found = os.environ.get("ONEDNN_MAX_CPU_ISA")
    if platform.machine() not in {"x86_64", "AMD64"} or found in {"AVX2", "SSE41", "AVX", "AVX2_VNNI"}:
        yield ok("oneDNN", f"ONEDNN_MAX_CPU_ISA is {found}")
    else:
        remedy = "unset it: the library then sets AVX2 before MindSpore is imported"
        yield warning(
            "oneDNN", f"ONEDNN_MAX_CPU_ISA is {found}: 3-D convolutions may take a hundred times longer", remedy
        )


def open_files() -> Iterator[Finding]:
    """The limit of open files, which many workers reach."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES:
        yield ok("open files", "no limit" if soft == resource.RLIM_INFINITY else f"{soft} files may be open at once")
    else:
        yield warning("open files", f"only {soft} files may be open at once (of {hard})", f"ulimit -n {OPEN_FILES}")


def programs() -> Iterator[Finding]:
    """Programs that training on several cards and the tests of the pages use."""
    if shutil.which("msrun") or shutil.which("msrun", path=str(Path(sys.executable).parent)):
        yield ok("msrun", "msrun is there, which trains on several cards")
    else:
        yield warning("msrun", "msrun is not found, which trains on several cards", f"{INSTALL}: it is MindSpore's")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    text = f"{Path(browser).name} is there" if browser else "not found: tests of the pages are skipped, all else runs"
    yield ok("Chromium", text)


def rar() -> Iterator[Finding]:
    """A program for RAR archives."""
    from actionbook.datasets.archives import rar_programs  # noqa: PLC0415 (needs packages that may be missing)

    found = rar_programs()
    if found:
        yield ok("RAR", f"RAR archives are unpacked by {next(iter(found))}")
    else:
        message = "no program for RAR archives is found, in which UCF101 and HMDB51 are published"
        yield warning("RAR", message, "apt-get install unar, or libarchive-tools; not needed for data already unpacked")
