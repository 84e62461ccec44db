"""Measured accuracies beside the published figures that they aim at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from actionbook.results.published import Figure, figure
from actionbook.results.records import Record

Status = Literal["reproduced", "partial", "failed", "not run here"]

MARGIN = 0.01
"""How far below the published share a reproduction may lie: one percentage point, the port's own rule (README, 6.3)."""

QUIRK = "last video not scored"
"""Words in a published protocol that make `top1_quirk` the accuracy to compare."""


@dataclass(frozen=True)
class Comparison:
    """One published accuracy and the one that a record sets against it."""

    figure_id: str
    figure: Figure
    record: Record
    engine: str
    accuracy: dict[str, Any]
    """As `actionbook.evaluation.accuracy.Accuracy.as_dict` gives it."""
    evaluated: int
    """Videos with a prediction, before the original's quirk drops one."""
    protocol: str
    status: Status


def comparisons(record: Record) -> tuple[Comparison, ...]:
    """Every accuracy of the record beside every published one that its recipe aims at, engine by engine.

    Empty if the data set was generated, or is not known to be real: such figures must not be compared. Published
    figures of another data set or split are left out. Raises BookError for the id of a figure that does not exist.
    """
    data, results = record.results("01_data"), record.results("05_accuracy")
    if record.generated is not False:
        return ()
    found = []
    for figure_id in results.get("published") or ():
        aim = figure(figure_id)
        if aim.dataset != data.get("manifest") or aim.split not in (None, data.get("split")):
            continue
        for entry in results.get("accuracy") or ():
            ours = entry.get("top1_quirk") if aim.metric == "top1" and QUIRK in aim.protocol else None
            ours = ours or entry.get(aim.metric)
            if not ours:
                continue
            evaluated = entry.get("top1", ours)["evaluated"]
            status = judge(aim, ours, evaluated)
            protocol = str(results.get("protocol", ""))
            found.append(Comparison(figure_id, aim, record, entry["engine"], ours, evaluated, protocol, status))
    return tuple(found)


def judge(aim: Figure, accuracy: dict[str, Any], evaluated: int) -> Status:
    """Whether an accuracy on the figure's own data set, with `evaluated` videos run, reproduces it.

    "partial" if videos were missing, "failed" if it lies more than `MARGIN` below or was taken over another number
    of videos than the published one.
    """
    if evaluated < accuracy["expected"]:
        return "partial"
    if aim.expected not in (None, accuracy["expected"]):
        return "failed"
    return "reproduced" if accuracy["value"] >= aim.share - MARGIN else "failed"
