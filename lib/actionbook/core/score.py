"""A score that says what it was computed over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, model_validator

from actionbook.core.files import sha256_json
from actionbook.core.schema import Strict
from actionbook.core.sources import Count, Sha256

QUIRK = "last video not scored"
"""Follows a metric's name and a comma where the original's loop is imitated, which never scores its last video."""
WITHIN_GROUPS = "within groups"
"""The metric of choosing only among a class and its reversal, or another such group that a manifest names."""


class Score(Strict):
    """A metric over `expected` items, of which `evaluated` had a prediction."""

    metric: str
    """Such as "top1" or "mAP"."""
    value: Annotated[float, Field(ge=0, le=1)]
    """Over the expected items: one without a prediction is a miss (as the originals count)."""
    evaluated: Count
    expected: Count
    correct: Count | None = None
    """Of a share of items: how many; None where the metric is none."""
    missing_sha256: Sha256 | None = None
    """Digest of the names of the items without a prediction, None if there are none."""
    parts: dict[str, float] = {}  # noqa: RUF012 (pydantic copies defaults)
    """The same by class, where the metric has it."""

    @model_validator(mode="after")
    def _counts_fit(self) -> Score:
        if not (self.correct or 0) <= self.evaluated <= self.expected:
            found = f"correct {self.correct}, evaluated {self.evaluated}, expected {self.expected}"
            raise ValueError(f"expected correct <= evaluated <= expected, found {found}")
        if self.complete != (self.missing_sha256 is None):
            raise ValueError("missing_sha256 and items without a prediction stand together or not at all")
        return self

    @classmethod
    def of_share(cls, metric: str, correct: int, found: Iterable[str], expected: Iterable[str]) -> Score:
        """`correct` of the `expected` items, of which those in `found` have a prediction."""
        wanted = list(expected)
        missing = sorted(set(wanted) - set(found))
        return cls(
            metric=metric,
            value=correct / len(wanted) if wanted else 0.0,
            evaluated=len(wanted) - len(missing),
            expected=len(wanted),
            correct=correct,
            missing_sha256=sha256_json(missing) if missing else None,
        )

    @property
    def complete(self) -> bool:
        """Whether every expected item was evaluated; only then is it a reproduction."""
        return self.evaluated == self.expected

    @property
    def of_evaluated(self) -> float | None:
        """Of a share of items: that of those evaluated, which is no result; None where none was, and for no share."""
        return self.correct / self.evaluated if self.correct is not None and self.evaluated else None

    def figures(self, digits: int = 4) -> str:
        """The value and, of a share, the counts: ``0.8113 = 3069/3783``."""
        counts = "" if self.correct is None else f" = {self.correct}/{self.expected}"
        return f"{self.value:.{digits}f}{counts}"

    def __str__(self) -> str:
        text = f"{metric_title(self.metric)} {self.figures()}"
        if self.complete:
            return text
        of_those = "" if self.of_evaluated is None else f" ({self.of_evaluated:.4f} of those)"
        return f"{text}, only {self.evaluated} of {self.expected} evaluated{of_those}"


def metric_title(metric: str) -> str:
    """A metric for people: "top-1" for "top1", others as they are."""
    return f"top-{metric[3:]}" if metric.startswith("top") else metric
