"""What was run on what: the files of a pack, its recipe, its data set, its samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from actionbook.core.chapters import recipe_files
from actionbook.core.errors import BookError, some
from actionbook.core.evidence import Finding
from actionbook.core.files import sha256_json
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.recipe import Recipe
from actionbook.core.sections import PLACES
from actionbook.core.stage_results import DataResults
from actionbook.evidence.archive import files_of
from actionbook.evidence.contents import Contents

RAN_WITH = {
    "01_data": ("data",),
    "02_architecture": ("model",),
    "03_training": ("task", "data", "sampling", "transforms", "model", "weights", "training", "streams"),
    "04_conversion": ("task", "data", "sampling", "transforms", "model", "export", "streams"),
    "05_accuracy": ("task", "data", "sampling", "transforms", "model", "evaluation", "published", "streams"),
}
"""Sections of a recipe that decide what a stage does."""
DECISIVE = ("name", "dataset", "videos", "splits", "classes", "class_groups", "keyframes", "generator")
"""What a data set is, of its manifest; the rest tells where it is had."""


def files(pack: Contents) -> Iterator[Finding]:
    """Every file is the one that the listing names."""
    found, said = files_of(pack.folder), pack.listing.files
    if wrong := sorted(name for name in {**found, **said} if found.get(name) != said.get(name)):
        yield Finding(what="files", state="refuted", detail=f"not as listed: {some(wrong)}")
    else:
        yield Finding(what="files", state="agrees", detail=f"{len(found)} files have the sizes and digests listed")


def recipe(pack: Contents) -> Iterator[Finding]:
    """All stages ran with the recipe that lies in the pack, and what it has in common with the book's."""
    listing, record = pack.listing, pack.record
    heads = {(head.chapter, head.recipe) for head in record.heads.values()}
    if heads != {(listing.chapter, listing.recipe)} or (pack.recipe.chapter, pack.recipe.name) not in heads:
        detail = f"the pack says {listing.chapter}/{listing.recipe}, its recipe and record {heads}"
        yield Finding(what="recipe", state="refuted", detail=detail)
        return
    hidden = {key.partition(".")[0] for key in listing.left_out}
    wrong = [
        f"{section} of {stage}"
        for stage, entry in record.stages.items()
        for section in RAN_WITH[stage]
        if section not in hidden and entry.recipe_sections.get(section) != pack.sha256(section)
    ]
    if wrong:
        yield Finding(what="recipe", state="refuted", detail=f"stages ran with another recipe: {some(wrong)}")
    else:
        detail = f"{len(record.stages)} stages name the digests of its sections"
        yield Finding(what="recipe", state="agrees", detail=detail)
    if hidden:
        detail = f"{', '.join(listing.left_out)} named places and are left out; {', '.join(sorted(hidden))} as they say"
        yield Finding(what="recipe, places", state="believed", detail=detail)
    yield _beside_the_book(pack)


def data_set(pack: Contents) -> Iterator[Finding]:
    """The data set is the book's, the test list the official one, and the counts are those of the index."""
    data = pack.record.results(DataResults)
    assert data is not None  # `read_contents` asks for the stage
    row, manifest, index = data.dataset, pack.manifest, pack.index
    book = _book_manifest(manifest.name)
    if book is None:
        detail = f"{manifest.name} is no data set of the book; its classes and counts are the pack's own"
        yield Finding(what="data set", state="believed", detail=detail)
    elif other := _different(book, manifest):
        detail = f"calls itself {manifest.name}, and differs from the book's in {', '.join(other)}"
        yield Finding(what="data set", state="refuted", detail=detail)
    else:
        detail = f"{manifest.name}: classes, splits and counts are those of the book's manifest"
        yield Finding(what="data set", state="proven", detail=detail)
    yield _official(pack, book)
    videos = index.videos
    missing = videos.video[videos.frames == 0].tolist()
    counted = {
        "manifest": manifest.name,
        "split": pack.recipe.data.split,
        "generated": manifest.generator is not None,
        "videos_expected": len(videos),
        "videos_found": len(videos) - len(missing),
        "missing_sha256": sha256_json(sorted(missing)) if missing else None,
        "frames": int(videos.frames.sum()),
        "index_sha256": index.sha256,
    }
    if wrong := [key for key, value in counted.items() if getattr(row, key) != value]:
        said = ", ".join(f"{key} {getattr(row, key)}, counted {counted[key]}" for key in wrong)
        yield Finding(what="index", state="refuted", detail=f"the record says {said}")
        return
    named = {name: entry.rests_on.get("index") for name, entry in pack.record.stages.items() if entry.rests_on}
    if other := [name for name, digest in named.items() if digest not in (None, index.sha256)]:
        yield Finding(what="index", state="refuted", detail=f"stages rest on another index: {', '.join(other)}")
        return
    detail = f"{len(videos):,} videos with {counted['frames']:,} frames, {len(missing)} missing, as the record says"
    yield Finding(what="index", state="agrees", detail=detail)


def samples(pack: Contents) -> Iterator[Finding]:
    """The samples are those that the recipe tests of the index, all of them, in order."""
    for stream, asked in pack.asked.items():
        what, said = of_stream(pack, "samples", stream), pack.samples[stream]
        if said != asked:
            lack, more = sorted(set(asked) - set(said)), sorted(set(said) - set(asked))
            parts = [f"{len(said):,} of {len(asked):,} that the recipe tests"]
            parts += [f"without {some(lack, 3)}"] if lack else []
            parts += [f"and {some(more, 3)} besides"] if more else []
            yield Finding(what=what, state="refuted", detail=", ".join(parts))
        else:
            items = len(set(said))
            detail = f"{len(said):,} samples of {items:,} items: all that the recipe tests of this index, in its order"
            yield Finding(what=what, state="proven", detail=detail)


def of_stream(pack: Contents, what: str, stream: str) -> str:
    """What is found out, with the name of the stream where there are several."""
    return f"{what}, {stream}" if len(pack.streams) > 1 else what


def _book_manifest(name: str) -> DatasetManifest | None:
    try:
        return load_dataset(name) if not name.endswith(".yaml") else None  # which would be a path on this machine
    except BookError:
        return None


def book_recipes(chapter: str) -> dict[str, Recipe]:
    """The recipes of a chapter of the book, by name; none of a chapter that it does not have."""
    return {path.stem: Recipe.load(path) for path in recipe_files(chapter)}


def differing(one: dict[str, Any], other: dict[str, Any], at: str = "") -> list[str]:
    """Keys, such as "transforms.size", in which two recipes as plain data differ; places on a machine make none."""
    found = []
    for key in one.keys() | other.keys():
        mine, theirs, name = one.get(key), other.get(key), f"{at}{key}"
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found += differing(mine, theirs, f"{name}.")
        elif mine != theirs and key not in PLACES:
            found.append(name)
    return sorted(found)


def _beside_the_book(pack: Contents) -> Finding:
    mine, books = pack.recipe.as_dict(), book_recipes(pack.recipe.chapter)
    book = books.get(pack.recipe.name)
    what = "recipe of the book"
    if book is None:
        detail = f"the book has no recipe {pack.recipe.chapter}/{pack.recipe.name}"
        return Finding(what=what, state="believed", detail=detail)
    other = differing(mine, book.as_dict())
    if not other:
        return Finding(what=what, state="proven", detail="every setting is the book's")
    return Finding(what=what, state="proven", detail=f"the book's, but for {some(other, 8)}")


def _different(book: DatasetManifest, manifest: DatasetManifest) -> list[str]:
    """The `DECISIVE` parts in which two manifests differ; but digests of lists may have come later, see `_official`."""
    parts, later = set(DECISIVE), {"splits": {"__all__": {"truth_sha256"}}}
    ours, theirs = (one.model_dump(include=parts, exclude=later) for one in (book, manifest))
    return [part for part in DECISIVE if ours[part] != theirs[part]]


def _official(pack: Contents, book: DatasetManifest | None) -> Finding:
    what, number = "test list", str(pack.recipe.data.split)
    split = book.splits.get(number) if book else None
    if split is None:
        return Finding(what=what, state="believed", detail="the book does not know this list")
    tested = pack.index.of_subset("test")
    count = len(tested.videos)
    if split.truth_sha256 is None and count == split.test:
        detail = f"{count:,} test videos, as many as the official list; the book has no digest of its labels"
        return Finding(what=what, state="believed", detail=detail)
    if split.truth_sha256 in (None, pack.index.truth_sha256) and count == split.test:
        detail = f"split {number}: items and labels have the digest of the official list"
        return Finding(what=what, state="proven", detail=detail)
    detail = f"{count:,} test videos whose items and labels are not those of the official list ({split.test:,})"
    return Finding(what=what, state="refuted", detail=detail)
