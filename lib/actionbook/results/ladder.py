"""The ladder of proof: five rungs, each with its state and the evidence, read from records and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from actionbook.results.compare import comparisons
from actionbook.results.records import Record, StageEntry

State = Literal["shown", "failed", "not run here"]

NAMES = ("Specified", "Equivalent", "Learns", "Converted", "Reproduced")
CLAIMS = (
    "parameters, operations and shapes equal those of the paper's network",
    "with the original's weights, the original's outputs",
    "trained from scratch in miniature, it learns, and the paper's central claim holds",
    "every exported format gives the network's answers",
    "the published accuracy, on the published data set, by the published protocol",
)
_STAGE_OF_RUNG = ("02_architecture", "02_architecture", "03_training", "04_conversion", "05_accuracy")
_TESTS = ("tests/models", "tests/models", None, "tests/conversion", None)


@dataclass(frozen=True)
class Rung:
    """One rung of a chapter's ladder."""

    rung: int
    """From 1."""
    name: str
    claim: str
    state: State
    evidence: str
    """One sentence, made from the record's values."""
    where: str
    """Notebook, and tests where there are some, relative to the checkout."""
    date: str | None
    """Day of the run, None if nothing ran."""
    record: str | None
    """File of the record that the evidence comes from."""


def ladder(chapter: str, records: Iterable[Record]) -> tuple[Rung, ...]:
    """The five rungs of a chapter.

    Rungs 1 to 4 are failed if any record says so, else shown if any does. Rung 5 is shown if one record reproduces
    a published accuracy on the complete data set; nothing from a generated data set counts for it.
    """
    mine = [record for record in records if record.chapter == chapter]
    readers: tuple[Callable[[Mapping[str, Any]], tuple[State, str]], ...]
    readers = (_specified, _equivalent, _learns, _converted)
    rungs = []
    for number, read in enumerate(readers):
        stage = _STAGE_OF_RUNG[number]
        ran = [(*read(r.stages[stage].results), r) for r in mine if stage in r.stages]
        rungs.append(_rung(chapter, number, ran, ("failed", "shown", "not run here")))
    ran = [(*_reproduced(r), r) for r in mine if "05_accuracy" in r.stages]
    rungs.append(_rung(chapter, 4, ran, ("shown", "failed", "not run here")))
    return tuple(rungs)


def table(rungs: Iterable[Rung]) -> pd.DataFrame:
    """Rungs as a table with one column for each field of `Rung`, for `actionbook.results.pictures.ladder_picture`."""
    return pd.DataFrame([asdict(rung) for rung in rungs])


def _rung(chapter: str, number: int, ran: list[tuple[State, str, Record]], order: tuple[State, ...]) -> Rung:
    """The rung from the record whose state comes first in `order`; of several, the one that ran last,
    real data before the miniature."""
    stage = _STAGE_OF_RUNG[number]
    notebook = f"notebooks/{chapter}/{stage}.ipynb"
    state: State = "not run here"
    evidence, date, file = f"There is no record of stage {stage}; its notebook makes one.", None, None
    if ran:
        first = min(order.index(state) for state, _, _ in ran)
        chosen = [item for item in ran if order.index(item[0]) == first]
        state, evidence, record = max(
            chosen, key=lambda item: (item[2].generated is False, item[2].stages[stage].finished)
        )
        entry: StageEntry = record.stages[stage]
        date, file = entry.date, record.file
    tests = _TESTS[number]
    where = notebook if tests is None else f"{notebook}, {tests}"
    return Rung(number + 1, NAMES[number], CLAIMS[number], state, evidence, where, date, file)


def _specified(results: Mapping[str, Any]) -> tuple[State, str]:
    rows = results.get("specified") or []
    if not rows:
        return "not run here", "The record compares no figures with the paper's."
    wrong = [row for row in rows if row["found"] != row["expected"]]
    if wrong:
        listed = "; ".join(
            f"{row['what']}: {_number(row['found'])}, expected {_number(row['expected'])}" for row in wrong
        )
        return "failed", f"{len(wrong)} of {_count(rows, 'figure')} differ: {listed}."
    listed = "; ".join(f"{row['what']}: {_number(row['found'])}" for row in rows[:2])
    equal = "equals what is specified" if len(rows) == 1 else "equal what is specified"
    return "shown", f"{_count(rows, 'figure')} {equal} ({listed}{'; and so on' if len(rows) > 2 else ''})."


def _equivalent(results: Mapping[str, Any]) -> tuple[State, str]:
    rows = results.get("equivalent") or []
    if not rows:
        return "not run here", "The record compares no outputs with the original's."
    wrong = [row for row in rows if not _value(row["relative_difference"]) <= row["tolerance"]]  # NaN is wrong as well
    worst = max(wrong or rows, key=lambda row: _value(row["relative_difference"]))
    detail = f"{_short(worst['relative_difference'])} ({worst['network']}), tolerance {_short(worst['tolerance'])}"
    if wrong:
        return (
            "failed",
            f"{len(wrong)} of {_count(rows, 'network')} differ from the original's outputs, by up to {detail}.",
        )
    return "shown", f"{_count(rows, 'network')}; greatest relative difference from the original's outputs {detail}."


def _learns(results: Mapping[str, Any]) -> tuple[State, str]:
    rows = results.get("learns") or []
    if not rows:
        return "not run here", "The record states no claim."
    wrong = [row for row in rows if not row["holds"]]
    listed = "; ".join(f"{row['claim']} ({row['shown']})" for row in wrong or rows)
    if wrong:
        return "failed", f"{len(wrong)} of {_count(rows, 'claim')} fail: {listed}."
    return "shown", f"{'The claim holds' if len(rows) == 1 else 'All claims hold'}: {listed}."


def _converted(results: Mapping[str, Any]) -> tuple[State, str]:
    rows = results.get("ladder") or []
    missing = results.get("not_run") or []
    absent = f" Not run here: {', '.join(row['format'] for row in missing)}." if missing else ""
    if not rows:
        return "not run here", f"No exported file was compared with the network.{absent}"
    wrong = [row for row in rows if not row["passed"] and row.get("required", True)]
    further = [f"{row['format']}: {_why(row)}" for row in rows if not row["passed"] and row not in wrong]
    beside = f" Further rungs that fail: {'; '.join(further)}." if further else ""
    if wrong:
        listed = "; ".join(f"{row['format']}: {_why(row)}" for row in wrong)
        return "failed", f"{len(wrong)} of {_count(rows, 'format')} fail: {listed}.{beside}{absent}"
    listed = "; ".join(
        f"{row['format']} on {row['clips']} clips, relative difference {_short(row['relative_difference'])}, "
        f"top-1 agreement {_percent(row['top1_agreement'])}"
        for row in rows
        if row["passed"]
    )
    return "shown", f"{listed}.{beside}{absent}"


def _why(row: Mapping[str, Any]) -> str:
    return row.get("reason") or _short(row.get("relative_difference"))


def _reproduced(record: Record) -> tuple[State, str]:
    if record.generated is None:
        return "not run here", f"The record of {record.recipe} has no data stage, so its data set is not known."
    if record.generated:
        return "not run here", f"No data set: {record.recipe} was evaluated on the miniature only."
    found = comparisons(record)
    if not found:
        return "not run here", f"{record.recipe} aims at no published accuracy of the data set that it was run on."
    for status in ("failed", "reproduced", "partial"):
        for item in found:
            if item.status != status:
                continue
            if status == "partial":
                return (
                    "not run here",
                    f"Partial copy: {item.evaluated} of {item.accuracy['expected']} videos evaluated.",
                )
            beside = (
                f"{record.recipe}, {item.engine}: {item.figure.metric} {item.accuracy['value']:.5f} = "
                f"{item.accuracy['correct']}/{item.accuracy['expected']}; published {item.figure} ({item.figure_id})"
            )
            return ("shown" if status == "reproduced" else "failed"), f"{beside}."
    raise AssertionError("every comparison has one of three statuses")


def _count(rows: list[Any], noun: str) -> str:
    return f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}"


def _value(number: Any) -> float:
    """A measured difference; what is absent or not a number counts as infinite."""
    return math.inf if number is None or math.isnan(number) else float(number)


def _short(number: Any) -> str:
    value = _value(number)
    return f"{value:.1e}" if math.isfinite(value) and value else "0" if value == 0 else "not finite"


def _percent(share: Any) -> str:
    return "not measured" if share is None else f"{100 * share:.4g} %"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
