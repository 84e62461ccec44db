"""What a format changes: how far each sample's outputs move, and which answers become wrong or right."""

from __future__ import annotations

import numpy as np
import pandas as pd

from actionbook.tasks import Predictions
from actionbook.tasks.classification import pooled


def sample_differences(found: Predictions, reference: Predictions) -> np.ndarray:
    """The greatest difference of each sample's outputs, (N,), in standard deviations of all outputs of `reference`.

    The greatest of them is `core.difference.difference`'s relative one.
    """
    one, two = (each.outputs.reshape(len(each.outputs), -1).astype(np.float64) for each in (found, reference))
    return np.asarray(np.abs(one - two).max(axis=1) / (reference.outputs.std(dtype=np.float64) or 1.0))


def changed_answers(found: Predictions, reference: Predictions) -> dict[str, int]:
    """How many videos have another winner than in `reference`: in all, right before (lost), right now (won).

    A video whose wrong answer becomes another wrong one is neither lost nor won. The difference of two scores shows won
    less lost only. Raises TaskError where the task is not classification.
    """
    winners = pd.DataFrame({"now": pooled(found).idxmax(axis=1), "before": pooled(reference).idxmax(axis=1)}).dropna()
    truth = reference.index.truth.loc[winners.index]
    right, was = winners.now == truth, winners.before == truth
    changed = winners.now != winners.before
    return {"changed": int(changed.sum()), "lost": int((was & ~right).sum()), "won": int((right & ~was).sum())}


def rounding(found: Predictions, reference: Predictions, tolerance: float) -> dict[str, float]:
    """How the differences of samples spread, for one that is judged by the greatest of them.

    Keys: ``median`` and ``greatest`` of `sample_differences`; ``samples beyond`` the tolerance; ``farthest output``,
    how large the outputs of the sample with the greatest difference are, in those of the median sample.
    """
    apart = sample_differences(found, reference)
    reach = np.abs(reference.outputs.reshape(len(apart), -1)).max(axis=1).astype(np.float64)
    return {
        "median": float(np.median(apart)),
        "greatest": float(apart.max()),
        "samples beyond": int((apart > tolerance).sum()),
        "farthest output": float(reach[apart.argmax()] / (np.median(reach) or 1.0)),
    }
