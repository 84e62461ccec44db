"""The learning rate of every step."""

from __future__ import annotations

import pytest

from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.core.training import Training
from actionbook.training.schedule import batch_rate, falls, step_rate, step_rates

STEPS = (40, 55, 65, 70, 200, 250)


def test_the_originals_steps() -> None:
    """okankop/Efficient-3DCNNs, utils.py:80: its epochs count from 1, and the one that a step names is lowered."""
    training = Training(epochs=250, batch_size=128, lr=0.04, lr_steps=tuple(step - 1 for step in STEPS))
    expected = [0.04 * 0.1 ** sum(epoch >= step for step in STEPS) for epoch in range(1, 251)]
    assert [step_rate(training, epoch) for epoch in range(250)] == pytest.approx(expected)


def test_rates_of_all_steps() -> None:
    training = Training(epochs=4, batch_size=1, lr=1.0, lr_steps=(1, 3), lr_factor=0.5)
    assert step_rates(training, 2) == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert step_rates(training.model_copy(update={"epochs": 0}), 2) == []
    assert set(step_rates(Training(epochs=3, batch_size=1, lr=0.1), 5)) == {0.1}


def test_warming_up_rises_to_the_planned_rate() -> None:
    training = Training(epochs=3, batch_size=1, lr=0.8, lr_steps=(2,), warmup_epochs=1)
    assert step_rates(training, 4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.08, 0.08, 0.08, 0.08])


def test_rates_change_with_the_batch_in_proportion() -> None:
    training = Training(
        epochs=4, batch_size=64, reference_batch=256, lr=0.4, lr_steps=(1,), lr_restarts=((2, 0.2),), warmup_epochs=1
    )
    assert batch_rate(training) == pytest.approx(0.1)
    assert step_rates(training, 2) == pytest.approx([0.05, 0.1, 0.01, 0.01, 0.05, 0.05, 0.05, 0.05])
    assert batch_rate(training.model_copy(update={"reference_batch": None})) == 0.4


def test_a_restart_sets_the_rate_anew_and_later_steps_go_on_from_there() -> None:
    training = Training(
        epochs=8, batch_size=1, lr=1.0, lr_steps=(2, 4, 6), lr_factor=0.5, lr_restarts=((3, 0.9), (4, 0.8))
    )
    # The step at epoch 4 falls on a restart and is not taken.
    assert [step_rate(training, epoch) for epoch in range(8)] == [1.0, 1.0, 0.5, 0.9, 0.8, 0.8, 0.4, 0.4]
    assert step_rates(training, 1) == [step_rate(training, epoch) for epoch in range(8)]


@pytest.mark.parametrize(
    ("patience", "scores", "expected"),
    [
        (5, [], 0),
        (1, [0.0], 0),  # the first is better than none
        (1, [0.5, 0.5], 1),  # as good is no better
        (2, [0.1, 0.2, 0.15, 0.3, 0.3, 0.29], 1),
        (2, [0.3, 0.2, 0.2, 0.2, 0.2, 0.2], 2),  # after a fall it waits as long again
        (2, [0.3, 0.2, 0.2, 0.2, 0.31, 0.2, 0.2], 2),
        (2, [0.3, 0.2, 0.1, 0.2, 0.25], 2),  # rising again, but not above the best
        (2, [0.3, float("nan"), float("nan"), 0.4], 1),
        (5, [0.9, 0, 0, 0, 0, 0], 1),
        (5, [0.9, 0, 0, 0, 0], 0),
    ],
)
def test_falls_at_a_plateau(patience: int, scores: list[float], expected: int) -> None:
    assert falls(patience, scores) == expected


# What the Ascend port of I3D really trained with, as (first epoch from 1, last epoch, rate), read from its train.py and
# config.py: halved every 5 epochs; the flow stream is set back once the rate has fallen to 5e-5.
HALVED = [(1 + 5 * n, 5 + 5 * n, 0.01 / 2**n) for n in range(8)]
RATES = {
    "rgb": HALVED,
    "flow": [*HALVED, (41, 45, 3.90625e-5), (46, 50, 2.5e-4), (51, 55, 1.25e-4), (56, 60, 6.25e-5)],
}


@pytest.mark.parametrize("data", ["hmdb51", "hmdb51_1card", "ucf101", "ucf101_1card"])
@pytest.mark.parametrize("modality", ["rgb", "flow"])
def test_rates_of_the_published_i3d_trainings(data: str, modality: str) -> None:
    training = Recipe.load(NOTEBOOKS / "i3d" / "recipes" / f"{data}.yaml").for_stream(modality).training
    expected = [rate for first, last, rate in RATES[modality] for _ in range(first, last + 1)]
    assert training.epochs == len(expected) == {"rgb": 40, "flow": 60}[modality]
    assert step_rates(training, 3) == pytest.approx([rate for rate in expected for _ in range(3)], rel=1e-12, abs=0)
