"""The shape of book/published/*.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from actionbook.core.schema import Name, Strict
from actionbook.core.sources import Count

Metric = Literal[
    "top1", "top5", "mAP", "AP", "clips_per_second", "parameters", "operations", "ratio", "count", "time", "loss"
]
Unit = Literal["fraction", "percent", "clips/s", "million", "1", "ms", "s", "hours", "nats"]
System = Literal["paper", "original", "port", "hub", "other"]
"""Who has measured: the paper, its authors' program, a port of it, the hub of a port's weights, another program."""

UNITS: dict[str, tuple[str, ...]] = {
    "top1": ("fraction", "percent"),
    "top5": ("fraction", "percent"),
    "mAP": ("fraction", "percent"),
    "AP": ("fraction", "percent"),
    "clips_per_second": ("clips/s",),
    "parameters": ("million",),
    "operations": ("million",),
    "ratio": ("1",),
    "count": ("1",),
    "time": ("ms", "s", "hours"),
    "loss": ("nats",),
}
LAST_DIGIT = {"fraction": 1e-5, "percent": 1e-2}
"""One unit in the last printed digit: sources round or cut."""


class Source(Strict):
    """Where figures were published."""

    title: str
    version: str
    """Commit, edition or arXiv number."""
    url: str | None = None


class Measure(Strict):
    """What a figure measures, apart from the network and the value."""

    metric: Metric
    unit: Unit
    dataset: Name | None = None
    split: int | None = None
    hardware: str | None = None
    batch: int | None = None
    protocol: str
    """What was measured, in words."""

    @model_validator(mode="after")
    def _unit_fits(self) -> Measure:
        if self.unit not in UNITS[self.metric]:
            raise ValueError(f"{self.metric} is given in {' or '.join(UNITS[self.metric])}, not {self.unit}")
        return self


class Entry(Measure):
    """One figure."""

    id: Name
    system: System
    what: str
    """Network and width."""
    value: float
    """As printed, in `unit`."""
    correct: Count | None = None
    """Videos counted as right, where the source states it or the value determines it."""
    expected: Count | None = None
    """Videos that the value is a share of."""
    source: str
    """Key of `Published.sources`."""
    where: str
    """Section or table in the source."""
    note: str | None = None

    @model_validator(mode="after")
    def _counts_fit(self) -> Entry:
        if (self.correct is None) != (self.expected is None):
            raise ValueError("correct and expected stand together or not at all")
        if self.correct is not None and self.expected is not None:
            scale = {"fraction": 1.0, "percent": 100.0}.get(self.unit)
            if scale is None or not 0 < self.expected >= self.correct:
                raise ValueError(f"counts {self.correct}/{self.expected} do not fit a figure in {self.unit}")
            share = scale * self.correct / self.expected
            if abs(share - self.value) >= LAST_DIGIT[self.unit]:
                raise ValueError(f"{self.correct}/{self.expected} is {share:.6f}, not {self.value}")
        return self


class Row(Strict):
    """A row of a table: one network, or one setting."""

    what: str
    values: tuple[float | None, ...]
    """One for each column, null where the source prints none."""
    batch: int | None = None
    """Where rows are batch sizes."""


class Table(Strict):
    """A published table. Its figures have the ids ``<table>.<row>.<column>``."""

    title: str
    system: System
    source: str
    where: str
    note: str | None = None
    columns: dict[Name, Measure]
    rows: dict[Name, Row]

    @model_validator(mode="after")
    def _rectangular(self) -> Table:
        for name, row in self.rows.items():
            if len(row.values) != len(self.columns):
                raise ValueError(f"row {name!r} has {len(row.values)} values for {len(self.columns)} columns")
        return self


class Summary(Strict):
    """What stands for a chapter where all of them stand side by side; figures by their ids in the file."""

    idea: str
    """The paper's, in a sentence or two of plain text."""
    accuracy: Annotated[tuple[str, ...], Field(min_length=1)]
    """Those that the chapter is about: the paper's or its authors' first, then the port's."""
    time: tuple[str, ...] = ()
    """Hours of training; none where nobody has published any."""


class Published(Strict):
    """One file: all published figures that a chapter quotes."""

    chapter: Name
    summary: Summary
    sources: dict[Name, Source]
    figures: tuple[Entry, ...] = ()
    tables: dict[Name, Table] = {}  # noqa: RUF012 (pydantic copies defaults)

    @model_validator(mode="after")
    def _sources_exist(self) -> Published:
        for what, source in [(e.id, e.source) for e in self.figures] + [(n, t.source) for n, t in self.tables.items()]:
            if source not in self.sources:
                raise ValueError(f"{what}: unknown source {source!r}; there are: {', '.join(self.sources)}")
        return self
