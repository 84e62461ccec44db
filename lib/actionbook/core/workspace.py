"""Stages: one notebook's run, with its recipe, its folders, its streams, and the way to the record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actionbook.core import remote, runtime, write_back
from actionbook.core.errors import BookError
from actionbook.core.evidence import RECIPE
from actionbook.core.files import require_writable, write_text_atomic
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.parameters import address, choice, refuse_unknown, whole_number
from actionbook.core.paths import NOTEBOOKS, default_data_root, default_work_root, expanded, shown
from actionbook.core.recipe import Recipe, Run
from actionbook.core.record import STAGES, Head, StageEntry, read_record, write_stage
from actionbook.core.stage_results import StageResults

PARAMETERS = (
    "recipe", "stream", "data_root", "work_root", "device", "workers", "devices", "scheduler", "video", "overrides"
)  # fmt: skip
"""What notebooks may be given; each has those that mean something to it."""


@dataclass
class Stage:
    """One notebook's run: its recipe, folders, device and workers. Made by `Stage.open` from the parameters."""

    name: str
    whole: Recipe
    """The recipe as it was loaded, with all its streams."""
    recipe: Recipe
    """The recipe of this stage: the whole one, that of a stream, or of one of its runs."""
    workspace: Path
    """``<work_root>/<chapter>/<recipe>``: the folder of one recipe, with its record."""
    folder: Path
    """Where this stage's files lie: the workspace, or in it the folder of a stream."""
    work_root: Path
    data_root: Path
    device: str
    workers: int
    devices: int = 1
    """Devices of this machine that train together."""
    scheduler: str | None = None
    """Address of a Dask cluster that prepares data or trains; None: processes of this machine."""
    chosen: tuple[str, ...] = ()
    """Names of the streams to work with."""
    stream: str = ""
    """Of the stage of a stream: its name."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds, by the names given to `timed`."""
    parent: Stage | None = None
    """Of a stage that `for_run` has made: the stage of all runs."""
    _started: float = field(default_factory=time.perf_counter)

    @classmethod
    def open(
        cls,
        chapter: str,
        name: str,
        *,
        recipe: str = "mini",
        stream: str | None = None,
        data_root: str | Path | None = None,
        work_root: str | Path | None = None,
        device: str = "auto",
        workers: int | None = None,
        devices: int | None = None,
        scheduler: str | None = None,
        overrides: dict[str, Any] | str | None = None,
    ) -> Stage:
        """Begin the stage `name` of `chapter`; may be called again at any time.

        `recipe` is a name in the chapter's ``recipes/`` or the path of a YAML file, `stream` one of its streams (None:
        all). Roots may be addresses in object storage, whose local copies are then the stage's folders (`remote`).
        In a notebook, names in its parameter cells that are no parameters are refused (`refuse_unknown`).
        Raises BookError naming the parameter, what was expected and what was found, and for a work root that cannot be
        written; a data root need not be where the data set is there.
        """
        refuse_unknown(PARAMETERS)
        recipe_file = _recipe_file(chapter, recipe)
        loaded = Recipe.load(recipe_file, overrides)
        if loaded.chapter != chapter:
            raise BookError(f"{shown(recipe_file)}: belongs to chapter {loaded.chapter!r}, this is {chapter!r}")
        work = remote.root("work_root", work_root, default_work_root())
        if name in STAGES:  # the doctor has more to say, and goes on
            require_writable(work, "set work_root (or the variable ACTIONBOOK_WORK) to a folder that you may write")
        workspace = work / chapter / loaded.name
        stage = cls(
            name=name,
            whole=loaded,
            recipe=loaded,
            workspace=workspace,
            folder=workspace,
            work_root=work,
            data_root=remote.root(
                "data_root", data_root, default_data_root() / load_dataset(loaded.data.manifest).name
            ),
            device=choice("device", device, runtime.DEVICES),
            workers=whole_number("workers", workers, runtime.default_workers()),
            devices=whole_number("devices", devices, 1),
            scheduler=address("scheduler", scheduler),
            chosen=(choice("stream", stream, loaded.stream_names),) if stream is not None else loaded.stream_names,
        )
        remote.bring(stage, data_root, work_root)
        return stage

    @property
    def streams(self) -> dict[str, Stage]:
        """The stages of the chosen streams, by name; each goes through all that one network does."""
        return {name: self._for_stream(name) for name in self.chosen}

    def _for_stream(self, name: str) -> Stage:
        inner = self.workspace / name if self.recipe.streams else self.workspace
        return replace(self, recipe=self.recipe.for_stream(name), folder=inner, stream=name, chosen=(name,))

    @property
    def first(self) -> Stage:
        """The first chosen stream's stage, for what all have in common."""
        return self._for_stream(self.chosen[0])

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

    def set_device(self) -> str:
        """Choose the device for MindSpore, as `runtime.set_device`, and remember which it is."""
        self.device = runtime.set_device(self.device)
        return self.device

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note the seconds that the block takes under `what`."""
        start = time.perf_counter()
        yield
        self.timings[what] = round(time.perf_counter() - start, 3)

    def require(self, earlier: str, *sections: str) -> StageResults:
        """Results of an earlier stage, which must have run with the same `sections` of the recipe.

        Raises BookError saying which notebook to run first, or which section of the recipe has changed since.
        """
        entry = read_record(self.workspace).stages.get(earlier)
        notebook = f"notebooks/{self.recipe.chapter}/{earlier}.ipynb"
        if entry is None:
            raise BookError(
                f"{shown(self.workspace)} holds no result of stage {earlier}: run {notebook} first, "
                f"with recipe={self.recipe.name!r} and the same work_root"
            )
        for section in (*sections, "streams"):
            if entry.recipe_sections.get(section) != self.whole.sha256(section):
                raise BookError(
                    f"stage {earlier} ran with another {section!r} section of the recipe: "
                    f"run {notebook} again with the same recipe and overrides"
                )
        return entry.results

    def finish(self, results: StageResults, rests_on: Mapping[str, str] | None = None) -> None:
        """Write this stage's entry into the record: results, timings, environment, and the digests it rests on.

        `rests_on` has keys such as "rgb.network" for what belongs to one stream. Where not all streams were chosen,
        what the record holds of the others stays, if it still agrees (`StageEntry.with_streams`) and can be read. The
        recipe as it ran, overrides and all, is written beside the record.
        What killed writers have left in the workspace's folder is removed. All is written back where `work_root` is an
        address: raises BookError naming what could not be.
        """
        head = Head(
            chapter=self.whole.chapter,
            recipe=self.whole.name,
            title=self.whole.title,
            recipe_sha256=self.whole.sha256(),
            streams=self.whole.stream_names,
        )
        entry = StageEntry(
            name=self.name,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self._started, 1),
            timings=self.timings,
            device=self.device,
            devices=self.devices,
            environment=runtime.environment(),
            recipe_sections={key: self.whole.sha256(key) for key in self.whole.as_dict()},
            rests_on=dict(rests_on or {}),
            results=results,
        )
        write_stage(self.workspace, head, self._with_other_streams(entry))
        write_text_atomic(self.workspace / RECIPE, self.whole.as_yaml())
        write_back.settle(self.work_root)

    def _with_other_streams(self, entry: StageEntry) -> StageEntry:
        try:
            stages = {} if self.chosen == self.whole.stream_names else read_record(self.workspace).stages
        except BookError:  # a damaged record is no reason to lose a result
            stages = {}
        if self.name not in stages:
            return entry
        earlier = [stages[name] for name in STAGES[: STAGES.index(self.name)] if name in stages]
        # Of what several stages name, the first knows best: the later ones may not have run again yet.
        now = {key: digest for one in reversed(earlier) for key, digest in one.rests_on.items()}
        return entry.with_streams(stages[self.name], now, self.whole.stream_names)


def _recipe_file(chapter: str, recipe: Any) -> Path:
    """A recipe by its name in the chapter, or by a path."""
    if not isinstance(recipe, str) or not recipe:
        raise BookError(f"recipe: expected a name or the path of a YAML file, found {recipe!r}")
    if recipe.endswith((".yaml", ".yml")):
        return expanded(recipe).resolve()
    recipes = NOTEBOOKS / chapter / "recipes"
    path = recipes / f"{recipe}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in recipes.glob("*.yaml")))
        raise BookError(f"recipe {recipe!r}: {shown(path)} does not exist; chapter {chapter} has: {known}")
    return path
