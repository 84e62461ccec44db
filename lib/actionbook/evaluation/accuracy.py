"""Top-k accuracy that says what it was computed over."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from actionbook.core.manifest import load_dataset
from actionbook.core.recipe import Recipe
from actionbook.datasets.index import missing_sha256


@dataclass(frozen=True)
class Accuracy:
    """Videos whose true class is among the k best: `correct` of `expected`, of which `evaluated` had a prediction."""

    k: int
    correct: int
    evaluated: int
    expected: int
    missing_sha256: str | None = None
    """Digest of the names of the videos without a prediction, None if there are none."""

    @property
    def value(self) -> float:
        """Share of `expected` videos, 0..1: a video without a prediction is a miss (as the original counts)."""
        return self.correct / self.expected

    @property
    def complete(self) -> bool:
        """Whether every expected video was evaluated; only then is it a reproduction."""
        return self.evaluated == self.expected

    def __str__(self) -> str:
        text = f"top-{self.k} {self.value:.4f} = {self.correct}/{self.expected}"
        return text if self.complete else f"{text}, only {self.evaluated} of {self.expected} videos evaluated"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a record."""
        return {**asdict(self), "value": round(self.value, 6)}


def topk_accuracy(scores: pd.DataFrame, truth: pd.Series, k: int, *, skip_last_video: bool = False) -> Accuracy:
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
    missing = truth.index.difference(scores.index)
    digest = missing_sha256(list(missing)) if len(missing) else None
    return Accuracy(k, int(hits.sum()), len(scores), len(truth), digest)


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


def protocol(recipe: Recipe, split: int | None = None) -> str:
    """One line that says how an accuracy was measured; stands beside every number."""
    clips, evaluation = recipe.clips, recipe.evaluation
    pooled = {"softmax_mean": "mean of softmax", "logit_mean": "mean of logits"}[evaluation.pool]
    name = load_dataset(recipe.data.manifest).name
    parts = [
        f"{name} split {split or recipe.data.split}",
        "video level",
        *(["optical flow"] if clips.modality == "flow" else []),
        f"clips of {recipe.tested.frames} frames (stride {clips.stride}) at every {clips.window}-frame window"
        if evaluation.clips == "windows"
        else f"1 clip of the middle {recipe.tested.frames} frames (stride {clips.stride})",
        "1 centre crop",
        f"short side {clips.short_side or clips.size}",
        f"crop {clips.size}",
        pooled,
    ]
    return ", ".join([*parts, "last video not scored"] if evaluation.skip_last_video else parts)
