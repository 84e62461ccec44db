"""Weights into a network: all or nothing, everything named, and back out unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.weights import LAYOUTS, WeightsError, export_state, load, read_torch
from actionbook.weights.loading import fits


class Network(nn.Cell):
    """The network of the fixture `training.pth`."""

    def __init__(self, num_classes: int = 5) -> None:
        super().__init__()
        convolution = nn.Conv3d(3, 4, 3, pad_mode="valid", has_bias=False)
        self.features = nn.SequentialCell(nn.SequentialCell(convolution, nn.BatchNorm3d(4), nn.ReLU6()))
        self.classifier = nn.SequentialCell(nn.Dropout(p=0.2), nn.Dense(4, num_classes))

    def construct(self, clip: Tensor) -> Tensor:
        return self.classifier(self.features(clip).mean((2, 3, 4)))


State = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def state(data: Path) -> State:
    return read_torch(data / "training.pth")


def values(network: nn.Cell) -> State:
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def assert_same(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], strict=True)


def test_every_tensor_gets_to_its_parameter(state: State) -> None:
    network = Network()
    report = load(network, state, "okankop")
    assert report.ok
    assert len(report.loaded) == 7
    assert report.ignored == ("features.0.1.num_batches_tracked",)
    found = values(network)
    for ours, theirs in {
        "features.0.0.weight": "features.0.0.weight",
        "features.0.1.bn2d.gamma": "features.0.1.weight",
        "features.0.1.bn2d.beta": "features.0.1.bias",
        "features.0.1.bn2d.moving_mean": "features.0.1.running_mean",
        "features.0.1.bn2d.moving_variance": "features.0.1.running_var",
        "classifier.1.weight": "classifier.1.weight",
        "classifier.1.bias": "classifier.1.bias",
    }.items():
        np.testing.assert_array_equal(found[ours], state[f"module.{theirs}"], strict=True)


def test_outputs_are_those_of_pytorch(state: State, data: Path) -> None:
    network = Network().set_train(False)
    load(network, state)
    with np.load(data / "outputs.npz") as golden:
        found = network(Tensor(golden["clip"])).asnumpy()
        np.testing.assert_allclose(found, golden["logits"], rtol=0, atol=1e-6)


def test_export_is_the_inverse(state: State) -> None:
    network = Network()
    load(network, state)
    exported = export_state(network)
    stripped = {name.removeprefix("module."): array for name, array in state.items() if "num_batches" not in name}
    assert_same(exported, stripped)
    exported["classifier.1.bias"][:] = 9
    assert not (values(network)["classifier.1.bias"] == 9).any()
    other = Network()
    assert load(other, export_state(network)).ok
    assert_same(values(other), values(network))


def test_half_precision_files_become_the_parameters_type(state: State) -> None:
    network = Network()
    load(network, {name: array.astype(np.float16) for name, array in state.items()})
    bias = values(network)["classifier.1.bias"]
    np.testing.assert_array_equal(
        bias, state["module.classifier.1.bias"].astype(np.float16).astype(np.float32), strict=True
    )


def test_all_problems_are_listed_and_nothing_is_touched(state: State) -> None:
    network = Network()
    before = values(network)
    del state["module.features.0.1.running_mean"]
    state["module.stranger"] = np.ones(2, np.float32)
    state["module.features.0.0.weight"] = np.ones((4, 3, 1, 1, 1), np.float32)
    with pytest.raises(WeightsError) as caught:
        load(network, state)
    assert str(caught.value).splitlines()[1:-1] == [
        "layout okankop: 5 tensors fit",
        "read from: PyTorch, under 'state_dict'",
        "taken off every name: module.",
        "missing from the file: 1",
        "  features.0.1.running_mean",
        "unexpected in the file: 1",
        "  stranger",
        "wrong shape: 1",
        "  features.0.0.weight: the network expects (4, 3, 3, 3, 3), the file has (4, 3, 1, 1, 1)",
        "nearest layout: okankop, by which 6 of 7 names fit; the network has 'features.0.1.running_mean', "
        "the file 'stranger'",
        "ignored in the file: 1",
    ]
    assert "skip" in str(caught.value).splitlines()[-1]
    assert_same(values(network), before)


def test_what_would_fit_is_what_load_reports(state: State) -> None:
    network = Network(num_classes=3)
    del state["module.features.0.1.running_mean"]
    state["module.stranger"] = np.ones(2, np.float32)
    report = fits(network, {name: array.shape for name, array in state.items()}, "okankop", skip=["classifier.1.bias"])
    assert (report.missing, report.unexpected) == (("features.0.1.running_mean",), ("stranger",))
    assert report.kept == ("classifier.1.bias",)
    assert [str(one) for one in report.wrong_shape] == [
        "classifier.1.weight: the network expects (3, 4), the file has (5, 4)"
    ]
    assert len(report.loaded) == 4
    assert report.nearest is not None
    del state["module.stranger"]  # what is only missing has no other name
    assert fits(network, {name: array.shape for name, array in state.items()}, "okankop").nearest is None


def test_other_number_of_classes(state: State) -> None:
    network = Network(num_classes=3)
    before = values(network)
    with pytest.raises(WeightsError) as caught:
        load(network, state)
    for part in ("trained on 5 classes, the network has 3", "pass skip=('classifier.1',)", "num_classes=5"):
        assert part in str(caught.value)
    report = load(network, state, skip=("classifier.1",))
    assert report.kept == ("classifier.1.weight", "classifier.1.bias")
    assert len(report.loaded) == 5
    assert "left at their initial values: 2" in str(report)
    after = values(network)
    np.testing.assert_array_equal(after["classifier.1.weight"], before["classifier.1.weight"])
    np.testing.assert_array_equal(after["features.0.0.weight"], state["module.features.0.0.weight"])


def test_skip_names_whole_modules_that_exist(state: State) -> None:
    with pytest.raises(WeightsError, match=r"skip.*'class'.*classifier\.1"):
        load(Network(), state, skip=("class",))
    assert len(load(Network(), state, skip=("features",)).loaded) == 2


def test_allowed_differences_are_reported(state: State) -> None:
    del state["module.classifier.1.bias"]
    state["module.auxiliary.weight"] = np.ones(2, np.float32)
    report = load(Network(), state, allow_missing=("classifier",), allow_unexpected=("auxiliary",))
    assert report.kept == ("classifier.1.bias",)
    assert "auxiliary.weight" in report.ignored
    assert len(report.loaded) == 6


def test_only_real_numbers_fit(state: State) -> None:
    network = Network()
    before = values(network)
    state["module.classifier.1.bias"] = np.ones(5, np.complex64)
    with pytest.raises(WeightsError, match="complex64"):
        load(network, state)
    assert_same(values(network), before)


def test_a_layout_that_confuses_two_parameters(state: State) -> None:
    confused = replace(LAYOUTS["okankop"], name="confused", original_name=lambda name: name.rpartition(".")[2])
    with pytest.raises(WeightsError, match=r"confused.*'weight'"):
        load(Network(), state, confused)
