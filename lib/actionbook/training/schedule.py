"""Learning rates as functions of the epoch, and of the scores so far."""

from __future__ import annotations

from collections.abc import Iterable

from actionbook.core.training import Training


def step_rate(training: Training, epoch: int) -> float:
    """The rate of an epoch (from 0): the last rate set, times ``lr_factor`` for every one of lr_steps reached since.

    The rate is set at the beginning, to ``lr``, and anew after every epoch of ``lr_restarts``; a step at that very
    epoch is not taken. As the originals' adjust_learning_rate, which set the rate of every parameter group alike
    (Efficient-3DCNNs: utils.py; I3D for flow: the second phase of the authors' schedule, kinetics-i3d README).
    """
    since, rate = max(((after, new) for after, new in training.lr_restarts if after <= epoch), default=(0, training.lr))
    return rate * training.lr_factor ** sum(since < step <= epoch for step in training.lr_steps)


def batch_rate(training: Training) -> float:
    """The first rate after warm-up: ``lr``, in proportion if the batch is not the one that it was chosen for."""
    return training.lr * _factor(training)


def _factor(training: Training) -> float:
    return training.batch_size / (training.reference_batch or training.batch_size)


def step_rates(training: Training, steps_per_epoch: int) -> list[float]:
    """The planned rate of every optimiser step, in order: `step_rate`, in proportion to the batch.

    In the epochs of warm-up it is multiplied by a line from 0 to 1. A plateau's `falls` are not planned.
    """
    warmup, factor = training.warmup_epochs * steps_per_epoch, _factor(training)
    return [
        factor * step_rate(training, step // steps_per_epoch) * min(1.0, (step + 1) / max(warmup, 1))
        for step in range(training.epochs * steps_per_epoch)
    ]


def falls(patience: int, scores: Iterable[float]) -> int:
    """How often the rate has fallen by now, given the scores of all evaluations in order (``training.plateau``).

    It falls when `patience` evaluations in a row were no better than the best one before them, and then waits for as
    many again (ECO-pytorch: main.py, saturate_cnt). A score that is no number is no better.
    """
    best, waited, found = float("-inf"), 0, 0
    for score in scores:
        if score > best:
            best, waited = score, 0
        else:
            waited += 1
        if waited == patience:
            found, waited = found + 1, 0
    return found
