"""Predictions: what a network has said of a test set, and what should have been said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from actionbook.core.errors import BookError
from actionbook.core.score import Score
from actionbook.core.sections import Evaluation
from actionbook.datasets.index import Index

if TYPE_CHECKING:
    from mindspore import nn


class TaskError(BookError):
    """Something was asked of predictions that only another task has."""


class Task(Protocol):
    """What is asked of a network."""

    @property
    def main(self) -> str:
        """The metric that stands for the others."""

    def loss(self) -> nn.Cell:
        """A cell that takes the network's output, the targets and, of detection, the mask; returns the mean loss."""

    def scores(self, found: Predictions) -> list[Score]:
        """All scores of a test set, the main one first."""

    def within_groups(self, found: Predictions, groups: Iterable[tuple[int, ...]]) -> Score:
        """The share that is right where only the classes of the group that the true one belongs to are chosen from.

        For pairs of classes that are reversals of each other: does the network see the direction of time? Chance is
        one over the size of a group. What is of no group is left out.
        """

    def winners(self, outputs: np.ndarray) -> np.ndarray:
        """What each row of `outputs` comes down to, to be compared between formats."""


@dataclass(frozen=True)
class Predictions:
    """The outputs of a network for the samples of a test set."""

    items: Sequence[str]
    """The item of every sample, in order; one with several clips occurs that often."""
    outputs: np.ndarray
    """(samples, classes), or (samples, boxes, classes)."""
    index: Index
    """Of all items that should be evaluated, missing ones included, in evaluation order."""
    evaluation: Evaluation
    """How the samples of an item become one prediction."""
    task: Task

    @property
    def scores(self) -> list[Score]:
        """All scores, the main one first."""
        return self.task.scores(self)

    @property
    def score(self) -> Score:
        """The main score."""
        return self.scores[0]


PredictionsOf = Callable[[Sequence[str], np.ndarray], Predictions]
"""From items and outputs to predictions: what is expected of them is fixed already."""
