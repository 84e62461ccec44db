"""Checks of the data sets of a recipe: lists, videos, archives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from actionbook.core.paths import shown
from actionbook.doctor.findings import Check, Finding, ok, problem, warning

if TYPE_CHECKING:
    from actionbook.core.workspace import Stage

Item = TypeVar("Item")
SAMPLE = 4
"""Videos that are opened and whose first frame is decoded."""


def data_checks(stage: Stage) -> dict[str, Check]:
    """The checks of each data set that some run needs, by name."""
    checks: dict[str, Check] = {}
    for own in stage.data_sets():
        name = f"{own.manifest.name} split {own.recipe.data.split}"
        if f"{name}: videos" in checks:  # the same videos with other frames
            continue
        checks[f"{name}: videos"] = lambda own=own, name=name: videos(own, name)  # type: ignore[misc]
        checks[f"{name}: archives"] = lambda own=own, name=name: archives(own, name)  # type: ignore[misc]
    return checks


def videos(stage: Stage, name: str) -> Iterator[Finding]:
    """Class list and lists agree with the manifest, how many videos are there, and a sample of them decodes."""
    from actionbook.datasets.obtain import read_stage  # noqa: PLC0415

    manifest, root = stage.manifest, stage.data_root
    if manifest.generator is not None and not root.exists():
        yield ok(name, f"its {manifest.videos} videos are not drawn yet; notebook 01_data draws them")
        return
    data = stage.recipe.data
    given = stage.frames_folder  # frames that others have made: no video is ever decoded
    if manifest.generator is None and not given and not (root / manifest.layout.videos).is_dir():
        remedy = f"`python -m actionbook.datasets.fetch {manifest.name} --root {shown(root)}`, or set data_root"
        yield problem(name, f"{shown(root / manifest.layout.videos)} does not exist", remedy)
        return
    partial = stage.recipe.model_copy(update={"data": data.model_copy(update={"allow_missing": True})})
    index = read_stage(replace(stage, recipe=partial))
    yield ok(
        name, f"lists in {shown(root)} agree with the manifest: {len(manifest.classes)} classes, {len(index)} videos"
    )
    found = index[index.path != ""]
    lacking = len(index) - len(found)
    if not lacking:
        yield ok(name, f"all {len(found)} videos are there")
    else:
        first = ", ".join(index[index.path == ""].video.head(3))
        message = f"{lacking} of {len(index)} videos are missing: {first}{', …' if lacking > 3 else ''}"
        if data.allow_missing:
            yield warning(name, message, "every result will say so; fetch them for a reproduction")
        else:
            yield problem(name, message, "fetch them, or set data.allow_missing for a partial copy")
    if not given:
        yield from _decoded(name, [root / path for path in evenly(found.path.tolist(), SAMPLE)])


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


def archives(stage: Stage, name: str) -> Iterator[Finding]:
    """Archives that were fetched, and whether their first use is on record where no digest is published."""
    from actionbook.core.sources import first_seen  # noqa: PLC0415
    from actionbook.datasets.fetch import ARCHIVES  # noqa: PLC0415

    there = [(source, stage.data_root / ARCHIVES / source.name) for source in stage.manifest.sources]
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
            yield warning(name, message, f"`python -m actionbook.datasets.fetch {stage.manifest.name}` records it")
        else:
            since = f", first seen {seen.get('date')}" if seen else ""
            yield ok(name, f"{shown(path)}: {size} bytes{since}")


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, from all over the sequence."""
    step = max(1, -(-len(items) // count))
    return list(items[::step])
