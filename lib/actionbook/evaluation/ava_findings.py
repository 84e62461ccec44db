"""What a diagnosis of detections finds, and what it looks at."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from actionbook.evaluation import ava_tables

Severity = Literal["problem", "warning"]
_SAMPLE = 2000
"""Keyframes that are looked at where a check scores several times."""


@dataclass(frozen=True)
class Finding:
    """Something that makes a score 0, or lower than it should be."""

    severity: Severity
    """problem: the score means nothing until it is mended; warning: it may be as it should."""
    what: str
    """What is wrong, in one sentence."""
    found: str
    """Numbers and examples."""
    remedy: str
    weight: float
    """Share of rows, boxes or keyframes that it is about, 0..1."""


@dataclass(frozen=True)
class Side:
    """A table of boxes and classes, with its keyframes as numbers."""

    what: str
    """truth or detections."""
    table: pd.DataFrame
    keyframe: np.ndarray
    """(N,) int64: place in `Sides.keyframes`."""
    corners: np.ndarray
    """(4, N) float64."""

    def __len__(self) -> int:
        return len(self.table)

    def at(self, rows: np.ndarray) -> Side:
        """Some rows, by bool."""
        return replace(self, table=self.table[rows], keyframe=self.keyframe[rows], corners=self.corners[:, rows])


@dataclass(frozen=True)
class Sides:
    """Truth and detections without excluded keyframes."""

    truth: Side
    detections: Side
    keyframes: pd.DataFrame
    """video (text) and second (float) of each keyframe of either side."""
    names: dict[Hashable, str]
    """Of the classes that count."""

    @property
    def both(self) -> tuple[Side, Side]:
        return self.truth, self.detections

    def there(self, side: Side) -> np.ndarray:
        """(keyframes,) bool: whether a side has rows at a keyframe."""
        return np.bincount(side.keyframe, minlength=len(self.keyframes)) > 0

    def shared(self) -> Sides:
        """The rows of at most `_SAMPLE` keyframes that have some on both sides, evenly chosen."""
        both = np.flatnonzero(self.there(self.truth) & self.there(self.detections))
        chosen = np.zeros(len(self.keyframes), bool)
        chosen[both[:: -(-len(both) // _SAMPLE) or 1]] = True
        truth, detections = (side.at(chosen[side.keyframe]) for side in self.both)
        return replace(self, truth=truth, detections=detections)


def sides(
    truth: pd.DataFrame,
    detections: pd.DataFrame,
    classes: Iterable[Hashable] | Mapping[Any, str],
    excluded: ava_tables.Excluded,
) -> Sides:
    """Tables that a diagnosis can look at. Raises BookError for missing columns and what is no finite number."""
    ava_tables.require(truth, ava_tables.TRUTH, "truth")
    ava_tables.require(detections, ava_tables.DETECTIONS, "detections")
    ava_tables.numbers(detections, "score", "detections")
    named = ((truth, "truth"), (detections, "detections"))
    codes, where = ava_tables.keyframes(named)
    left_out = ava_tables.pairs(excluded)
    kept = np.array([pair not in left_out for pair in where], bool)
    one, other = (
        Side(what, table, keyframe, ava_tables.corners(table, what)).at(kept[keyframe])
        for (table, what), keyframe in zip(named, codes, strict=True)
    )
    return Sides(one, other, pd.DataFrame(list(where), columns=["video", "second"]), ava_tables.class_names(classes))
