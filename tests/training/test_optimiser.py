"""The optimiser step gives PyTorch's numbers, for every parameter whatever its name."""

from __future__ import annotations

from collections.abc import Callable

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from actionbook.core.recipe import Training
from actionbook.training.loop import train_step

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


def test_loss_scale_does_not_change_the_step(settings: Settings) -> None:
    rng = np.random.default_rng(1)
    x, targets = Tensor(rng.standard_normal((6, 4)).astype(np.float32)), Tensor(np.arange(6, dtype=np.int32) % 3)
    found = []
    for scale in (1.0, 1024.0):
        network = Affine()
        step = train_step(network.set_train(True), settings(loss_scale=scale, weight_decay=0.01), steps_per_epoch=1)
        losses = [float(step(x, targets).asnumpy()) for _ in range(3)]
        found.append((losses, np.concatenate([p.asnumpy().ravel() for p in network.trainable_params()])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)
