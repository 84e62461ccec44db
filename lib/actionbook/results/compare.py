"""Measured accuracies beside the published figures that they aim at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from actionbook.core.evidence import read_check
from actionbook.core.record import Record
from actionbook.core.score import QUIRK, Score
from actionbook.core.stage_results import AccuracyResults, AccuracyRow, DataResults
from actionbook.results.published import Figure, figure
from actionbook.results.published_schema import LAST_DIGIT

Status = Literal["reproduced", "partial", "not reproduced"]

CONFIDENCE = 1.96
"""Standard deviations to either side that hold 95 % of what chance brings."""


def tolerance(aim: Figure, items: int) -> float:
    """How far from a published share a reproduction may lie, 0..1: what chance brings, and half of the last digit.

    A share p that is measured over N items spreads by sqrt(p (1 - p) / N) from one draw of such items to another. The
    items of a benchmark are fixed; two trainings are not, and nobody knows the spread of a figure that was published
    once, so that of the items stands for it: 1.96 of it, which is 1.25 points for 81 % of 3,783 videos. Of a mean
    average precision, which is no share of the items, it is a rule of thumb.
    """
    p = aim.share
    digit = LAST_DIGIT[aim.unit] / (100 if aim.unit == "percent" else 1)
    return CONFIDENCE * math.sqrt(p * (1 - p) / max(items, 1)) + digit / 2


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

        "partial" if items were missing; "not reproduced" if it lies further from the published one than `tolerance`,
        below or above (more than chance brings is another experiment), or was taken over another number of items.
        """
        if self.evaluated < self.score.expected:
            return "partial"
        if self.figure.expected not in (None, self.score.expected) or abs(self.difference) > self.tolerance:
            return "not reproduced"
        return "reproduced"

    @property
    def tolerance(self) -> float:
        """See `tolerance`."""
        return tolerance(self.figure, self.score.expected)

    @property
    def difference(self) -> float:
        """The measured share less the published one."""
        return self.score.value - self.figure.share


def comparisons(record: Record) -> tuple[Comparison, ...]:
    """Every accuracy of the record beside every published one that its recipe aims at, format by format.

    Empty if the data set was generated, or is not known to be real: such figures must not be compared. Published
    figures of another data set or split are left out; of a record that was handed in also what its check found not to
    compare. Raises BookError for the id of a figure that does not exist.
    """
    data, results = record.results(DataResults), record.results(AccuracyResults)
    if data is None or results is None or data.dataset.generated:
        return ()
    check = read_check(record.folder)
    said = check.verdicts if check else ()
    refused = {(one.figure, one.stream, one.format) for one in said if one.outcome == "not comparable"}
    found = []
    for stream, ids in results.published.items():
        for figure_id, aim in ((key, figure(key)) for key in ids):
            if aim.dataset != data.dataset.manifest or aim.split not in (None, data.dataset.split):
                continue
            for row in results.scores:
                ours = _counted_alike(row, aim) if row.stream == stream else None
                if ours is not None and (figure_id, stream, row.format) not in refused:
                    found.append(Comparison(figure_id, aim, record, row, ours, results.protocols[stream]))
    return tuple(found)


def _counted_alike(row: AccuracyRow, aim: Figure) -> Score | None:
    """The score of the figure's metric, with the original's quirk where the figure has it and we have measured it."""
    quirky = row.score(f"{aim.metric}, {QUIRK}") if QUIRK in aim.protocol else None
    return quirky or row.score(aim.metric)
