"""The accuracy ladder: one network in every format, on the same clips, judged by the same code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from actionbook.conversion.check import TOLERANCE
from actionbook.evaluation.predict import Predictions
from actionbook.inference import BatchSet, Engine, read_results, run_batches

HALF_TOLERANCE = 1e-2  # weights rounded to 11 bits each move by up to 2^-12, and there are some fifty layers of them
POINTS = 1.0  # percentage points of top-1: the pass mark of the original Ascend port for its OM


@dataclass(frozen=True)
class Criterion:
    """When a format counts as good."""

    tolerance: float | None = None
    """Greatest difference of a logit from the network's, in standard deviations of the network's logits."""
    points: float | None = None
    """Greatest loss of top-1 accuracy, in percentage points."""
    required: bool = True
    """Whether rung 4 fails where this format does; else it is a further rung, shown for what it is."""

    def __str__(self) -> str:
        return f"relative difference <= {self.tolerance:g}" if self.tolerance else f"loses <= {self.points:g} points"


CRITERIA: dict[str, Criterion] = {
    "network": Criterion(tolerance=TOLERANCE),
    "MINDIR": Criterion(tolerance=TOLERANCE),
    "ONNX": Criterion(tolerance=TOLERANCE),
    "ONNX-fp16": Criterion(tolerance=HALF_TOLERANCE, required=False),
    "ONNX-int8": Criterion(points=POINTS, required=False),
    "OM": Criterion(points=POINTS),
}
"""By format. ONNX-fp16 holds 16-bit weights, ONNX-int8 is quantised; OM is computed in 16 bits unless ATC is told."""


@dataclass(frozen=True)
class FormatResult:
    """One rung of the accuracy ladder."""

    format: str
    clips: int
    max_abs_difference: float
    relative_difference: float
    cosine: float
    """Lowest cosine between a clip's logits and the network's, -1..1."""
    top1_agreement: float
    """Share of clips with the network's winner."""
    accuracy: dict[str, Any]
    """Top-1 at video level, with its counts, as `Accuracy.as_dict`."""
    criterion: str
    tolerance: float | None
    required: bool
    passed: bool
    reason: str
    """Why it failed, empty where it passed."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a record."""
        return asdict(self)


def climb(
    engines: Mapping[str, Engine | None],
    batches: BatchSet,
    folder: Path,
    truth: pd.Series,
    *,
    num_classes: int,
    pool: str = "softmax_mean",
    progress: bool = True,
) -> list[FormatResult]:
    """Run every engine over the batches, results in ``<folder>/<format>``, and compare each with the first one's.

    The first engine is the network. An engine None stands for results that another machine has left in the folder.
    `truth` is the class number of every video that should be evaluated. Formats that `CRITERIA` does not list must
    agree as ONNX does. Raises InferenceError where results are missing, damaged or of other clips.
    """
    rungs: list[FormatResult] = []
    reference: tuple[Predictions, float] | None = None
    for name, engine in engines.items():
        if engine is not None:
            run_batches(engine, batches, folder / name, progress=progress)
        videos, logits = read_results(folder / name, batches, num_classes=num_classes)
        found = Predictions(videos, logits, truth, pool)
        top1 = found.accuracy(1)
        reference = reference or (found, top1.value)
        network, accuracy = reference
        criterion = CRITERIA.get(name, CRITERIA["ONNX"])
        difference = float(np.max(np.abs(logits - network.logits)))
        relative = difference / (float(network.logits.std()) or 1.0)
        lost = 100 * (accuracy - top1.value)
        reason = _reason(criterion, relative, lost)
        rungs.append(
            FormatResult(
                format=name,
                clips=len(logits),
                max_abs_difference=difference,
                relative_difference=relative,
                cosine=_lowest_cosine(logits, network.logits),
                top1_agreement=float((logits.argmax(1) == network.logits.argmax(1)).mean()),
                accuracy=top1.as_dict(),
                criterion=str(criterion),
                tolerance=criterion.tolerance,
                required=criterion.required,
                passed=not reason,
                reason=reason,
            )
        )
    return rungs


def _reason(criterion: Criterion, relative: float, lost: float) -> str:
    if criterion.tolerance is not None and not relative <= criterion.tolerance:  # NaN fails as well
        return f"relative difference {relative:.1e} is above {criterion.tolerance:g}"
    if criterion.points is not None and lost > criterion.points:
        return f"loses {lost:.2f} percentage points of top-1, more than {criterion.points:g}"
    return ""


def _lowest_cosine(logits: np.ndarray, reference: np.ndarray) -> float:
    one, two = logits.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    products = (one * two).sum(axis=1)
    return float(np.min(np.divide(products, lengths, out=np.ones_like(products), where=lengths > 0)))
