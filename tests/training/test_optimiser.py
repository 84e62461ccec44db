"""The optimiser step gives PyTorch's numbers, for every parameter whatever its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.recipe import Training
from actionbook.models import create_model
from actionbook.training.optimiser import freeze, train_step

Settings = Callable[..., Training]


class Affine(nn.Cell):
    """Logits from four features: a weight matrix, and scale and shift under batch norm's names."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.weight = Parameter(Tensor(rng.standard_normal((4, 3)).astype(np.float32)), name="weight")
        self.gamma = Parameter(Tensor(rng.uniform(0.5, 1.5, 3).astype(np.float32)), name="bn.gamma")
        self.beta = Parameter(Tensor(rng.standard_normal(3).astype(np.float32)), name="bn.beta")

    def construct(self, x: Tensor) -> Tensor:
        return ms.ops.matmul(x, self.weight) * self.gamma + self.beta


def gradients(values: list[np.ndarray], x: np.ndarray, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Mean cross-entropy and its gradients by weight, gamma and beta."""
    weight, gamma, beta = values
    product = x @ weight
    logits = product * gamma + beta
    logits = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = -np.log(probabilities[rows, targets]).mean()
    error = probabilities.copy()
    error[rows, targets] -= 1
    error /= len(x)
    return float(loss), [x.T @ (error * gamma), (error * product).sum(axis=0), error.sum(axis=0)]


@pytest.mark.parametrize("dampening", [0.9, 0.0])
@pytest.mark.parametrize("decay", [0.05, 0.0])
def test_five_steps_follow_torchs_rule(settings: Settings, dampening: float, decay: float) -> None:
    training = settings(
        epochs=3, batch_size=6, lr=0.5, lr_steps=(1, 2), momentum=0.9, dampening=dampening, weight_decay=decay
    )
    network = Affine()
    step = train_step(network.set_train(True), training, steps_per_epoch=2)
    values = [p.asnumpy().astype(np.float64) for p in network.trainable_params()]
    buffers: list[np.ndarray] = []
    rng = np.random.default_rng(1)
    for rate in (0.5, 0.5, 0.05, 0.05, 0.005):
        x, targets = rng.standard_normal((6, 4)).astype(np.float32), rng.integers(0, 3, 6).astype(np.int32)
        loss, found = gradients(values, x.astype(np.float64), targets)
        found = [g + decay * value for g, value in zip(found, values, strict=True)]
        # torch.optim.SGD: the first buffer is the gradient itself, undampened.
        buffers = [0.9 * b + (1 - dampening) * g for b, g in zip(buffers, found, strict=True)] if buffers else found
        values = [value - rate * b for value, b in zip(values, buffers, strict=True)]
        assert float(step(Tensor(x), Tensor(targets)).asnumpy()) == pytest.approx(loss, rel=1e-4)
        for parameter, value in zip(network.trainable_params(), values, strict=True):
            np.testing.assert_allclose(parameter.asnumpy(), value, rtol=2e-5, atol=2e-6, err_msg=parameter.name)


@pytest.mark.parametrize("decay", [0.05, 0.0])
def test_two_steps_follow_adams_rule(settings: Settings, decay: float) -> None:
    """Kingma and Ba, arXiv 1412.6980, Algorithm 1 in the order of its section 2; the decay is part of the gradient."""
    training = settings(optimizer="adam", epochs=2, batch_size=6, lr=0.1, lr_steps=(1,), weight_decay=decay)
    network = Affine()
    step = train_step(network.set_train(True), training, steps_per_epoch=1)
    values = [p.asnumpy().astype(np.float64) for p in network.trainable_params()]
    first, second = ([np.zeros_like(value) for value in values] for _ in range(2))
    rng = np.random.default_rng(1)
    for number, rate in enumerate((0.1, 0.01), start=1):
        x, targets = rng.standard_normal((6, 4)).astype(np.float32), rng.integers(0, 3, 6).astype(np.int32)
        loss, found = gradients(values, x.astype(np.float64), targets)
        found = [g + decay * value for g, value in zip(found, values, strict=True)]
        first = [0.9 * m + 0.1 * g for m, g in zip(first, found, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, found, strict=True)]
        corrected = rate * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        values = [
            value - corrected * m / (np.sqrt(v) + 1e-8) for value, m, v in zip(values, first, second, strict=True)
        ]
        assert float(step(Tensor(x), Tensor(targets)).asnumpy()) == pytest.approx(loss, rel=1e-4)
        for parameter, value in zip(network.trainable_params(), values, strict=True):
            np.testing.assert_allclose(parameter.asnumpy(), value, rtol=2e-5, atol=2e-6, err_msg=parameter.name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_loss_scale_does_not_change_the_step(settings: Settings, optimizer: str) -> None:
    rng = np.random.default_rng(1)
    x, targets = Tensor(rng.standard_normal((6, 4)).astype(np.float32)), Tensor(np.arange(6, dtype=np.int32) % 3)
    found = []
    for scale in (1.0, 1024.0):
        network = Affine()
        training = settings(optimizer=optimizer, loss_scale=scale, weight_decay=0.01)
        step = train_step(network.set_train(True), training, steps_per_epoch=1)
        losses = [float(step(x, targets).asnumpy()) for _ in range(3)]
        found.append((losses, np.concatenate([p.asnumpy().ravel() for p in network.trainable_params()])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


def values_of(network: nn.Cell) -> dict[str, np.ndarray]:
    return {p.name: p.asnumpy().copy() for p in network.get_parameters()}


CONV, NORM, DEPTHWISE = "features.0.weight", "features.1.bn2d.", "features.3.weight"
HEAD = ("classifier.1.weight", "classifier.1.bias")


@pytest.mark.parametrize(
    ("trainable", "trained"),
    [
        ((), (CONV, NORM, DEPTHWISE, *HEAD)),
        (("classifier",), HEAD),
        (("features.3", "classifier"), (DEPTHWISE, *HEAD)),
        (("f", "classifier.1.weight"), (CONV, NORM, DEPTHWISE, HEAD[0])),
    ],
)
def test_a_step_changes_the_named_parameters_and_no_others(
    tiny_network: Callable[..., nn.Cell], settings: Settings, trainable: tuple[str, ...], trained: tuple[str, ...]
) -> None:
    network = tiny_network()
    before = values_of(network)
    step = train_step(network.set_train(True), settings(optimizer="adam", trainable=trainable, weight_decay=0.01), 1)
    x = np.random.default_rng(0).standard_normal((4, 3, 4, 32, 32)).astype(np.float32)
    step(Tensor(x), Tensor(np.array([0, 1, 1, 0], np.int32)))
    changed = {name for name, value in values_of(network).items() if (value != before[name]).any()}
    # A frozen batch norm's running statistics stand still as well.
    assert changed == {name for name in before if name.startswith(trained)}
    assert {p.name for p in network.trainable_params()} == {name for name in changed if "moving" not in name}


def test_frozen_batch_norm_gives_in_training_what_it_gives_in_evaluation(tiny_network: Callable[..., Any]) -> None:
    x = Tensor(3 + 2 * np.random.default_rng(0).standard_normal((4, 3, 4, 32, 32)).astype(np.float32))

    def both(trainable: tuple[str, ...]) -> list[np.ndarray]:
        network = tiny_network()
        freeze(network, trainable)
        features = network.features
        return [features.set_train(training)(x).asnumpy() for training in (False, True)]

    in_evaluation, in_training = both(("classifier",))
    np.testing.assert_array_equal(in_training, in_evaluation)
    in_evaluation, followed = both(("features.1", "classifier"))
    np.testing.assert_array_equal(in_evaluation, in_training)
    assert np.abs(followed - in_evaluation).max() > 0.1


def test_a_name_that_no_parameter_begins_with(tiny_network: Callable[..., nn.Cell]) -> None:
    network = tiny_network()
    with pytest.raises(BookError) as caught:
        freeze(network, ("classifier", "head"))
    assert str(caught.value) == (
        "training.trainable: no parameter begins with 'head'; the network's parts: features, classifier"
    )
    assert len(network.trainable_params()) == 6


@pytest.mark.parametrize(("classes", "expected"), [(51, 4_811_283), (101, 4_862_533)])
def test_what_the_port_of_i3d_trains(classes: int, expected: int) -> None:
    network = create_model("i3d", num_classes=classes)
    freeze(network, ("Mixed_5", "logits"))
    trained = network.trainable_params()
    assert len(trained) == 38
    assert sum(int(np.prod(parameter.shape)) for parameter in trained) == expected
    assert {parameter.name.split(".")[0] for parameter in trained} == {"Mixed_5b", "Mixed_5c", "logits"}
    norms = {
        name: cell.use_batch_statistics for name, cell in network.cells_and_names() if isinstance(cell, nn.BatchNorm2d)
    }
    assert len(norms) == 57
    assert sorted(name for name, uses in norms.items() if uses is None) == sorted(
        name for name in norms if name.startswith("Mixed_5")
    )
    assert {norms[name] for name in norms if not name.startswith("Mixed_5")} == {False}
