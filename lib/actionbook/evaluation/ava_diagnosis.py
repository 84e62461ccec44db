"""Why a score of boxes is 0 or odd: what users of AVA's form most often get wrong, looked for in their tables."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from actionbook.core.keyframes import Cut
from actionbook.evaluation import ava_check_boxes, ava_check_keyframes, ava_check_scores, ava_tables
from actionbook.evaluation.ava_findings import Finding, sides

__all__ = ["Finding", "diagnose", "findings_table"]


def diagnose(
    truth: pd.DataFrame,
    detections: pd.DataFrame,
    classes: Iterable[Hashable] | Mapping[Any, str],
    *,
    seconds: tuple[float, float] = (902, 1798),
    rate: float = 30,
    start: float = Cut().start,
    frames: Mapping[str, int] | None = None,
    min_score: float | None = None,
    excluded: ava_tables.Excluded = (),
) -> list[Finding]:
    """What is wrong with `detections`, or with `truth`, the gravest first; nothing where all is well.

    `truth`, `detections`, `classes` and `excluded` as for `mean_average_precision`. `seconds` are the first and the
    last keyframe; `rate` (frames a second) and `start` (the second of the first frame) say which frame a second is,
    `frames` how many there are of each video (None: not asked). `min_score` is a threshold that detections have to
    pass somewhere. Raises BookError for columns that are missing and numbers that are not finite.
    """
    given = sides(truth, detections, classes, excluded)
    for side in given.both:
        if not len(side):
            return [_empty(side.what, truth if side.what == "truth" else detections)]
    found = [
        *ava_check_keyframes.videos(given),
        *ava_check_keyframes.keyframes(given, seconds, rate, start),
        *ava_check_keyframes.bounds(given, seconds),
        *(ava_check_keyframes.frames(given, frames, rate, start) if frames is not None else ()),
        *ava_check_boxes.boxes(given),
        *ava_check_scores.labels(given),
        *ava_check_scores.scores(given, min_score),
    ]
    return sorted(dict.fromkeys(found), key=lambda one: (one.severity != "problem", -one.weight))


def findings_table(found: Iterable[Finding]) -> pd.DataFrame:
    """A row for each: severity, what, found, remedy."""
    columns = ["severity", "what", "found", "remedy"]
    return pd.DataFrame([[getattr(one, name) for name in columns] for one in found], columns=columns)


def _empty(what: str, table: pd.DataFrame) -> Finding:
    there = f"{len(table):,} rows, all at excluded keyframes" if len(table) else "no rows"
    remedy = "look at what wrote the table: a threshold that nothing passes, or a file that was cut short"
    return Finding("problem", f"there is no row of {what}", there, remedy, 1.0)
