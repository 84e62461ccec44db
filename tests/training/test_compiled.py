"""A step that is compiled once trains every network as one of its own would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.core.training import Training
from actionbook.models.layers import Dropout
from actionbook.tasks import Classification
from actionbook.training.compiled import CompiledStep

Settings = Callable[..., Training]
StepOf = Callable[..., nn.Cell]
LOSS = Classification().loss()


class Small(nn.Cell):
    """Batch norm, dropout, dense: parameters, running statistics and a random part."""

    def __init__(self, seed: int, rate: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.dropout = Dropout(rate, seed)
        weight = np.random.default_rng(seed).standard_normal((3, 4)).astype(np.float32)
        self.dense = nn.Dense(4, 3, Tensor(weight), "zeros")

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(self.dropout(self.norm(x).mean((2, 3))))


def stepped(network: nn.Cell, step: nn.Cell, seed: int) -> dict[str, np.ndarray]:
    """Parameters after three steps over other values for each seed."""
    rng = np.random.default_rng(seed)
    network.set_train(True)
    for _ in range(3):
        x, targets = rng.standard_normal((6, 4, 2, 2)).astype(np.float32), rng.integers(0, 3, 6).astype(np.int32)
        step(Tensor(x), Tensor(targets))
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_training_is_as_if_it_were_the_only_one(settings: Settings, step_of: StepOf, optimizer: str) -> None:
    # Rates that fall from step to step, momentum and moments: an optimiser that remembers would be seen.
    training = settings(optimizer=optimizer, epochs=3, lr=0.1, lr_steps=(1, 2), dampening=0.0)
    compiled, found, cells = CompiledStep(), [], []
    for seed in (1, 2, 3):
        network, step = compiled.take("small", Small(seed), LOSS, training, steps=1)
        found.append(stepped(network, step, seed))
        cells.append((network, step))
    assert cells[0] == cells[1] == cells[2]
    for seed in (1, 2, 3):
        alone = Small(seed)
        assert_same(found[seed - 1], stepped(alone, step_of(alone, training), seed))
    assert (found[0]["dense.weight"] != found[1]["dense.weight"]).any()


def test_a_step_of_another_kind_is_compiled_anew(settings: Settings) -> None:
    compiled = CompiledStep()
    first = compiled.take("one", Small(1), LOSS, settings(), steps=1)
    other = Small(2)
    second = compiled.take("two", other, LOSS, settings(optimizer="adam"), steps=1)
    assert second[0] is other
    assert second[1] is not first[1]


def test_a_network_with_dropout_begins_its_masks_anew(settings: Settings) -> None:
    compiled = CompiledStep()
    found: list[Any] = []
    for _ in range(2):
        network, step = compiled.take("drops", Small(1, 0.5), LOSS, settings(), steps=1)
        found.append(stepped(network, step, 1))
    assert_same(found[1], found[0])
    without, step = CompiledStep().take("drops", Small(1), LOSS, settings(), steps=1)
    assert (stepped(without, step, 1)["dense.weight"] != found[0]["dense.weight"]).any()
