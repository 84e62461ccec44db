"""Roots in object storage: what a stage needs of them is fetched, what it makes is written back."""

from __future__ import annotations

from collections.abc import Iterable
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
        in_place = stage.recipe.data.frames_folder or stage.recipe.data.flow_folder
        own, videos = LocalCopy.of("data_root", data_root), stage.name not in STAGES[1:] or in_place is not None
        _fetch_data(own, stage.manifest, videos=videos)
        for name in set(sets) - {stage.manifest.name}:
            _fetch_data(own.beside(name), sets[name], videos=videos, required=False)
    if is_address(work_root):
        workspace = f"{stage.whole.chapter}/{stage.whole.name}/"
        _share(work_root, (workspace, *_shared(sets)), keep=stage.name in STAGES)  # the doctor changes nothing


def bring_set(manifest: DatasetManifest, data_root: Any, work_root: Any) -> None:
    """As `bring`, for one data set that belongs to no recipe. Raises BookError likewise."""
    if is_address(data_root):
        _fetch_data(LocalCopy.of("data_root", data_root), manifest)
    if is_address(work_root):
        _share(work_root, _shared([manifest.name]), keep=True)


def _data_sets(stage: Stage) -> dict[str, DatasetManifest]:
    """The manifests of all runs of the chosen streams, by name."""
    streams = [stream.recipe for stream in stage.streams.values()]
    recipes = [stage.recipe, *(recipe.for_run(run) for recipe in streams for run in recipe.training.runs)]
    manifests = [load_dataset(recipe.data.manifest) for recipe in recipes]
    return {one.name: one for one in manifests}


def _shared(names: Iterable[str]) -> tuple[str, ...]:
    """How names begin that belong to some data sets in every work root."""
    return tuple(f"{kind}/{name}{end}" for name in names for kind, end in (("keyframes", "/"), ("frames", "-")))


def _share(work_root: str, below: tuple[str, ...], *, keep: bool) -> None:
    copy = LocalCopy.of("work_root", work_root)
    copy.fetch(*below, ours=True)
    if keep:
        keep_written(copy, *below)


def _fetch_data(copy: LocalCopy, manifest: DatasetManifest, *, videos: bool = True, required: bool = True) -> None:
    found = copy.fetch(skip=() if videos else (f"{manifest.layout.videos}/",))
    if required and videos and not found and manifest.generator is None:
        raise BookError(
            f"data_root {copy.store}: holds nothing; expected {manifest.layout.videos}/ and "
            f"{manifest.layout.annotations}/ of {manifest.title} there. Check the address"
        )
