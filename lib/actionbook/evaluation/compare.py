"""Every format of a network against the network, on the same samples, judged by the same code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from actionbook.core.difference import difference
from actionbook.core.errors import BookError
from actionbook.core.score import Score
from actionbook.core.stage_results import FormatRow, Step
from actionbook.evaluation.answers import answers
from actionbook.evaluation.formats import CRITERIA, NETWORK, Criterion, step_of
from actionbook.inference import BatchSet, Engine, read_results, run_batches
from actionbook.tasks import Predictions
from actionbook.tasks.predictions import PredictionsOf


def run_formats(
    engines: Mapping[str, Engine], batches: BatchSet, folder: Path, of: PredictionsOf, *, progress: bool = True
) -> tuple[dict[str, Predictions], tuple[Step, ...]]:
    """Run every engine over the batches, results in ``<folder>/<format>``, and read all results as `read_formats`.

    A format that fails (no card, a tool that ends with an error, outputs that are not finite) is a step that could not
    be done, with its reason, and the others go on. The network itself has to run.
    """
    failed = []
    for name, engine in engines.items():
        try:
            run_batches(engine, batches, folder / name, progress=progress)
        except BookError as error:
            failed.append(step_of(name, error))
    found, unread = read_formats(folder, batches, of, leave_out=[step.format for step in failed])
    return found, (*failed, *unread)


def read_formats(
    folder: Path, batches: BatchSet, of: PredictionsOf, leave_out: Collection[str] = ()
) -> tuple[dict[str, Predictions], tuple[Step, ...]]:
    """The predictions of every known format that has results of these batches in ``<folder>/<format>``.

    They may have been left there by another machine, which has a card. Results that are missing, damaged, of other
    samples or not finite are a step with the reason. Raises InferenceError where those of the network are.
    """
    found: dict[str, Predictions] = {}
    unread = []
    for name in CRITERIA:
        if name == NETWORK or ((folder / name).is_dir() and name not in leave_out):
            try:
                found[name] = of(*read_results(folder / name, batches))
            except BookError as error:
                if name == NETWORK:
                    raise
                unread.append(step_of(name, error))
    return found, tuple(unread)


def compare_formats(found: Mapping[str, Predictions], *, half: bool = False) -> tuple[FormatRow, ...]:
    """Each format's predictions beside those of the first, which is the network. Unknown formats must agree as ONNX.

    `half` says that the network computes in 16 bits (`Made.half`): the formats are then held to what that allows.
    """
    reference = next(iter(found.values()))
    theirs, best = answers(reference), reference.score
    return tuple(_row(name, one, theirs, best, half) for name, one in found.items())


def _row(name: str, found: Predictions, theirs: np.ndarray, best: Score, half: bool) -> FormatRow:
    """`found` beside the answers and the score of the network."""
    criterion = CRITERIA.get(name, CRITERIA["ONNX"])
    if half:
        criterion = criterion.in_half()
    ours, score = answers(found), found.score
    greatest, relative = difference(ours, theirs)
    same = found.task.winners(ours) == found.task.winners(theirs)
    reason = _reason(criterion, relative, 100 * (best.value - score.value), same)
    finite = bool(np.isfinite(relative))
    return FormatRow(
        format=name,
        samples=len(found.items),
        max_abs_difference=greatest if finite else None,
        relative_difference=relative if finite else None,
        cosine=_lowest_cosine(ours, theirs),
        agreement=float(same.mean()),
        score=score,
        criterion=str(criterion),
        tolerance=criterion.tolerance,
        required=criterion.required,
        passed=not reason,
        reason=reason,
    )


def _reason(criterion: Criterion, relative: float, lost: float, same: np.ndarray) -> str:
    """Why a format fails; empty where it passes. `same` says of each winner whether it is the network's."""
    if criterion.tolerance is not None and not relative <= criterion.tolerance:
        return f"relative difference {relative:.1e} is above {criterion.tolerance:g}"
    reasons = []
    if criterion.points is not None and round(lost, 9) > criterion.points:  # 0.81 - 0.8 is more than 0.01
        reasons.append(f"loses {lost:.2f} percentage points of the main score, more than {criterion.points:g}")
    if criterion.agreement is not None and same.mean() < criterion.agreement:
        least = f"{100 * criterion.agreement:g} %"
        reasons.append(
            f"only {same.sum():,} of {same.size:,} winners ({same.mean():.1%}) are the network's, below {least}"
        )
    return "; ".join(reasons)


def _lowest_cosine(outputs: np.ndarray, reference: np.ndarray) -> float:
    """Lowest cosine between a sample's outputs and the network's, -1..1."""
    one, two = (a.reshape(len(a), -1).astype(np.float64) for a in (outputs, reference))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    products = (one * two).sum(axis=1)
    return float(np.min(np.divide(products, lengths, out=np.ones_like(products), where=lengths > 0)))
