"""3-D MobileNetV2: the paper's numbers of parameters, the original program's outputs, stage by stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.core.errors import BookError
from actionbook.core.runtime import set_device
from actionbook.models import create_model, list_models
from actionbook.models.profile import count_parameters, layer_table
from actionbook.weights import load

GOLDEN = json.loads((Path(__file__).parent / "data" / "efficient3d_golden.json").read_text())["nets"]

# Parameters and multiply-accumulates in millions, measured with the original program.
PAPER = [
    (0.2, 600, 964_110, 54.90),
    (0.45, 600, 1_399_834, 157.96),
    (0.7, 600, 2_049_942, 295.70),
    (1.0, 600, 3_122_648, 519.05),
    (1.0, 101, 2_483_429, 518.41),
]


@pytest.fixture(autouse=True, scope="module")
def _graph_mode() -> None:
    set_device("CPU")


def golden_state(tensors: list[Any]) -> dict[str, np.ndarray]:
    """The weights with which the golden outputs were made, each drawn from its own name."""
    state = {}
    for name, shape in tensors:
        random = np.random.RandomState(crc32(name.encode()))
        if name.endswith("running_mean"):
            value = 0.1 * random.standard_normal(shape)
        elif name.endswith("running_var"):
            value = random.uniform(0.5, 1.5, shape)
        elif len(shape) >= 2:
            value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("bias"):
            value = 0.1 * random.standard_normal(shape)
        else:
            value = random.uniform(0.5, 1.5, shape)
        state[name] = value.astype(np.float32)
    return state


def golden_network(name: str, width: float) -> nn.Cell:
    network = create_model("mobilenetv2_3d", num_classes=101, width=width)
    report = load(network, golden_state(GOLDEN[name]["tensors"]), "okankop")
    assert len(report.loaded) == GOLDEN[name]["n_tensors"] == 262
    return network


def golden_clip() -> Tensor:
    return Tensor(np.random.RandomState(0).standard_normal((1, 3, 16, 112, 112)).astype(np.float32))


class Stages(nn.Cell):
    """A network that gives the outputs of all its feature stages, and its logits at the end."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__()
        self.network = network

    def construct(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.network.features:
            x = stage(x)
            found.append(x)
        found.append(self.network.classifier(x.mean(axis=(2, 3, 4))))
        return found


def test_logits_of_the_original_program() -> None:
    golden = GOLDEN["mobilenetv2_0.45x"]
    logits = golden_network("mobilenetv2_0.45x", 0.45)(golden_clip()).asnumpy()[0]
    assert logits.argmax() == golden["argmax"]
    assert np.abs(logits - golden["logits"]).max() < 1e-4 * golden["std"]


def test_every_stage_of_the_original_program() -> None:
    golden = GOLDEN["mobilenetv2_1.0x"]
    network = golden_network("mobilenetv2_1.0x", 1.0)
    *stages, logits = (output.asnumpy() for output in Stages(network).set_train(False)(golden_clip()))
    assert np.abs(logits[0] - golden["logits"]).max() < 1e-4 * golden["std"]
    assert list(golden["stages"])[:19] == [f"features.{i}" for i in range(19)]
    assert len(stages) == 19
    for found, expected in zip(stages, golden["stages"].values(), strict=False):
        assert list(found.shape) == expected["shape"]
        assert found.mean(dtype=np.float64) == pytest.approx(expected["mean"], abs=1e-4 * expected["std"])
        assert found.std(dtype=np.float64, ddof=1) == pytest.approx(expected["std"], rel=1e-4)
        assert found.flat[0] == pytest.approx(expected["first"], abs=1e-4 * expected["std"])


@pytest.mark.parametrize(("width", "classes", "parameters", "millions"), PAPER)
def test_parameters_and_macs_of_the_paper(width: float, classes: int, parameters: int, millions: float) -> None:
    network = create_model("mobilenetv2_3d", num_classes=classes, width=width)
    assert count_parameters(network) == sum(p.size for p in network.trainable_params()) == parameters
    table = layer_table(network)
    assert table.parameters.sum() == parameters
    assert table.macs.sum() == pytest.approx(millions * 1e6, abs=0.01e6)


@pytest.mark.parametrize(("width", "parameters"), [(0.2, 324_891), (0.45, 760_615), (0.7, 1_410_723)])
def test_parameters_with_101_classes(width: float, parameters: int) -> None:
    assert count_parameters(create_model("mobilenetv2_3d", num_classes=101, width=width)) == parameters


def test_layer_table_of_a_small_network() -> None:
    network = create_model("mobilenetv2_3d", num_classes=5, width=0.2)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    table = layer_table(network, (3, 4, 32, 32))
    assert list(table.columns) == ["name", "kind", "output", "parameters", "macs"]
    assert table.kind.value_counts().to_dict() == {
        "batch norm": 52, "pointwise convolution": 34, "depthwise convolution": 17, "convolution": 1, "dense": 1,
    }  # fmt: skip
    stem, head = table.iloc[0], table.iloc[-1]
    assert (stem["name"], stem.output, stem.parameters, stem.macs) == (
        "features.0.0", (6, 4, 16, 16), 6 * 81, 6 * 81 * 4 * 16 * 16,
    )  # fmt: skip
    assert (head["name"], head.output, head.parameters, head.macs) == ("classifier.1", (5,), 6405, 6400)
    # Depthwise: 27 products for every output.
    depthwise = table[table.kind == "depthwise convolution"]
    assert (depthwise.macs == [27 * int(np.prod(shape)) for shape in depthwise.output]).all()
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])
    assert not network.training


def test_networks_by_name() -> None:
    assert "mobilenetv2_3d" in list_models()
    assert list_models() == sorted(list_models())
    with pytest.raises(BookError, match=r"model 'mobilenet9' is not known; there are: .*mobilenetv2_3d"):
        create_model("mobilenet9", num_classes=3)
    with pytest.raises(BookError, match=r"model 'mobilenetv2_3d' does not take these options: .*depth"):
        create_model("mobilenetv2_3d", num_classes=3, depth=5)


def test_the_seed_decides_the_fresh_weights() -> None:
    def values(seed: int) -> np.ndarray:
        network = create_model("mobilenetv2_3d", num_classes=3, width=0.2, seed=seed)
        return np.concatenate([p.asnumpy().ravel() for p in network.get_parameters()])

    np.testing.assert_array_equal(values(1), values(1))
    assert (values(1) != values(2)).any()


def test_a_single_frame_goes_through() -> None:
    network = create_model("mobilenetv2_3d", num_classes=7, width=0.2)
    assert not network.training
    clip = np.random.default_rng(0).standard_normal((2, 3, 1, 32, 32)).astype(np.float32)
    logits = network(Tensor(clip)).asnumpy()
    assert logits.shape == (2, 7)
    assert np.isfinite(logits).all()
    assert np.ptp(logits) > 0
