"""Roots in object storage: what a stage needs of them is fetched, what it makes is written back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionbook.core.errors import BookError
from actionbook.core.local_copy import LocalCopy
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.parameters import folder
from actionbook.core.paths import is_address
from actionbook.core.record import STAGES
from actionbook.core.write_back import keep_written

if TYPE_CHECKING:
    from actionbook.core.workspace import Stage


def root(name: str, value: Any, default: Path) -> Path:
    """The folder that a parameter names, as `parameters.folder`; of an address the folder that stands for it.

    Nothing is fetched yet. Raises BookError for anything but a path or an address.
    """
    return LocalCopy.of(name, value).folder if is_address(value) else folder(name, value, default)


def bring(stage: Stage, data_root: Any, work_root: Any) -> None:
    """Fetch what the stage needs of roots that are addresses, and write back what it makes; nothing for paths.

    Of `data_root` all of the recipe's data sets, which later stages need without their videos; it is only read. Of
    `work_root` the workspace and the frames of those data sets. Raises BookError where a store cannot be reached, or
    holds nothing of a data set that cannot be drawn.
    """
    if not (is_address(data_root) or is_address(work_root)):
        return
    sets = _data_sets(stage)
    if is_address(data_root):
        for manifest in sets.values():
            _fetch_data(stage, LocalCopy.of("data_root", data_root), manifest)
    if is_address(work_root):
        copy = LocalCopy.of("work_root", work_root)
        own = f"{stage.whole.chapter}/{stage.whole.name}/"
        shared = [f"{kind}/{name}{end}" for name in sets for kind, end in (("frames", "-"), ("keyframes", "/"))]
        copy.fetch(own, *shared, ours=True)
        if stage.name in STAGES:  # the doctor changes nothing
            keep_written(copy, own, *shared)


def _data_sets(stage: Stage) -> dict[str, DatasetManifest]:
    """The manifests of all runs of the chosen streams, by name, the recipe's own first."""
    recipes = [stage.recipe]
    for stream in stage.streams.values():
        recipes += [stream.recipe.for_run(run) for run in stream.recipe.training.runs]
    manifests = [load_dataset(recipe.data.manifest) for recipe in recipes]
    return {one.name: one for one in manifests}


def _fetch_data(stage: Stage, own: LocalCopy, manifest: DatasetManifest) -> None:
    main = manifest.name == stage.manifest.name
    copy = own if main else own.beside(manifest.name)
    in_place = stage.recipe.data.frames_folder or stage.recipe.data.flow_folder
    later = stage.name in STAGES[1:] and not in_place
    found = copy.fetch(skip=(f"{manifest.layout.videos}/",) if later else ())
    if main and not found and not later and manifest.generator is None:
        raise BookError(
            f"data_root {copy.store}: holds nothing; expected {manifest.layout.videos}/ and "
            f"{manifest.layout.annotations}/ of {manifest.title} there. Check the address"
        )
