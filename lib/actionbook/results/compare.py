"""Measured accuracies beside the published figures that they aim at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actionbook.core.record import Record
from actionbook.core.score import QUIRK, Score
from actionbook.core.stage_results import AccuracyResults, AccuracyRow, DataResults
from actionbook.results.published import Figure, figure

Status = Literal["reproduced", "partial", "failed", "not run here"]

MARGIN = 0.01
"""How far below the published share a reproduction may lie: one percentage point, the port's own rule (README, 6.3)."""


@dataclass(frozen=True)
class Comparison:
    """One published accuracy and the one that a record sets against it."""

    figure_id: str
    figure: Figure
    record: Record
    row: AccuracyRow
    """Stream and format."""
    score: Score
    """The one to compare: of the figure's metric, counted as its protocol counts."""
    protocol: str

    @property
    def evaluated(self) -> int:
        """Videos with a prediction, before the original's quirk drops one."""
        return self.row.main.evaluated

    @property
    def status(self) -> Status:
        """Whether the accuracy, on the figure's own data set, reproduces it.

        "partial" if videos were missing, "failed" if it lies more than `MARGIN` below or was taken over another number
        of videos than the published one.
        """
        if self.evaluated < self.score.expected:
            return "partial"
        if self.figure.expected not in (None, self.score.expected):
            return "failed"
        return "reproduced" if self.score.value >= self.figure.share - MARGIN else "failed"


def comparisons(record: Record) -> tuple[Comparison, ...]:
    """Every accuracy of the record beside every published one that its recipe aims at, format by format.

    Empty if the data set was generated, or is not known to be real: such figures must not be compared. Published
    figures of another data set or split are left out. Raises BookError for the id of a figure that does not exist.
    """
    data, results = record.results(DataResults), record.results(AccuracyResults)
    if data is None or results is None or data.dataset.generated:
        return ()
    found = []
    for stream, ids in results.published.items():
        for figure_id, aim in ((key, figure(key)) for key in ids):
            if aim.dataset != data.dataset.manifest or aim.split not in (None, data.dataset.split):
                continue
            for row in results.scores:
                ours = _counted_alike(row, aim) if row.stream == stream else None
                if ours is not None:
                    found.append(Comparison(figure_id, aim, record, row, ours, results.protocols[stream]))
    return tuple(found)


def _counted_alike(row: AccuracyRow, aim: Figure) -> Score | None:
    """The score of the figure's metric, with the original's quirk where the figure has it and we have measured it."""
    quirky = row.score(f"{aim.metric}, {QUIRK}") if QUIRK in aim.protocol else None
    return quirky or row.score(aim.metric)
