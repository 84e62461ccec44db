"""Checks of cores, memory, disk and the folder of workspaces against what a recipe needs."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from actionbook.core.files import existing, temporary_prefix
from actionbook.core.paths import shown
from actionbook.doctor.data import made_stores
from actionbook.doctor.findings import Check, Finding, ok, problem, warning

if TYPE_CHECKING:
    from actionbook.core.manifest import DatasetManifest
    from actionbook.core.sections import Frames
    from actionbook.core.workspace import Stage

GIB = 2**30
BASE_MEMORY = 2 * GIB
"""Python, MindSpore and a compiled network, without clips."""
BASE_DISK = GIB
"""Checkpoints, exports and predictions of a recipe."""
BYTES_PER_PIXEL = 0.28
"""Of a JPEG in colour at quality 95, as in the miniatures; the two grey ones of flow are a little smaller."""
MEAN_VIDEO = {"ucf101": (186, 4 / 3), "hmdb51": (95, 4 / 3), "kinetics400": (270, 16 / 9), "ava": (27_030, 16 / 9)}
"""Frames of a video on average (7.2 s, 3.2 s, 9.5 s, the cut of 901 s), and width over height."""
NATIVE_HEIGHT = 360
"""Pixels that frames are taken to be high where they are not scaled; `video.estimate` measures it."""
BATCHES_AHEAD = 4
"""Batches of clips in memory at once: the one in use, and three being read (`clips.pipeline`)."""


def machine_checks(work_root: Path, stage: Stage | None) -> dict[str, Check]:
    """The checks by name; without a stage, disk and memory are held to little."""
    return {
        "cores": cores,
        "memory": lambda: memory(stage),
        "disk": lambda: disk(work_root, stage),
        "work root": lambda: writable(work_root),
    }


def cores() -> Iterator[Finding]:
    """Number of cores that this process may use."""
    count = len(os.sched_getaffinity(0))
    if count >= 2:
        yield ok("cores", f"{count} cores")
    else:
        yield warning("cores", "one core: clips are not read while the network runs", "give the container two or more")


def available_memory() -> int:
    """Bytes that this process may still take: the machine's, or less where a control group says so."""
    text = Path("/proc/meminfo").read_text(encoding="utf-8")
    free = int(next(line.split()[1] for line in text.splitlines() if line.startswith("MemAvailable:"))) * 1024
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # "max" where there is no limit
        limit, used = (int((group / f"memory.{name}").read_text(encoding="utf-8")) for name in ("max", "current"))
        free = min(free, limit - used)
    return free


def memory_needed(stage: Stage | None) -> int:
    """Bytes for the library and the batches of clips; activations on the device come on top."""
    values = [0]
    for stream in stage.streams.values() if stage else ():
        recipe, classes = stream.recipe, len(stream.manifest.classes)
        trained = recipe.training.batch_size if recipe.training.epochs else 1
        for tested, clips in ((False, trained), (True, recipe.export.inference_batch)):
            inputs = recipe.spec(classes, tested=tested).inputs
            values.append(clips * sum(map(math.prod, inputs.values())))
    return BASE_MEMORY + BATCHES_AHEAD * max(values) * 4


def memory(stage: Stage | None) -> Iterator[Finding]:
    """Free memory against the batches of clips."""
    free, needed = available_memory(), memory_needed(stage)
    if free >= needed:
        yield ok("memory", f"{free / GIB:.1f} GiB free, about {needed / GIB:.1f} needed for batches of clips")
    else:
        message = f"{free / GIB:.1f} GiB free, but about {needed / GIB:.1f} are needed for batches of clips"
        yield warning(
            "memory", message, "close other programs, or lower training.batch_size and export.inference_batch"
        )


def frames_bytes(manifest: DatasetManifest, frames: Frames) -> float:
    """Bytes of the prepared frames of all videos of a data set: videos times frames times bytes of one, about."""
    from actionbook.video.resample import cut_frames  # noqa: PLC0415

    made = manifest.generator
    length, aspect = MEAN_VIDEO[manifest.dataset]
    if made:
        length, aspect = (made.min_frames + made.max_frames) // 2, made.width / made.height
    if manifest.keyframes:
        length = cut_frames(manifest.keyframes.cut)
    height = frames.height or (made.height if made else NATIVE_HEIGHT)
    return manifest.videos * length * height**2 * aspect * BYTES_PER_PIXEL


def disk_needed(stage: Stage | None) -> int:
    """Bytes that the recipe's frames and its results still take."""
    needed: float = BASE_DISK
    for store, own in made_stores(stage).items() if stage else ():
        there = sum(1 for _ in store.glob("**/*.zip"))
        whole = frames_bytes(own.manifest, own.data.frames)
        needed += whole * max(0.0, 1 - there / max(own.manifest.videos, 1))
    return round(needed)


def disk(work_root: Path, stage: Stage | None) -> Iterator[Finding]:
    """Free disk under the folder of workspaces."""
    free, needed = shutil.disk_usage(existing(work_root)).free, disk_needed(stage)
    text = f"{free / GIB:.1f} GiB free at {shown(work_root)}, about {needed / GIB:.1f} still needed"
    if free >= needed:
        yield ok("disk", text)
    else:
        yield problem("disk", text, "make room, set work_root to a larger disk, or lower data.frames.height")


def writable(work_root: Path) -> Iterator[Finding]:
    """Write a temporary file and rename it over another, as every result is written; then remove it."""
    folder = existing(work_root)
    made: list[Path] = []
    try:
        for _ in range(2):
            handle, name = tempfile.mkstemp(prefix=temporary_prefix(), dir=folder)
            made.append(Path(name))
            os.write(handle, os.fsencode(name))
            os.close(handle)
        new, old = made
        new.replace(old)
        renamed = not new.exists() and old.read_bytes() == os.fsencode(new)
    except OSError as error:
        remedy = "set work_root (or the variable ACTIONBOOK_WORK) to a folder that you may write"
        yield problem("work root", f"{shown(work_root)} cannot be written: {error.strerror}", remedy)
        return
    finally:
        for path in made:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    if renamed:
        made_later = "" if folder == work_root else f" ({shown(work_root)} will be made)"
        yield ok("work root", f"{shown(folder)} can be written, and files are renamed in one step{made_later}")
    else:
        remedy = "set work_root to a local disk; results could be lost here when a stage is interrupted"
        yield problem("work root", f"{shown(folder)} does not replace a file by renaming another", remedy)
