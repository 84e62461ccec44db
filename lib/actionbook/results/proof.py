"""The ladder of proof: five rungs, each with its state and the evidence, read from records and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from actionbook.core.recipe import JOINT
from actionbook.core.record import Record
from actionbook.core.score import metric_title
from actionbook.core.stage_results import ArchitectureResults, ConversionResults, FormatRow, TrainingResults
from actionbook.results.compare import comparisons
from actionbook.results.evidence import handed_in

State = Literal["shown", "failed", "not run here"]
Reading = tuple[State, str]
"""What a record says of a rung: its state, and the evidence in a sentence."""
Reader = Callable[[Record], Reading]


@dataclass(frozen=True)
class Rung:
    """One rung of a chapter's ladder."""

    rung: int
    """From 1."""
    name: str
    state: State
    evidence: str
    """One sentence, made from the record's values."""
    where: str
    """Notebook, and tests where there are some, relative to the checkout."""
    date: str | None
    """Day of the run, None if nothing ran."""


def ladder_of(chapter: str, records: Iterable[Record]) -> tuple[Rung, ...]:
    """The five rungs of a chapter.

    Rungs 1 to 4 are failed if any record says so, else shown if any does. Rung 5 is shown if one record reproduces
    a published accuracy on the complete data set; nothing from a generated data set counts for it. Of several records
    that say the same the one that ran last is the evidence, real data before the miniature.
    """
    mine = [record for record in records if record.head.chapter == chapter]
    rungs = []
    for number, (name, stage, tests, read) in enumerate(LADDER, start=1):
        least_first = ["not run here", *(("failed", "shown") if read is _reproduced else ("shown", "failed"))]
        state: State = "not run here"
        evidence, date = f"There is no record of stage {stage}; its notebook makes one.", None
        ran = [(*read(record), record.stages[stage], record) for record in mine if stage in record.stages]
        if ran:
            state, evidence, entry, _ = max(
                ran, key=lambda item: (least_first.index(item[0]), item[3].generated is False, item[2].finished)
            )
            date = entry.date
        where = ", ".join([f"notebooks/{chapter}/{stage}.ipynb", *([tests] if tests else [])])
        if read is _reproduced and any(handed_in(record) for record in mine):
            where += ", book/evidence.md"
        rungs.append(Rung(number, name, state, evidence, where, date))
    return tuple(rungs)


def rung_table(rungs: Iterable[Rung]) -> pd.DataFrame:
    """Rungs as a table with one column for each field of `Rung`, for `actionbook.results.pictures.ladder_picture`."""
    return pd.DataFrame([asdict(rung) for rung in rungs])


def _specified(record: Record) -> Reading:
    results = record.results(ArchitectureResults)
    rows = results.specified if results else ()
    if not rows:
        return "not run here", "The record compares no figures with the paper's."
    wrong = [row for row in rows if not row.holds]
    if wrong:
        listed = "; ".join(f"{row.what}: {_number(row.found)}, expected {_number(row.expected)}" for row in wrong)
        return "failed", f"{len(wrong)} of {_count(rows, 'figure')} differ: {listed}."
    listed = "; ".join(f"{row.what}: {_number(row.found)}" for row in rows[:2])
    equal = "equals what is specified" if len(rows) == 1 else "equal what is specified"
    return "shown", f"{_count(rows, 'figure')} {equal} ({listed}{'; and so on' if len(rows) > 2 else ''})."


def _equivalent(record: Record) -> Reading:
    results = record.results(ArchitectureResults)
    rows = results.equivalent if results else ()
    if not rows:
        return "not run here", "The record compares no outputs with the original's."
    wrong = [row for row in rows if not row.holds]
    worst = max(wrong or rows, key=lambda row: _value(row.relative_difference))
    detail = f"{_short(worst.relative_difference)} ({worst.network}), tolerance {_short(worst.tolerance)}"
    if wrong:
        return (
            "failed",
            f"{len(wrong)} of {_count(rows, 'network')} differ from the original's outputs, by up to {detail}.",
        )
    return "shown", f"{_count(rows, 'network')}; greatest relative difference from the original's outputs {detail}."


def _learns(record: Record) -> Reading:
    results = record.results(TrainingResults)
    rows = results.learns if results else ()
    if not rows:
        return "not run here", "The record states no claim."
    wrong = [row for row in rows if not row.holds]
    listed = "; ".join(f"{row.claim} ({row.shown})" for row in wrong or rows)
    if wrong:
        return "failed", f"{len(wrong)} of {_count(rows, 'claim')} fail: {listed}."
    return "shown", f"{'The claim holds' if len(rows) == 1 else 'All claims hold'}: {listed}."


def _converted(record: Record) -> Reading:
    results = record.results(ConversionResults)
    streams = results.streams if results else {}
    rows = [(_format(record, name, row), row) for name, one in streams.items() for row in one.formats]
    fused = [(_format(record, JOINT, row), row) for row in results.fused] if results else []
    missing = dict.fromkeys(step.format for one in streams.values() for step in one.not_run)
    absent = f" Not run here: {', '.join(missing)}." if missing else ""
    if not rows:
        return "not run here", f"No exported file was compared with the network.{absent}"
    failed = [(name, row) for name, row in [*rows, *fused] if not row.passed]
    further = "; ".join(f"{name}: {row.reason}" for name, row in failed if not row.required)
    beside = f" Not required, and failing: {further}." if further else ""
    wrong = "; ".join(f"{name}: {row.reason}" for name, row in failed if row.required)
    if wrong:
        number = sum(row.required for _, row in failed)
        return "failed", f"{number} of {_count([*rows, *fused], 'format')} fail: {wrong}.{beside}{absent}"
    listed = "; ".join(
        f"{name} on {row.samples} clips, relative difference {_short(row.relative_difference)}, "
        f"{metric_title(row.score.metric)} agreement {100 * row.agreement:.4g} %"
        for name, row in fused or rows
        if row.passed
    )
    return "shown", f"{listed}.{beside}{absent}"


def _format(record: Record, stream: str, row: FormatRow) -> str:
    return row.format if len(record.head.streams) == 1 else f"{stream} {row.format}"


def _reproduced(record: Record) -> Reading:
    recipe = record.head.recipe
    if record.generated is None:
        return "not run here", f"The record of {recipe} has no data stage, so its data set is not known."
    if record.generated:
        return "not run here", f"No data set: {recipe} was evaluated on the miniature only."
    found = [item for item in comparisons(record) if item.counts]
    if not found:
        return "not run here", f"{recipe} aims at no published accuracy of the data set that it was run on."
    best = min(found, key=lambda item: ("not reproduced", "reproduced", "partial").index(item.status))
    if best.status == "partial":
        return "not run here", f"Partial copy: {best.evaluated} of {best.score.expected} videos evaluated."
    pack, score = handed_in(record), best.score
    who = f", handed in by {pack.by}" if pack else ""
    beside = (
        f"{record.head.label(best.row.stream)}, {best.row.format}{who}: {best.figure.metric} {score.figures(5)} of "
        f"{score.expected:,}; published {best.figure} ({best.figure_id}): {100 * best.difference:+.2f} points, "
        f"tolerance {100 * best.tolerance:.2f}"
    )
    return ("shown" if best.status == "reproduced" else "failed"), f"{beside}."


LADDER: tuple[tuple[str, str, str | None, Reader], ...] = (
    ("Specified", "02_architecture", "tests/models", _specified),
    ("Equivalent", "02_architecture", "tests/models", _equivalent),
    ("Learns", "03_training", None, _learns),
    ("Converted", "04_conversion", "tests/conversion", _converted),
    ("Reproduced", "05_accuracy", None, _reproduced),
)
"""Of each rung its name, the stage and the tests that show it, and how it is read from a record."""


def _count(rows: Sequence[Any], noun: str) -> str:
    return f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}"


def _value(number: float | None) -> float:
    """A measured difference; one that was not finite counts as infinite."""
    return math.inf if number is None else number


def _short(number: float | None) -> str:
    value = _value(number)
    return f"{value:.1e}" if math.isfinite(value) and value else "0" if value == 0 else "not finite"


def _number(value: Any) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
