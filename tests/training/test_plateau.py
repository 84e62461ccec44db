"""Rates that fall when validation stops rising: in the step, in the log, after an interruption, on several devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from averages import Averages
from mindspore import Parameter, Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.training import Training
from actionbook.tasks import Classification
from actionbook.training import loop
from actionbook.training.optimiser import set_level, train_step
from actionbook.training.ranks import Ranks

Make = Callable[..., Any]
SCORES = (0.3, 0.3, 0.4, 0.4, 0.4, 0.1, 0.5)
"""With a patience of 1 the rate falls after epochs 2, 4, 5 and 6."""
FACTORS = (1, 1, 0.5, 0.5, 0.25, 0.125, 0.0625)


def validation(scores: tuple[float, ...], *, first: int = 0) -> Callable[[nn.Cell], dict[str, float]]:
    """The scores one after the other; beside them a figure that always rises, to be ignored."""
    left: Iterator[tuple[int, float]] = enumerate(scores[first:])

    def validate(_: nn.Cell) -> dict[str, float]:
        number, score = next(left)
        if np.isnan(score):
            raise KeyboardInterrupt
        return {"top1": score, "steps": float(number)}

    return validate


def train(source: Any, training: Training, folder: Path, validate: Any = None) -> tuple[nn.Cell, pd.DataFrame]:
    network = Averages()
    step = train_step(network, Classification().loss(), training, len(source))
    return network, loop.train(network, step, source, training, folder, validate=validate)


def plateau(settings: Make, **changes: Any) -> Training:
    own = {"epochs": 7, "lr": 0.8, "lr_steps": (), "plateau": {"patience": 1, "factor": 0.5}}
    made: Training = settings(**own | changes)
    return made


def test_the_rate_falls_where_the_score_does_not_rise(source: Make, settings: Make, tmp_path: Path) -> None:
    """And training is, bit for bit, what it is where the rate is planned to fall there."""
    network, log = train(source(), plateau(settings), tmp_path / "plateau", validation(SCORES))
    assert log.lr.tolist() == pytest.approx([0.8 * factor for factor in FACTORS])
    planned = plateau(settings, plateau=None, lr_steps=(2, 4, 5, 6), lr_factor=0.5)
    same, expected = train(source(), planned, tmp_path / "planned", validation(SCORES))
    pd.testing.assert_frame_equal(log[["lr", "loss"]], expected[["lr", "loss"]])
    np.testing.assert_array_equal(network.dense.weight.asnumpy(), same.dense.weight.asnumpy())


def test_planned_rates_are_multiplied(source: Make, settings: Make, tmp_path: Path) -> None:
    training = plateau(settings, warmup_epochs=2, lr_steps=(4,), reference_batch=8, validate_epochs=2, epochs=6)
    _, log = train(source(), training, tmp_path, validation((0.3, 0.3, 0.3)))
    assert log.lr.tolist() == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.02, 0.02])


def test_steps_take_the_rate_that_the_log_shows(settings: Make) -> None:
    """Without momentum a step is rate times gradient, and a bias that is twice as fast stays so."""

    class Line(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.weight = Parameter(Tensor(np.zeros(3, np.float32)), "weight")
            self.bias = Parameter(Tensor(np.zeros(3, np.float32)), "head.bias")

        def construct(self, x: Tensor) -> Tensor:
            return x * self.weight + self.bias

    training = plateau(
        settings, momentum=0.0, weight_decay=0.0, epochs=3, groups=[{"kind": "biases", "lr_factor": 2.0}]
    )
    network = Line()
    step = train_step(network.set_train(True), Classification().loss(), training, 1)
    for level in (1.0, 0.25, 0.1):
        set_level(step, level)
        logits = network.weight.asnumpy() + network.bias.asnumpy()
        probabilities = np.exp(logits) / np.exp(logits).sum()
        gradient = probabilities - [1, 0, 0]
        weight, bias = (parameter.asnumpy().copy() for parameter in (network.weight, network.bias))
        step(Tensor(np.ones((2, 3), np.float32)), Tensor(np.zeros(2, np.int32)))
        np.testing.assert_allclose(network.weight.asnumpy(), weight - 0.8 * level * gradient, atol=1e-6)
        np.testing.assert_allclose(network.bias.asnumpy(), bias - 1.6 * level * gradient, atol=1e-6)


def test_the_level_is_that_of_adams_rates_as_well(settings: Make) -> None:
    """Its first step moves every weight by the rate itself, along the sign of the gradient."""
    training = plateau(settings, optimizer="adam", weight_decay=0.0)
    clip, target = Tensor(np.ones((2, 3, 1, 1, 1), np.float32)), Tensor(np.zeros(2, np.int32))
    for level in (1.0, 0.25):
        network = Averages()
        step = train_step(network.set_train(True), Classification().loss(), training, 1)
        set_level(step, level)
        step(clip, target)
        np.testing.assert_allclose(network.dense.bias.asnumpy(), [0.8 * level, -0.8 * level], rtol=1e-5)


def test_an_interrupted_training_goes_on_with_rate_and_patience(source: Make, settings: Make, tmp_path: Path) -> None:
    """It is cut off after one fall, with one of two evaluations to the next one behind it."""
    training, scores = plateau(settings, plateau={"patience": 2}), (0.3, 0.3, 0.2, 0.3, 0.2, 0.4, 0.1)
    whole, expected = train(source(), training, tmp_path / "whole", validation(scores))
    assert expected.lr.tolist() == pytest.approx([0.8, 0.8, 0.8, 0.08, 0.08, 0.008, 0.008])
    with pytest.raises(KeyboardInterrupt):
        train(source(), training, tmp_path / "cut", validation((*scores[:4], float("nan"))))
    resumed, log = train(source(), training, tmp_path / "cut", validation(scores, first=4))
    columns = ["epoch", "lr", "loss", "top1"]
    pd.testing.assert_frame_equal(log[columns], expected[columns])
    np.testing.assert_array_equal(resumed.dense.weight.asnumpy(), whole.dense.weight.asnumpy())


def test_a_plateau_needs_validation(source: Make, settings: Make, tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"^training\.plateau: rates go by the scores of validation"):
        train(source(), plateau(settings), tmp_path)


@pytest.mark.parametrize("number", [0, 1, 7])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_all_processes_take_the_leaders_number(monkeypatch: pytest.MonkeyPatch, number: int, count: int) -> None:
    """The sum over processes is that of the leader and zeros, whatever the others think themselves."""
    monkeypatch.setattr(Ranks, "mean", lambda self, values: np.float32(number) * np.ones(1) / np.float32(self.count))
    assert [Ranks(rank, count).leaders(number if rank == 0 else 99) for rank in range(count)] == [number] * count
