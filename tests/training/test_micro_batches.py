"""Micro-batches make the step of their whole batch, in the memory of one of them, and are killed between steps only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.training import Training
from actionbook.training.compiled import CompiledStep
from actionbook.training.micro_batches import micro_batch

Settings = Callable[..., Training]
StepOf = Callable[..., nn.Cell]


class Layers(nn.Cell):
    """A convolution, a mean and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.conv = nn.Conv3d(3, 4, 3, weight_init=Tensor(rng.standard_normal((4, 3, 3, 3, 3)).astype(np.float32)))
        self.dense = nn.Dense(4, 3, Tensor(rng.standard_normal((3, 4)).astype(np.float32)), "zeros")
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(self.relu(self.conv(x)).mean((2, 3, 4)))


def batches(count: int, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(1)
    return [
        (
            Tensor(rng.standard_normal((size, 3, 4, 6, 6)).astype(np.float32)),
            Tensor(rng.integers(0, 3, size).astype(np.int32)),
        )
        for _ in range(count)
    ]


def values_of(cell: nn.Cell) -> dict[str, np.ndarray]:
    return {p.name: p.asnumpy().copy() for p in cell.get_parameters()}


@pytest.mark.parametrize("changes", [{}, {"clip_norm": 0.05}, {"optimizer": "adam", "loss_scale": 1024.0}])
def test_several_micro_batches_make_the_step_of_one_batch(
    settings: Settings, step_of: StepOf, changes: dict[str, Any]
) -> None:
    found = []
    for accumulate in (1, 2, 4):
        network = Layers()
        step = step_of(network, settings(batch_size=8, epochs=1, lr=1e-2, accumulate=accumulate, **changes), 3)
        losses = [float(step(*batch).asnumpy()) for batch in batches(3)]
        found.append((losses, values_of(network), {name: value.shape for name, value in values_of(step).items()}))
    for losses, values, names in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-6)
        for name, value in found[0][1].items():
            np.testing.assert_allclose(values[name], value, rtol=0, atol=1e-6, err_msg=name)
        assert names == found[0][2]  # a checkpoint holds the same, and no sums


def test_micro_batches_are_the_same_whatever_the_number_of_devices(settings: Settings, step_of: StepOf) -> None:
    """Number k of one device has the samples that number k of two devices has, in the order of the devices."""
    seen: list[list[int]] = []

    def micro(samples: np.ndarray) -> None:
        step = step_of(Layers(), settings(batch_size=len(samples), accumulate=2))
        step._graphs = [lambda _, x, y: seen.append(y.asnumpy().tolist()) or Tensor(0.0), lambda: None]
        step(Tensor(samples.astype(np.float32)), Tensor(samples.astype(np.int32)))

    micro(np.arange(8))
    for share in (np.arange(4), np.arange(4, 8)):
        micro(share)
    one, first, second = seen[:2], seen[2:4], seen[4:]
    assert one == [first[0] + second[0], first[1] + second[1]]
    assert sorted(one[0] + one[1]) == list(range(8))


def test_one_compiled_step_for_several_trainings(settings: Settings, step_of: StepOf) -> None:
    training = settings(batch_size=8, dampening=0.0, nesterov=True, clip_norm=0.05, accumulate=2)
    compiled, ends = CompiledStep(), []
    for _ in range(2):
        network, step = compiled.take(
            "layers", Layers(), nn.SoftmaxCrossEntropyWithLogits(sparse=True), training, steps=1
        )
        for batch in batches(2):
            step(*batch)
        ends.append(values_of(network))
    for name, value in ends[0].items():
        np.testing.assert_array_equal(ends[1][name], value, err_msg=name)


def test_a_step_that_breaks_off_between_micro_batches_leaves_no_trace(settings: Settings, step_of: StepOf) -> None:
    """What it has summed up is in no parameter that a checkpoint holds, and the next step begins its sums anew."""
    whole, cut = Layers(), Layers()
    training = settings(batch_size=8, epochs=1, lr=1e-2, accumulate=4)
    expected, step = step_of(whole, training, 3), step_of(cut, training, 3)
    first, second, lost = batches(3)
    expected(*first)
    expected(*second)
    step(*first)
    before = values_of(step)
    add, _ = step._graphs
    for _ in range(3):
        add(Tensor(1.0), *(Tensor(array.asnumpy()[:2]) for array in lost))
    for name, value in values_of(step).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    step(*second)
    for name, value in values_of(whole).items():
        np.testing.assert_array_equal(values_of(cut)[name], value, err_msg=name)


@pytest.mark.parametrize(("devices", "expected"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_clips_at_once(settings: Settings, devices: int, expected: int) -> None:
    assert micro_batch(settings(batch_size=32, accumulate=4), devices) == expected


def test_a_batch_that_cannot_be_shared(settings: Settings) -> None:
    with pytest.raises(BookError, match=r"training\.accumulate 4 does not divide the 2 clips .* 16 devices .*32\)"):
        micro_batch(settings(batch_size=32, accumulate=4), 16)
    with pytest.raises(BookError, match="batch_size 32 is not a multiple of the 3 devices"):
        micro_batch(settings(batch_size=32, accumulate=4), 3)
