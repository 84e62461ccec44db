"""Checks of a recipe's workspace: which stages ran, what is stale, half finished or left behind."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from actionbook.core.files import TEMPORARY
from actionbook.core.paths import shown
from actionbook.doctor.data import evenly, made_stores
from actionbook.doctor.findings import Check, Finding, ok, problem, warning

if TYPE_CHECKING:
    from actionbook.core.workspace import Stage

_NETWORK = ("data", "task", "sampling", "transforms", "model", "streams")
_TRAINED = (*_NETWORK, "weights", "training")
SECTIONS = {
    "01_data": ("data", "streams"),
    "02_architecture": _NETWORK,
    "03_training": _TRAINED,
    "04_conversion": (*_TRAINED, "export"),
    "05_accuracy": (*_TRAINED, "export", "evaluation"),
}
"""Sections of the recipe that the results of a stage hang on."""
SAMPLE = 4


def workspace_checks(stage: Stage) -> dict[str, Check]:
    """The checks by name."""
    if not stage.workspace.exists():
        return {"record": lambda: [ok("record", f"{shown(stage.workspace)} does not exist yet: nothing has run")]}
    return {
        "record": lambda: stages(stage),
        "frames": lambda: frames(stage),
        "training": lambda: trainings(stage),
        "leftovers": lambda: leftovers(stage),
    }


def stages(stage: Stage) -> Iterator[Finding]:
    """Which stages have results, and which of them another recipe or an earlier stage has made stale.

    Raises BookError for a record that is damaged.
    """
    from actionbook.core.record import read_record  # noqa: PLC0415
    from actionbook.core.runtime import library_sha256  # noqa: PLC0415

    record = read_record(stage.workspace)
    if not record.stages:
        yield ok("record", f"{shown(stage.workspace)} has no results yet: begin with notebook 01_data")
    before = ("", "")
    for name, entry in record.stages.items():
        changed = [key for key in SECTIONS[name] if entry.recipe_sections.get(key) != stage.whole.sha256(key)]
        again = f"run notebooks/{stage.recipe.chapter}/{name}.ipynb again with this recipe"
        if changed:
            message = f"it ran with another {', '.join(changed)} of the recipe"
            yield warning(name, message, f"{again}; later stages refuse its results where they need them")
        elif entry.finished < before[0]:
            yield warning(name, f"it ran before the last run of {before[1]}, on older results", again)
        elif entry.environment.get("library_sha256") != library_sha256():
            message = f"it ran on {entry.finished} with another version of the library"
            yield warning(name, message, f"{again} if figures matter")
        else:
            yield ok(name, f"it ran on {entry.finished} with this recipe and library")
        before = max(before, (entry.finished, name))


def frames(stage: Stage) -> Iterator[Finding]:
    """Every prepared video of each index has its frames, and a sample of them opens with as many as the index says."""
    from actionbook.datasets.dataset import store_path  # noqa: PLC0415
    from actionbook.stages.data import data_sets  # noqa: PLC0415
    from actionbook.video.frame_folder import frames_path, open_frames  # noqa: PLC0415
    from actionbook.video.reader import StoreError  # noqa: PLC0415

    again = "run notebook 01_data again: only what is missing is made"
    kinds = dict.fromkeys(stream.recipe.transforms.modality for stream in stage.streams.values())
    for own, kind in itertools.product(data_sets(stage).values(), kinds):
        if not list(own.index_file.parent.glob(f"{own.index_file.name}-*.csv")):
            yield warning("frames", f"{shown(own.index_file)}-*.csv do not exist", "run notebook 01_data")
            continue
        store, found = own.store(kind), own.index().videos
        found = found[found.frames > 0]
        rows = [(store_path(store, name), count) for name, count in zip(found.store, found.frames, strict=True)]
        absent = [path for path, _ in rows if not path.exists() and not frames_path(path).exists()]
        if absent:
            message = f"{shown(store)} lacks {len(absent)} of {len(rows)} videos, first {absent[0].stem}"
            yield problem("frames", message, again)
            continue
        wrong = []
        for path, count in evenly(rows, SAMPLE):
            try:
                with open_frames(path) as opened:
                    if len(opened) != count:
                        wrong.append(f"{path.name} has {len(opened)} frames, the index says {count}")
                    opened.jpeg(0)
            except (StoreError, OSError) as error:
                wrong.append(str(error))
        if wrong:
            yield problem("frames", f"{shown(store)}: {wrong[0]}", again)
        else:
            yield ok("frames", f"{shown(store)} holds all {len(rows)} videos of the index")


def trainings(stage: Stage) -> Iterator[Finding]:
    """Finished trainings, and half-finished ones with what they would go on from."""
    from actionbook.core.runtime import code_sha256  # noqa: PLC0415
    from actionbook.training import FLOORS, VALIDATION  # noqa: PLC0415

    finished, current = 0, tuple(code_sha256(*floors)[:8] for floors in (FLOORS, FLOORS + VALIDATION))
    for folder in (one for stream in stage.streams.values() for one in sorted(stream.folder.glob("training/*/"))):
        state, done = folder / "state.ckpt", folder / "done.json"
        own = folder.name.endswith(current) or stage.recipe.training.any_library
        if done.exists():
            finished += 1
            if not (folder / "network.ckpt").is_file():
                yield problem("training", f"{folder.name} is finished, but has no network.ckpt", "delete the folder")
        elif not state.exists():
            message = f"{folder.name} is half finished and has no state to go on from"
            yield warning("training", message, "it starts from its first epoch when 03_training is run; nothing to do")
        elif not state.stat().st_size:
            yield problem("training", f"{folder.name}: state.ckpt is empty", f"delete {shown(folder)} and train again")
        else:
            where = _reached(folder, stage.recipe.training.epochs)
            message = f"{folder.name} is half finished and would go on {where}"
            if own:
                yield warning("training", message, "run notebook 03_training again with the recipe that began it")
            else:
                message = f"{folder.name} is half finished, but belongs to another version of the library"
                yield warning("training", message, "set training.any_library to go on with it, or delete the folder")
    yield ok("training", f"{finished} finished trainings")


def _reached(folder: Path, epochs: int) -> str:
    """How far a training had come by its log, which is written with every state."""
    try:
        text = (folder / "log.jsonl").read_text(encoding="utf-8")
        done = max((int(json.loads(line)["epoch"]) for line in text.splitlines()), default=0)
    except (OSError, ValueError, KeyError, TypeError):
        return "from its last state (its log cannot be read)"
    return f"after epoch {done} of {epochs}"


def leftovers(stage: Stage) -> Iterator[Finding]:
    """Temporary files of writers that were killed."""
    found: list[Path] = []
    for folder in (stage.workspace, *made_stores(stage)):
        for place, _, names in os.walk(folder):
            found += [Path(place) / name for name in names if name.startswith(TEMPORARY)]
    if found:
        total = sum(path.stat().st_size for path in found if path.exists())
        message = f"{len(found)} temporary files ({total / 2**20:.1f} MiB) are there, such as {shown(min(found))}"
        yield warning("leftovers", message, "delete them, unless a notebook is running now")
    else:
        yield ok("leftovers", "no temporary files are left behind")
