"""Workspaces and stages: the folder of one run, its record, and what a notebook is given to work with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from actionbook.core import runtime
from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json, sweep_temporary, write_json_atomic
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.paths import NOTEBOOKS, ROOT, default_work_root, shown
from actionbook.core.recipe import Recipe, Run

PARAMETERS = ("recipe", "data_root", "work_root", "device", "workers", "overrides")


@dataclass(frozen=True)
class Workspace:
    """The folder ``<work_root>/<chapter>/<recipe>`` with its ``record.json``."""

    folder: Path

    @property
    def record_file(self) -> Path:
        """Path of the record."""
        return self.folder / "record.json"

    def read_record(self) -> dict[str, Any]:
        """The record, an empty one if nothing has run yet. Raises BookError if the file is damaged."""
        try:
            record = json.loads(self.record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"stages": {}}
        except (OSError, ValueError) as error:
            why = f"cannot be read ({error}); delete it and run the stages again"
            raise BookError(f"{shown(self.record_file)}: {why}") from error
        if not isinstance(record, dict) or not isinstance(record.get("stages"), dict):
            raise BookError(f"{shown(self.record_file)}: is not a record; delete it and run the stages again")
        return dict(record)

    def write_stage(self, name: str, entry: dict[str, Any], **top: Any) -> None:
        """Put one stage's entry into the record, in one step; entries of other stages stay.

        What killed writers have left in the workspace's folder is removed.
        """
        sweep_temporary(self.folder)
        record = self.read_record()
        stages = {**record["stages"], name: entry}
        write_json_atomic(self.record_file, {**record, **top, "stages": dict(sorted(stages.items()))})


@dataclass
class Stage:
    """One notebook's run: its recipe, folders, device and workers, and the way to the record.

    Made by `Stage.open` from the notebook's parameters.
    """

    name: str
    recipe: Recipe
    workspace: Workspace
    work_root: Path
    data_root: Path
    device: str
    workers: int
    devices: int = 1
    """Devices of this machine that train together."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds, by the names given to `timed`."""
    parent: Stage | None = None
    """Of a stage that `for_run` has made: the stage of all runs."""
    _started: float = field(default_factory=time.perf_counter)

    @classmethod
    def open(cls, chapter: str, name: str, namespace: dict[str, Any], extra: tuple[str, ...] = ()) -> Stage:
        """Begin the stage `name` of `chapter` with the parameters in a notebook's `namespace` (its ``globals()``).

        Every plain value in the namespace must be a known parameter: papermill sets a misspelt ``-p`` name without
        a word, and the run would silently use the default. `extra` names parameters that only this notebook has.
        Raises BookError naming the parameters that exist.
        """
        values = _parameters(namespace, (*PARAMETERS, *extra))
        recipe_file = _recipe_file(chapter, values["recipe"])
        recipe = Recipe.load(recipe_file, values["overrides"])
        if recipe.chapter != chapter:
            raise BookError(f"{shown(recipe_file)}: belongs to chapter {recipe.chapter!r}, this is {chapter!r}")
        work_root = Path(values["work_root"]).expanduser().resolve() if values["work_root"] else default_work_root()
        data_root = values["data_root"] or ROOT / "data" / load_dataset(recipe.data.manifest).name
        workers = values["workers"] or runtime.default_workers()
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise BookError(f"workers: expected a whole number of at least 1, or None, found {values['workers']!r}")
        devices = values.get("devices") or 1
        if not isinstance(devices, int) or isinstance(devices, bool) or devices < 1:
            raise BookError(f"devices: expected a whole number of at least 1, found {values['devices']!r}")
        if values["device"] not in runtime.DEVICES:
            raise BookError(f"device {values['device']!r}: expected one of {', '.join(runtime.DEVICES)}")
        return cls(
            name=name,
            recipe=recipe,
            workspace=Workspace(work_root / chapter / recipe.name),
            work_root=work_root,
            data_root=Path(data_root).expanduser().resolve(),
            device=values["device"],
            workers=workers,
            devices=devices,
        )

    @property
    def folder(self) -> Path:
        """The workspace's folder."""
        return self.workspace.folder

    @property
    def frames_folder(self) -> Path | None:
        """Folder of frames in colour that others have made, if the recipe names one."""
        return self._place(self.recipe.data.frames_folder)

    @property
    def flow_folder(self) -> Path | None:
        """Folder of optical flow that others have made, if the recipe names one."""
        return self._place(self.recipe.data.flow_folder)

    @property
    def annotation_json(self) -> Path | None:
        """Annotation file that takes the place of the split's lists, if the recipe names one."""
        return self._place(self.recipe.data.annotation_json)

    def _place(self, path: str | None) -> Path | None:
        return None if path is None else (self.data_root / Path(path).expanduser()).resolve()

    @property
    def colour_store(self) -> Path:
        """Folder of the data set's frames in colour, shared by all recipes that want the same frames."""
        return self.frames_folder or self.work_root / "frames" / self._colour_name

    @property
    def _colour_name(self) -> str:
        """What distinguishes these frames from others of the data set."""
        if self.frames_folder:  # flow of one folder must not pass for that of another
            return f"{self.manifest.name}-folder-{sha256_json(str(self.frames_folder))[:8]}"
        frames = self.recipe.data.frames
        side = {"height": "h", "short": "s"}[frames.side]
        return f"{self.manifest.name}-{side}{frames.height}-q{frames.quality}"

    @property
    def flow_store(self) -> Path:
        """Folder of the optical flow between those frames."""
        flow = self.recipe.data.flow
        name = f"{self._colour_name}-{flow.algorithm}-b{flow.bound:g}-q{flow.quality}"
        return self.flow_folder or self.work_root / "frames" / name

    @property
    def frame_store(self) -> Path:
        """Folder of what the recipe's clips are made of: frames in colour, or flow."""
        return self.flow_store if self.recipe.clips.modality == "flow" else self.colour_store

    @property
    def index_file(self) -> Path:
        """The index that stage 01 writes, of the recipe's data set and split."""
        return self.folder / f"index-{self.manifest.name}-{self.recipe.data.split}.csv"

    @property
    def manifest(self) -> DatasetManifest:
        """The manifest of the recipe's data set."""
        return load_dataset(self.recipe.data.manifest)

    def for_run(self, run: Run) -> Stage:
        """This stage with the recipe as `run` changes it. Another data set than the recipe's lies beside it."""
        recipe = self.recipe.for_run(run)
        same = recipe.data.manifest == self.recipe.data.manifest
        data_root = self.data_root if same else self.data_root.parent / load_dataset(recipe.data.manifest).name
        return replace(self, recipe=recipe, data_root=data_root, parent=self.parent or self)

    def data_sets(self) -> list[Stage]:
        """Stages of this recipe with different data: its own first, then those that only some run needs."""
        found: dict[tuple[Path, Path], Stage] = {}
        for stage in (self, *map(self.for_run, self.recipe.training.runs)):
            found.setdefault((stage.index_file, stage.frame_store), stage)
        return list(found.values())

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note the seconds that the block takes under `what`."""
        start = time.perf_counter()
        yield
        self.timings[what] = round(time.perf_counter() - start, 3)

    def require(self, earlier: str, *sections: str) -> dict[str, Any]:
        """Results of an earlier stage, which must have run with the same `sections` of the recipe.

        Folders that the recipe names count here: another one may hold other frames, which only notebook 01_data looks
        at. Raises BookError saying which notebook to run first, or which section of the recipe has changed since.
        """
        entry = self.workspace.read_record()["stages"].get(earlier)
        notebook = f"notebooks/{self.recipe.chapter}/{earlier}.ipynb"
        if entry is None:
            raise BookError(
                f"{shown(self.folder)} holds no result of stage {earlier}: run {notebook} first, "
                f"with recipe={self.recipe.name!r} and the same work_root"
            )
        for section in sections:
            if entry["recipe_sections"].get(section) != self._digest(section):
                raise BookError(
                    f"stage {earlier} ran with another {section!r} section of the recipe: "
                    f"run {notebook} again with the same recipe and overrides"
                )
        results: dict[str, Any] = entry["results"]
        return results

    def _digest(self, section: str) -> str:
        return sha256_json({section: self.recipe.as_dict()[section]})

    def finish(self, results: dict[str, Any]) -> None:
        """Write this stage's entry into the record: results, timings, environment, digests."""
        sections = self.recipe.as_dict()
        entry = {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._started, 1),
            "timings": self.timings,
            "device": self.device,
            "devices": self.devices,
            "environment": runtime.environment(),
            "recipe_sections": {key: self._digest(key) for key in sections},
            "results": results,
        }
        self.workspace.write_stage(
            self.name,
            entry,
            chapter=self.recipe.chapter,
            recipe=self.recipe.name,
            title=self.recipe.title,
            recipe_sha256=self.recipe.sha256(),
        )


def _parameters(namespace: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """The notebook's parameters, checked to be exactly those that exist."""
    found = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_")
        and name not in {"In", "Out", "exit", "quit", "open", "get_ipython"}
        and not isinstance(value, type | FunctionType | ModuleType)
    }
    unknown = sorted(set(found) - set(known))
    missing = sorted(set(known) - set(found))
    if unknown or missing:
        wrong = [f"unknown parameter {name!r}" for name in unknown] + [
            f"parameter {name!r} is not set" for name in missing
        ]
        raise BookError(f"{'; '.join(wrong)}. The parameters are: {', '.join(known)}")
    return found


def _recipe_file(chapter: str, recipe: Any) -> Path:
    """A recipe by its name in the chapter, or by a path."""
    if not isinstance(recipe, str):
        raise BookError(f"recipe: expected a name or the path of a YAML file, found {recipe!r}")
    if recipe.endswith((".yaml", ".yml")):
        return Path(recipe).expanduser().resolve()
    folder = NOTEBOOKS / chapter / "recipes"
    path = folder / f"{recipe}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise BookError(f"recipe {recipe!r}: {shown(path)} does not exist; chapter {chapter} has: {known}")
    return path
