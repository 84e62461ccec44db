"""The learning rate of every step."""

from __future__ import annotations

import pytest

from actionbook.core.recipe import Training
from actionbook.training.schedule import step_rate, step_rates

ORIGINAL = Training(epochs=250, batch_size=128, lr=0.04, lr_steps=(40, 55, 65, 70, 200, 250))


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(0, 0.04), (39, 0.04), (40, 0.004), (54, 0.004), (55, 4e-4), (65, 4e-5), (70, 4e-6), (199, 4e-6), (200, 4e-7)],
)
def test_the_originals_steps(epoch: int, rate: float) -> None:
    assert step_rate(ORIGINAL, epoch) == pytest.approx(rate)


def test_rates_of_all_steps() -> None:
    training = Training(epochs=4, batch_size=1, lr=1.0, lr_steps=(1, 3), lr_factor=0.5)
    assert step_rates(training, 2) == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert step_rates(training.model_copy(update={"epochs": 0}), 2) == []
    assert set(step_rates(Training(epochs=3, batch_size=1, lr=0.1), 5)) == {0.1}


def test_warming_up_rises_to_the_planned_rate() -> None:
    training = Training(epochs=3, batch_size=1, lr=0.8, lr_steps=(2,), warmup_epochs=1)
    assert step_rates(training, 4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.08, 0.08, 0.08, 0.08])
