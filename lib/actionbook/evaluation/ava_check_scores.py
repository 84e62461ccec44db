"""Checks of a diagnosis: are labels those of the list of classes, and do scores tell anything?"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError, some
from actionbook.evaluation import ava_tables
from actionbook.evaluation.ava import mean_average_precision
from actionbook.evaluation.ava_findings import Finding, Side, Sides


def labels(sides: Sides) -> Iterator[Finding]:
    """Labels that are not among the classes, or that count from another number."""
    for side in sides.both:
        yield from _strangers(side, sides.names)
    yield from _shifted(sides)
    present = [set(pd.unique(side.table["label"])) & set(sides.names) for side in sides.both]
    never = [label for label in sides.names if label in present[0] - present[1]]
    if never and present[1]:
        yield Finding(
            "warning",
            "classes of the truth have no detection at all, and count as 0",
            f"{len(never)} of {len(present[0])}: {some(sides.names[label] for label in never)}",
            "write every class of every box, whatever its score; or score the classes that the network knows",
            len(never) / len(present[0]),
        )


def _strangers(side: Side, names: dict[Hashable, str]) -> Iterator[Finding]:
    """Labels of a side that nobody counts."""
    strange = ava_tables.label_numbers(side.table, names) < 0
    if not strange.any():
        return
    found = pd.unique(side.table["label"][strange])
    numbers = [label for label in names if isinstance(label, int | np.integer)]
    share = float(strange.mean())
    text = f"{share:.0%} of {len(side):,} rows: {some(found)}; the classes are {some(names)}"
    if numbers and set(map(str, found)) & set(map(str, names)):
        what, remedy = "labels of the {} are text where the classes are numbers", "turn the column into whole numbers"
    elif set(map(str, found)) & set(names.values()):
        what, remedy = "labels of the {} are names where the classes are numbers", "write the number of each class"
    elif 0 in found and numbers and min(numbers) == 1:
        what, remedy = "labels of the {} are counted from 0", "add 1: AVA's classes are 1 to 80"
        share = 1.0
    else:
        what = "labels of the {} are not among the classes, and do not count"
        remedy = "give the classes that the labels are of; of AVA's 80 classes 60 are scored, by its list of actions"
        if share < 1:
            yield Finding("warning", what.format(side.what), text, remedy, share)
            return
    yield Finding("problem", what.format(side.what), text, remedy, share)


def _shifted(sides: Sides) -> Iterator[Finding]:
    """Whether the score is much better once the labels of the detections are one higher, or lower."""
    few = sides.shared()
    if not len(few.truth) or not all(pd.api.types.is_integer_dtype(side.table["label"]) for side in few.both):
        return
    values = {}
    for step in (0, 1, -1):
        moved = few.detections.table.assign(label=few.detections.table["label"] + step)
        try:
            values[step] = mean_average_precision(few.truth.table, moved, few.names).value
        except BookError:  # none of the truth's labels counts, which is said elsewhere
            return
    best = max((1, -1), key=lambda step: values[step])
    if values[best] > 1.5 * values[0] + 0.03:
        yield Finding(
            "problem",
            f"the labels of the detections are one too {'low' if best == 1 else 'high'}",
            f"the score is {values[0]:.1%}, with {best:+d} it is {values[best]:.1%} "
            f"(of {len(pd.unique(few.truth.keyframe)):,} keyframes)",
            "AVA's classes are counted from 1, a network's outputs from 0: label = output + 1",
            1.0,
        )


def scores(sides: Sides, min_score: float | None) -> Iterator[Finding]:
    """Scores that are all equal, or below a threshold; rows that are there twice."""
    side = sides.detections
    values = ava_tables.numbers(side.table, "score", side.what)
    different = np.unique(values)
    if len(values) > 2 and len(different) <= 2:
        yield Finding(
            "problem" if len(different) == 1 else "warning",
            "the scores do not rank: average precision then hangs on the order of rows",
            f"all of {len(values):,} detections have a score of {' or '.join(f'{one:g}' for one in different)}",
            "write the probability of each class, not the decision",
            1.0,
        )
    if min_score is not None:
        above = values >= min_score
        true = sides.there(sides.truth) & sides.there(side)
        left = np.bincount(side.keyframe[above], minlength=len(true)) > 0
        lost = 1 - (left & true).sum() / max(true.sum(), 1)
        if not above.any() or lost > 0.5:
            yield Finding(
                "warning" if above.any() else "problem",
                f"detections are below the threshold of {min_score:g}",
                f"{(~above).sum():,} of {len(values):,}, the highest is {values.max():g}; {lost:.0%} of the keyframes "
                "with truth and detections are left without any",
                "lower the threshold, or look whether scores are in per cent or logits",
                float((~above).mean()),
            )
    twice = ava_tables.repeated(side.keyframe, np.asarray(pd.factorize(side.table["label"])[0], np.int64), side.corners)
    if twice:
        yield Finding(
            "warning",
            "detections are there several times: all but one can only be wrong",
            f"{twice:,} of {len(side):,} rows have the keyframe, box and label of one before them",
            "look whether a file was read twice, or two runs wrote to one file",
            twice / len(side),
        )
