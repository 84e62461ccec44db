"""From clip logits to one prediction a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

Pool = Literal["softmax_mean", "logit_mean"]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of each row, computed in float64 after subtracting the row's maximum."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of each number by itself, computed in float64 and without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits.astype(np.float64))))


def pool_clips(videos: Sequence[str], logits: np.ndarray, how: Pool = "softmax_mean") -> pd.DataFrame:
    """Scores per video: rows are videos in order of first appearance, columns are class numbers.

    `videos` names the video of each row of `logits` (clips, classes). ``softmax_mean`` averages probabilities
    (the original's test.py), ``logit_mean`` averages logits.
    """
    if len(videos) != len(logits):
        raise ValueError(f"{len(videos)} clip names for {len(logits)} rows of logits")
    scores = softmax(logits) if how == "softmax_mean" else logits.astype(np.float64)
    return pd.DataFrame(scores).groupby(np.asarray(videos, dtype=object), sort=False).mean()
