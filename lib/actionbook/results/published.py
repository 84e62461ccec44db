"""Published figures as data: what papers and ports state, and where they state it (book/published/*.yaml)."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.paths import ROOT, shown
from actionbook.core.recipe import Recipe
from actionbook.core.schema import load, twice
from actionbook.results.published_schema import LAST_DIGIT, Entry, Published, Summary, Table

FOLDER = ROOT / "book" / "published"


class Figure(Entry):
    """A published figure with all that belongs to it; `source` is the source's title."""

    chapter: str
    version: str
    """Of the source."""
    table: str | None = None
    """Title of the table that the figure comes from."""

    @property
    def share(self) -> float:
        """An accuracy in 0..1. Raises BookError for a figure that is none."""
        if self.unit not in LAST_DIGIT:
            raise BookError(f"figure {self.id!r} is in {self.unit}, not a share")
        return self.value / 100 if self.unit == "percent" else self.value

    def __str__(self) -> str:
        text = {"fraction": f"{self.value:.5f}", "percent": f"{self.value:.2f} %"}.get(self.unit, f"{self.value:g}")
        return text if self.correct is None else f"{text} = {self.correct}/{self.expected}"


def read_published(path: Path | str) -> tuple[Figure, ...]:
    """All figures of one file, tables unrolled. Raises BookError naming file and key for anything that does not fit."""
    file = load(Published, path)
    if file.chapter != Path(path).stem:
        raise BookError(f"{shown(path)}: chapter is {file.chapter!r}; name the file {file.chapter}.yaml")
    found = [_figure(file, entry) for entry in file.figures]
    for name, table in file.tables.items():
        found += [_figure(file, entry, table.title) for entry in _unroll(name, table)]
    ids = [figure.id for figure in found]
    if double := twice(ids):
        raise BookError(f"{shown(path)}: ids stand twice: {double}; give each figure its own")
    _check_summary(file.summary, found, shown(path))
    return tuple(found)


def _check_summary(summary: Summary, found: list[Figure], source: str) -> None:
    for field, ids, units in (("accuracy", summary.accuracy, (*LAST_DIGIT,)), ("time", summary.time, ("hours",))):
        fitting = [figure.id for figure in found if figure.unit in units]
        if strange := [key for key in ids if key not in fitting]:
            near = ", ".join(difflib.get_close_matches(strange[0], fitting, n=5, cutoff=0.3)) or "none"
            raise BookError(
                f"{source}: summary.{field}: no figure {strange[0]!r} in {' or '.join(units)}; near it: {near}"
            )


def _unroll(name: str, table: Table) -> list[Entry]:
    shared: dict[str, Any] = {"system": table.system, "source": table.source, "where": table.where, "note": table.note}
    return [
        Entry(
            **{**measure.model_dump(), "batch": row.batch if row.batch is not None else measure.batch},
            **shared,
            id=f"{name}.{key}.{column}",
            what=row.what,
            value=value,
        )
        for key, row in table.rows.items()
        for (column, measure), value in zip(table.columns.items(), row.values, strict=True)
        if value is not None
    ]


def _figure(file: Published, entry: Entry, table: str | None = None) -> Figure:
    source = file.sources[entry.source]
    fields = entry.model_dump() | {"source": source.title, "version": source.version}
    return Figure(chapter=file.chapter, table=table, **fields)


@cache
def figures() -> dict[str, Figure]:
    """Every published figure of the book by its id, which is ``<chapter>.`` and the id in the chapter's file."""
    found = [figure for path in sorted(FOLDER.glob("*.yaml")) for figure in read_published(path)]
    return {f"{figure.chapter}.{figure.id}": figure for figure in found}


def summary(chapter: str) -> Summary:
    """What stands for the chapter, its figures by their full ids. Raises BookError where it has no file of figures."""
    found = load(Published, FOLDER / f"{chapter}.yaml").summary
    full = {field: tuple(f"{chapter}.{key}" for key in getattr(found, field)) for field in ("accuracy", "time")}
    return found.model_copy(update=full)


def published(chapter: str) -> pd.DataFrame:
    """The chapter's figures as a table, one row each: the fields of `Figure`, indexed by the full id."""
    rows = {key: figure.model_dump() for key, figure in figures().items() if figure.chapter == chapter}
    if not rows:
        file = shown(FOLDER / f"{chapter}.yaml")
        raise BookError(f"no published figures for chapter {chapter!r}: {file} is missing or empty")
    return pd.DataFrame.from_dict(rows, orient="index").drop(columns="id").rename_axis("id")


def figure(figure_id: str) -> Figure:
    """The figure with this full id, such as ``efficient3d.port.top1``. Raises BookError naming those that are near."""
    try:
        return figures()[figure_id]
    except KeyError:
        near = difflib.get_close_matches(figure_id, figures(), n=5, cutoff=0.3)
        hint = f"near it: {', '.join(near)}" if near else f"all are listed in {shown(FOLDER)}"
        raise BookError(f"no published figure {figure_id!r}; {hint}") from None


def aims_of(recipe: Recipe) -> tuple[str, ...]:
    """Ids of the published figures that the recipe aims at, with all its streams together and with each alone.

    Raises BookError for one that does not exist.
    """
    alone = [key for name in recipe.stream_names for key in recipe.for_stream(name).published]
    for figure_id in (*recipe.published, *alone):
        try:
            figure(figure_id)
        except BookError as error:
            raise BookError(f"recipe {recipe.chapter}/{recipe.name}, key 'published': {error}") from None
    return tuple(dict.fromkeys([*recipe.published, *alone]))
