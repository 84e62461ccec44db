"""Classification: one class for each video, cross-entropy, top-k accuracy at video level."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from actionbook.core.score import WITHIN_GROUPS, Score
from actionbook.tasks.pooling import pool_clips
from actionbook.tasks.predictions import Predictions, TaskError

if TYPE_CHECKING:
    from mindspore import nn

BEST = (1, 5)
"""k of the top-k accuracies."""


class Classification:
    """See `Task`."""

    main = "top1"

    def loss(self) -> nn.Cell:
        """Mean cross-entropy in nats; takes logits (N, classes) and class numbers int32 (N,)."""
        from mindspore import nn  # noqa: PLC0415 (slow to import, and not needed to score)

        return nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")

    def scores(self, found: Predictions) -> list[Score]:
        """Top-1 and top-5 over all expected videos, as the recipe counts the last one."""
        skip = found.evaluation.skip_last_video
        return [topk(pooled(found), found.index.truth, k, skip_last_video=skip) for k in BEST]

    def within_groups(self, found: Predictions, groups: Iterable[tuple[int, ...]]) -> Score:
        """Of videos; see `Task`."""
        scores, truth = pooled(found), found.index.truth
        correct = 0
        expected: list[str] = []
        seen: list[str] = []
        for group in groups:
            mine = truth.index[truth.isin(group)]
            videos = mine.intersection(scores.index, sort=False)
            best = np.asarray(group)[scores.loc[videos, list(group)].to_numpy().argmax(axis=1)]
            correct += int((best == truth.loc[videos].to_numpy()).sum())
            expected, seen = [*expected, *mine], [*seen, *videos]
        return Score.of_share(WITHIN_GROUPS, correct, seen, expected)

    def winners(self, outputs: np.ndarray) -> np.ndarray:
        """Class numbers (N,)."""
        return np.asarray(outputs.argmax(axis=1))


def pooled(found: Predictions) -> pd.DataFrame:
    """Video-level scores: rows videos, columns class numbers. Raises TaskError for predictions of another task."""
    if not isinstance(found.task, Classification):
        task = type(found.task).__name__.lower()
        raise TaskError(
            f"this is of classification, where a video has one class; the recipe's task is {task}, "
            f"whose scores are those of `Predictions.scores` ({found.task.main})"
        )
    return pool_clips(found.items, found.outputs, found.evaluation.pool)


def topk(scores: pd.DataFrame, truth: pd.Series, k: int, *, skip_last_video: bool = False) -> Score:
    """Top-k accuracy of video-level `scores` (rows videos, columns classes) against `truth` (video -> class number).

    `truth` lists every video that should have been evaluated, in evaluation order. A predicted video that it does not
    list is an error. Ties go to the lower class number. With `skip_last_video` the last one's prediction is thrown
    away: the original's loop writes a video when the next one begins, so its last video is never scored.
    """
    strangers = scores.index.difference(truth.index)
    if len(strangers):
        raise ValueError(f"predictions for videos that were not asked for: {', '.join(map(str, strangers[:5]))}")
    if scores.index.has_duplicates:
        twice = scores.index[scores.index.duplicated()].unique()
        raise ValueError(f"predictions hold videos twice: {', '.join(map(str, twice[:5]))}")
    if skip_last_video:
        scores = scores.drop(index=truth.index[-1:], errors="ignore")
    if not np.isfinite(scores.to_numpy()).all():
        raise ValueError("predictions hold values that are not finite")
    best = np.argsort(-scores.to_numpy(), axis=1, kind="stable")[:, :k]
    hits = (best == truth.loc[scores.index].to_numpy()[:, None]).any(axis=1)
    return Score.of_share(f"top{k}", int(hits.sum()), scores.index, truth.index)


def confusion(scores: pd.DataFrame, truth: pd.Series, classes: int) -> np.ndarray:
    """Counts (true class, predicted class) over the videos that have a prediction."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (truth.loc[scores.index].to_numpy(), scores.to_numpy().argmax(axis=1)), 1)
    return matrix


def per_class(matrix: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    """Recall of each class from a confusion matrix, and the class it is most often taken for."""
    counts = matrix.sum(axis=1)
    wrong = matrix - np.diag(np.diag(matrix))
    return pd.DataFrame(
        {
            "class": names,
            "videos": counts,
            "correct": np.diag(matrix),
            "recall": np.diag(matrix) / np.maximum(counts, 1),
            "taken for": [names[row.argmax()] if row.any() else "" for row in wrong],
        }
    )
