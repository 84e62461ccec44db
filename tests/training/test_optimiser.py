"""The optimiser step gives PyTorch's numbers, for every parameter whatever its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.training import Training
from actionbook.models import create_model
from actionbook.tasks import Detection
from actionbook.training.optimiser import LossCell, freeze, parameter_groups, train_step
from actionbook.training.schedule import step_rates

Settings = Callable[..., Training]
StepOf = Callable[..., nn.Cell]


class Affine(nn.Cell):
    """Logits from four features: a weight matrix, scale and shift under batch norm's names, and a bias."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.weight = Parameter(Tensor(rng.standard_normal((4, 3)).astype(np.float32)), name="weight")
        self.gamma = Parameter(Tensor(rng.uniform(0.5, 1.5, 3).astype(np.float32)), name="bn.gamma")
        self.beta = Parameter(Tensor(rng.standard_normal(3).astype(np.float32)), name="bn.beta")
        self.bias = Parameter(Tensor(rng.standard_normal(3).astype(np.float32)), name="head.bias")

    def construct(self, x: Tensor) -> Tensor:
        return ms.ops.matmul(x, self.weight) * self.gamma + self.beta + self.bias


def gradients(values: list[np.ndarray], x: np.ndarray, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Mean cross-entropy and its gradients by weight, gamma, beta and bias."""
    weight, gamma, beta, bias = values
    product = x @ weight
    logits = product * gamma + beta + bias
    logits = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = -np.log(probabilities[rows, targets]).mean()
    error = probabilities.copy()
    error[rows, targets] -= 1
    error /= len(x)
    return float(loss), [x.T @ (error * gamma), (error * product).sum(axis=0), *[error.sum(axis=0)] * 2]


@pytest.mark.parametrize("dampening", [0.9, 0.0])
@pytest.mark.parametrize("decay", [0.05, 0.0])
def test_five_steps_follow_torchs_rule(settings: Settings, step_of: StepOf, dampening: float, decay: float) -> None:
    training = settings(
        epochs=3, batch_size=6, lr=0.5, lr_steps=(1, 2), momentum=0.9, dampening=dampening, weight_decay=decay
    )
    network = Affine()
    step = step_of(network, training, 2)
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
def test_two_steps_follow_adams_rule(settings: Settings, step_of: StepOf, decay: float) -> None:
    """Kingma and Ba, arXiv 1412.6980, Algorithm 1 in the order of its section 2; the decay is part of the gradient."""
    training = settings(optimizer="adam", epochs=2, batch_size=6, lr=0.1, lr_steps=(1,), weight_decay=decay)
    network = Affine()
    step = step_of(network, training)
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


GROUPS = (
    {"kind": "norms", "weight_decay": 0.0},
    {"kind": "biases", "weight_decay": 0.0, "lr_factor": 2.0},
)


@pytest.mark.parametrize(
    ("groups", "decays", "factors"),
    [
        ((), (0.05, 0.05, 0.05, 0.05), (1, 1, 1, 1)),
        (GROUPS, (0.05, 0, 0, 0), (1, 1, 1, 2)),
        (GROUPS[:1], (0.05, 0, 0, 0.05), (1, 1, 1, 1)),
        (GROUPS[1:], (0.05, 0.05, 0.05, 0), (1, 1, 1, 2)),
        # The first group that names a parameter has it; one without a decay of its own has that of the training.
        (
            ({"kind": "named", "prefixes": ("bn.b", "head"), "lr_factor": 0.5}, *GROUPS[:1]),
            (0.05, 0, 0.05, 0.05),
            (1, 1, 0.5, 0.5),
        ),
        (({"kind": "named", "prefixes": ("bn", "head", "weight"), "weight_decay": 0.5},), (0.5,) * 4, (1,) * 4),
    ],
)
def test_groups_have_their_own_decay_and_rate(
    *,
    settings: Settings,
    step_of: StepOf,
    groups: tuple[Any, ...],
    decays: tuple[float, ...],
    factors: tuple[float, ...],
) -> None:
    """Three steps of SGD by hand, the last one after a fall of the rate."""
    training = settings(epochs=3, batch_size=6, lr=0.5, lr_steps=(2,), dampening=0.0, weight_decay=0.05, groups=groups)
    network = Affine()
    names = ["weight", "bn.gamma", "bn.beta", "head.bias"]
    parameters = {p.name: p for p in network.trainable_params()}
    values = [parameters[name].asnumpy().astype(np.float64) for name in names]
    step, buffers = step_of(network, training), [np.zeros_like(value) for value in values]
    rng = np.random.default_rng(1)
    for rate in (0.5, 0.5, 0.05):
        x, targets = rng.standard_normal((6, 4)).astype(np.float32), rng.integers(0, 3, 6).astype(np.int32)
        loss, found = gradients(values, x.astype(np.float64), targets)
        found = [g + decay * value for g, value, decay in zip(found, values, decays, strict=True)]
        buffers = [0.9 * b + g for b, g in zip(buffers, found, strict=True)]
        values = [value - factor * rate * b for value, b, factor in zip(values, buffers, factors, strict=True)]
        assert float(step(Tensor(x), Tensor(targets)).asnumpy()) == pytest.approx(loss, rel=1e-4)
        for name, value in zip(names, values, strict=True):
            np.testing.assert_allclose(parameters[name].asnumpy(), value, rtol=2e-5, atol=2e-6, err_msg=name)


def clip_grad_norm(found: list[np.ndarray], limit: float) -> list[np.ndarray]:
    """torch.nn.utils.clip_grad_norm_ on gradients."""
    norm = np.sqrt(sum((g**2).sum() for g in found))
    return [g * min(1.0, limit / (norm + 1e-6)) for g in found]


@pytest.mark.parametrize(("limit", "clipped"), [(None, 0), (1e3, 0), (1.0, 2), (0.01, 5)])
@pytest.mark.parametrize(("scale", "accumulate"), [(1.0, 1), (1024.0, 1), (1024.0, 3)])
def test_the_recipe_of_eco_follows_torchs_rules(
    *, settings: Settings, step_of: StepOf, limit: float | None, clipped: int, scale: float, accumulate: int
) -> None:
    """Five steps of torch.optim.SGD with Nesterov's momentum, gradients clipped before the decay is added to them."""
    training = settings(
        epochs=5, batch_size=6, lr=0.05, lr_steps=(3,), dampening=0.0, weight_decay=0.05, groups=GROUPS, nesterov=True,
        clip_norm=limit, loss_scale=scale, accumulate=accumulate,
    )  # fmt: skip
    network = Affine()
    names = ["weight", "bn.gamma", "bn.beta", "head.bias"]
    parameters = {p.name: p for p in network.trainable_params()}
    values = [parameters[name].asnumpy().astype(np.float64) for name in names]
    step, buffers, shortened = step_of(network, training), [np.zeros_like(value) for value in values], 0
    rng = np.random.default_rng(1)
    for rate in (0.05, 0.05, 0.05, 0.005, 0.005):
        x, targets = rng.standard_normal((6, 4)).astype(np.float32), rng.integers(0, 3, 6).astype(np.int32)
        loss, found = gradients(values, x.astype(np.float64), targets)
        if limit is not None:
            short = clip_grad_norm(found, limit)
            shortened, found = shortened + (short[0] != found[0]).any(), short
        found = [g + decay * value for g, value, decay in zip(found, values, (0.05, 0, 0, 0), strict=True)]
        buffers = [0.9 * b + g for b, g in zip(buffers, found, strict=True)]
        ahead = [g + 0.9 * b for g, b in zip(found, buffers, strict=True)]
        values = [v - factor * rate * g for v, g, factor in zip(values, ahead, (1, 1, 1, 2), strict=True)]
        assert float(step(Tensor(x), Tensor(targets)).asnumpy()) == pytest.approx(loss, rel=1e-6)
        for name, value in zip(names, values, strict=True):
            np.testing.assert_allclose(parameters[name].asnumpy(), value, rtol=0, atol=1e-6, err_msg=name)
    assert shortened == clipped


def test_gradients_within_the_limit_are_left_alone_bit_for_bit(settings: Settings, step_of: StepOf) -> None:
    rng = np.random.default_rng(1)
    batch = Tensor(rng.standard_normal((6, 4)).astype(np.float32)), Tensor(np.arange(6, dtype=np.int32) % 3)
    found = []
    for limit in (None, 1e3):
        network = Affine()
        step = step_of(network, settings(clip_norm=limit))
        for _ in range(3):
            step(*batch)
        found.append(values_of(network))
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name], err_msg=name)


def test_norms_and_biases_of_a_network_are_found(tiny_network: Callable[..., nn.Cell], settings: Settings) -> None:
    network = tiny_network()
    groups = parameter_groups(network, settings(groups=GROUPS), [0.1, 0.2])
    assert [[p.name for p in group["params"]] for group in groups] == [
        ["features.1.bn2d.gamma", "features.1.bn2d.beta"],
        ["classifier.1.bias"],
        ["features.0.weight", "features.3.weight", "classifier.1.weight"],
    ]
    assert [group["weight_decay"] for group in groups] == [0, 0, 1e-3]
    assert [group.get("lr") for group in groups] == [[0.1, 0.2], [0.2, 0.4], None]


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        (({"kind": "named", "prefixes": ("classifer",)},), "named .*'classifer'"),
        (({"kind": "norms"}, {"kind": "norms"}), "norms"),
        (({"kind": "named", "prefixes": ("classifier",)}, {"kind": "biases"}), "biases"),
    ],
)
def test_a_group_that_no_parameter_belongs_to(
    tiny_network: Callable[..., nn.Cell], settings: Settings, groups: tuple[Any, ...], found: str
) -> None:
    with pytest.raises(BookError, match=rf"training\.groups: no trained parameter .*{found}"):
        parameter_groups(tiny_network(), settings(groups=groups), [0.1])


def test_frozen_parameters_are_in_no_group(tiny_network: Callable[..., nn.Cell], settings: Settings) -> None:
    network = tiny_network()
    freeze(network, ("classifier",))
    groups = parameter_groups(network, settings(groups=GROUPS[1:]), [0.1])
    assert [[p.name for p in group["params"]] for group in groups] == [["classifier.1.bias"], ["classifier.1.weight"]]
    with pytest.raises(BookError, match="no trained parameter is left for norms"):
        parameter_groups(network, settings(groups=GROUPS), [0.1])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_step_without_groups_is_mindspores_own_bit_for_bit(
    tiny_network: Callable[..., nn.Cell], settings: Settings, step_of: StepOf, optimizer: str
) -> None:
    """As it was built before networks had several inputs: all weights of both chapters hang on it."""
    training = settings(optimizer=optimizer, epochs=1, weight_decay=0.01)
    rng = np.random.default_rng(0)
    batches = [
        (rng.standard_normal((4, 3, 4, 32, 32)).astype(np.float32), rng.integers(0, 2, 4).astype(np.int32))
        for _ in range(2)
    ]

    def plain(network: nn.Cell) -> nn.Cell:
        rates = step_rates(training, 2)
        groups = [{"params": network.trainable_params(), "weight_decay": 0.01}]
        adam = optimizer == "adam"
        made = nn.Adam(groups, rates) if adam else nn.SGD(groups, rates, momentum=0.9, dampening=0.9)
        loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
        return ms.amp.build_train_network(network.set_train(True), made, loss, level="O0", boost_level="O0")

    found = []
    for build in (plain, lambda network: step_of(network, training, 2)):
        network = tiny_network()
        step = build(network)
        losses = [step(*map(Tensor, batch)).asnumpy() for batch in batches]
        found.append((losses, values_of(network)))
    assert [loss.tobytes() for loss in found[0][0]] == [loss.tobytes() for loss in found[1][0]]
    assert list(found[0][1]) == list(found[1][1])
    for name, value in found[0][1].items():
        np.testing.assert_array_equal(value, found[1][1][name], err_msg=name)


class TwoInputs(nn.Cell):
    """Two classes for each of M boxes, of a picture's mean and the box: (N, 3, 2, 2) and (N, M, 4) -> (N, M, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = Parameter(Tensor(np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)), "weight")
        self.scale = Parameter(Tensor(np.ones(2, np.float32)), "scale")

    def construct(self, image: Tensor, boxes: Tensor) -> Tensor:
        return ms.ops.matmul(boxes, self.weight) + image.mean((1, 2, 3))[:, None, None] * self.scale


def test_a_network_of_two_inputs_and_a_loss_with_a_mask(settings: Settings) -> None:
    rng = np.random.default_rng(1)
    image, boxes = rng.standard_normal((5, 3, 2, 2)).astype(np.float32), rng.random((5, 3, 4)).astype(np.float32)
    target, mask = rng.integers(0, 2, (5, 3, 2)).astype(np.float32), rng.integers(0, 2, (5, 3)).astype(np.float32)
    network = TwoInputs()
    before = values_of(network)
    logits = boxes @ before["weight"] + image.mean((1, 2, 3))[:, None, None]
    each = np.logaddexp(0, logits) - logits * target
    expected = each.mean(axis=2)[mask == 1].mean()
    batch = [Tensor(array) for array in (image, boxes, target, mask)]
    assert float(LossCell(network, Detection().loss(), 2)(*batch).asnumpy()) == pytest.approx(expected, rel=1e-5)
    training = settings(epochs=1, lr=0.5, momentum=0.0, dampening=0.0, weight_decay=0.0)
    step = train_step(network.set_train(True), Detection().loss(), training, 1, inputs=2)
    assert float(step(*batch).asnumpy()) == pytest.approx(expected, rel=1e-5)
    error = (1 / (1 + np.exp(-logits)) - target) * mask[:, :, None] / mask.sum() / 2
    gradient = np.einsum("nmi,nmk->ik", boxes, error)
    np.testing.assert_allclose(network.weight.asnumpy(), before["weight"] - 0.5 * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_loss_scale_does_not_change_the_step(settings: Settings, step_of: StepOf, optimizer: str) -> None:
    rng = np.random.default_rng(1)
    x, targets = Tensor(rng.standard_normal((6, 4)).astype(np.float32)), Tensor(np.arange(6, dtype=np.int32) % 3)
    found = []
    for scale in (1.0, 1024.0):
        network = Affine()
        training = settings(optimizer=optimizer, loss_scale=scale, weight_decay=0.01)
        step = step_of(network, training)
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
    *,
    tiny_network: Callable[..., nn.Cell],
    settings: Settings,
    step_of: StepOf,
    trainable: tuple[str, ...],
    trained: tuple[str, ...],
) -> None:
    network = tiny_network()
    before = values_of(network)
    step = step_of(network, settings(optimizer="adam", trainable=trainable, weight_decay=0.01))
    x = np.random.default_rng(0).standard_normal((4, 3, 4, 32, 32)).astype(np.float32)
    step(Tensor(x), Tensor(np.array([0, 1, 1, 0], np.int32)))
    changed = {name for name, value in values_of(network).items() if (value != before[name]).any()}
    # A frozen batch norm's running statistics stand still as well.
    assert changed == {name for name in before if name.startswith(trained)}
    assert {p.name for p in network.trainable_params()} == {name for name in changed if "moving" not in name}


class Norms(nn.Cell):
    """Three batch norms, in the order in which they are defined, and a layer that ends in ``bias``."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.BatchNorm3d(3), nn.BatchNorm3d(3), nn.BatchNorm3d(3)
        self.dense = nn.Dense(3, 2)

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(self.three(self.two(self.one(x))).mean((2, 3, 4)))


@pytest.mark.parametrize(
    ("norms", "trainable", "followed"),
    [
        ("trained", (), {"one", "two", "three"}),
        ("frozen", (), set()),
        ("frozen_but_first", (), {"one"}),
        ("frozen_but_first", ("dense",), set()),
    ],
)
def test_frozen_norms_keep_scales_shifts_and_statistics(
    *, settings: Settings, step_of: StepOf, norms: str, trainable: tuple[str, ...], followed: set[str]
) -> None:
    network = Norms()
    before = values_of(network)
    step = step_of(network, settings(norms=norms, trainable=trainable, groups=GROUPS[:1]))
    x = 1 + np.random.default_rng(0).standard_normal((4, 3, 2, 3, 3)).astype(np.float32)
    for _ in range(2):
        step(Tensor(x), Tensor(np.array([0, 1, 1, 0], np.int32)))
    changed = {name for name, value in values_of(network).items() if (value != before[name]).any()}
    assert {name.split(".")[0] for name in changed if "bn2d" in name} == followed
    assert {name.split(".")[0] for name in changed if "variance" in name} == followed
    assert {p.name.split(".")[0] for p in network.trainable_params()} == {*followed, "dense"} | {*trainable}
    assert {"dense.weight", "dense.bias"} <= changed


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
