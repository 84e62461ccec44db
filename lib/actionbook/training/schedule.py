"""Learning rates as functions of the epoch."""

from __future__ import annotations

from actionbook.core.recipe import Training


def step_rate(training: Training, epoch: int) -> float:
    """The rate of an epoch (from 0): ``lr * lr_factor ** n``, n being the number of lr_steps already reached.

    As the original's adjust_learning_rate (utils.py), which sets the rate of every parameter group alike.
    """
    return training.lr * training.lr_factor ** sum(epoch >= step for step in training.lr_steps)


def step_rates(training: Training, steps_per_epoch: int) -> list[float]:
    """The rate of every step of the training, in order: `step_rate`, scaled by a line from 0 to 1 while warming up."""
    warmup = training.warmup_epochs * steps_per_epoch
    return [
        step_rate(training, step // steps_per_epoch) * min(1.0, (step + 1) / max(warmup, 1))
        for step in range(training.epochs * steps_per_epoch)
    ]
