"""Checks of the data sets of a recipe: lists, videos, archives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from actionbook.core.files import require_writable
from actionbook.core.paths import shown
from actionbook.doctor.findings import Check, Finding, ok, problem, warning
from actionbook.doctor.keyframes import detected_boxes, shown_keyframes

if TYPE_CHECKING:
    from actionbook.core.workspace import Stage
    from actionbook.datasets.dataset import Dataset

Item = TypeVar("Item")
SAMPLE = 4
"""Videos that are opened and whose first frame is decoded."""


def data_checks(stage: Stage) -> dict[str, Check]:
    """The checks of each data set that some run needs, by name."""
    from actionbook.stages.data import data_sets  # noqa: PLC0415 (needs packages that may be missing)

    checks: dict[str, Check] = {}
    for own in data_sets(stage).values():
        name = f"{own.manifest.name} split {own.data.split}"
        checks |= {f"{name}: videos": partial(videos, own, name), f"{name}: archives": partial(archives, own, name)}
    return checks


def videos(dataset: Dataset, name: str) -> Iterator[Finding]:
    """Class list and lists agree with the manifest, how many videos are there, and a sample of them decodes."""
    from actionbook.datasets.lists import MissingVideos, UnclearVideos  # noqa: PLC0415
    from actionbook.datasets.obtain import read  # noqa: PLC0415
    from actionbook.datasets.video_files import contents, videos_folder  # noqa: PLC0415

    manifest, root, data = dataset.manifest, dataset.root, dataset.data
    if manifest.generator is not None and not root.exists():
        require_writable(root, "set data_root (or the variable ACTIONBOOK_DATA) to a folder that you may write")
        yield ok(name, f"its {manifest.videos} videos are not drawn yet; notebook 01_data draws them")
        return
    given = dataset.frames_folder  # frames that others have made: no video is ever decoded
    if manifest.generator is None and not given and not (folder := videos_folder(root, manifest)).is_dir():
        remedy = f"`python -m actionbook.datasets.fetch {manifest.name} --root {shown(root)}`, or set data_root"
        yield problem(name, f"{shown(folder)} does not exist; {contents(root)}", remedy)
        return
    there, unclear = "", False
    try:
        index = read(dataset, strict=True)
    except MissingVideos as error:
        index, there, unclear = error.index, error.there, isinstance(error, UnclearVideos)
    every = index.videos
    yield ok(
        name, f"lists in {shown(root)} agree with the manifest: {len(manifest.classes)} classes, {len(every)} videos"
    )
    found = every[every.path != ""]
    if not there:
        yield ok(name, f"all {len(found)} videos are there")
    else:
        message = f"{index.lacks('path')}. {there[0].upper()}{there[1:]}"
        if unclear:
            yield problem(name, message, "remove or rename what is not meant")
        elif data.allow_missing and len(found):
            yield warning(name, message, "every result will say so; fetch them for a reproduction")
        else:
            yield problem(name, message, "fetch them, or set data.allow_missing for a partial copy")
    sample = evenly(found[["video", "path"]].to_numpy().tolist(), SAMPLE)
    yield from detected_boxes(dataset, name)
    yield from shown_keyframes(dataset, index, dict(sample), name)
    if not given:
        yield from _decoded(name, [root / path for _, path in sample])


def _decoded(name: str, paths: list[Path]) -> Iterator[Finding]:
    from actionbook.video.decode import VideoError, iterate  # noqa: PLC0415

    broken = []
    for path in paths:
        try:
            next(iter(iterate(path)))
        except (VideoError, StopIteration) as error:
            broken.append(str(error) or f"{shown(path)}: has no frame")
    if broken:
        yield problem(
            name, f"{len(broken)} of {len(paths)} videos tried do not decode: {broken[0]}", "fetch them again"
        )
    elif paths:
        yield ok(name, f"{len(paths)} videos tried decode")


def archives(dataset: Dataset, name: str) -> Iterator[Finding]:
    """Archives that were fetched, and whether their first use is on record where no digest is published."""
    from actionbook.core.sources import first_seen  # noqa: PLC0415
    from actionbook.datasets.fetch import ARCHIVES  # noqa: PLC0415

    there = [(source, dataset.root / ARCHIVES / source.name) for source in dataset.manifest.sources]
    there = [(source, path) for source, path in there if path.is_file()]
    for source, path in there:
        size = path.stat().st_size
        seen = first_seen(path) if source.status == "tofu" else None
        wanted = seen["bytes"] if seen else source.bytes
        if wanted is not None and size != wanted:
            message = f"{shown(path)} has {size} bytes, {'at first use' if seen else 'as published'} it had {wanted}"
            yield problem(name, message, "delete it and fetch it again")
        elif source.status == "tofu" and seen is None:
            message = f"{shown(path)} is there, but was never verified: no digest is published"
            yield warning(name, message, f"`python -m actionbook.datasets.fetch {dataset.manifest.name}` records it")
        else:
            since = f", first seen {seen.get('date')}" if seen else ""
            yield ok(name, f"{shown(path)}: {size} bytes{since}")


def made_stores(stage: Stage) -> dict[Path, Dataset]:
    """The frame stores that notebook 01_data makes, each with its data set; not frames that others have made."""
    from actionbook.stages.data import data_sets  # noqa: PLC0415

    kinds = ("rgb", *(stream.recipe.transforms.modality for stream in stage.streams.values()))
    found = {dataset.store(kind): dataset for dataset in data_sets(stage).values() for kind in kinds}
    return {store: dataset for store, dataset in found.items() if dataset.stores in store.parents}


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, from all over the sequence."""
    step = max(1, -(-len(items) // count))
    return list(items[::step])
