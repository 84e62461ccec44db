"""SlowFast in two files, the backbone for the card and the head for the host: together they are the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from actionbook.conversion import OnnxExport, export_mindir, export_onnx, preflight
from actionbook.core.errors import BookError
from actionbook.core.spec import Spec
from actionbook.inference import MindirEngine, OnnxEngine
from actionbook.models import create_model
from actionbook.models.forward import eager
from actionbook.models.slowfast_parts import MAPS, backbone_of, head_of

OPTIONS: dict[str, Any] = {"num_classes": 5, "depth": 14, "width": 0.125, "zero_init": False}
# 41 rows of pixels are three of cells, the last one with little in it.
SPEC = Spec({"slow": (3, 2, 41, 64), "fast": (3, 8, 41, 64), "boxes": (6, 4)}, (6, 5))
CLIPS = {name: array for name, array in SPEC.random(2).items() if name != "boxes"}
COUNTS = (1, 40)
"""Numbers of boxes other than the network has been made for."""


def boxes(count: int) -> np.ndarray:
    """Of two clips, some beyond the edge."""
    rng = np.random.default_rng(count)
    low, size = rng.uniform(0, 24, (2, count, 2)), rng.uniform(3, 50, (2, count, 2))
    return np.concatenate([low, low + size], axis=2).astype(np.float32)


def run(network: nn.Cell, *inputs: np.ndarray) -> np.ndarray:
    with eager():
        return np.asarray(network(*map(Tensor, inputs)).asnumpy())


@pytest.fixture(scope="module")
def network() -> nn.Cell:
    return create_model("slowfast_r50", **OPTIONS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def backbone(network: nn.Cell, folder: Path) -> OnnxExport:
    cell, spec = backbone_of(network, SPEC)
    return export_onnx(cell, folder / "backbone.onnx", spec, batch=2)


@pytest.fixture(scope="module")
def maps(backbone: OnnxExport) -> np.ndarray:
    return OnnxEngine(backbone.path).run(CLIPS)


@pytest.mark.parametrize("count", COUNTS)
def test_backbone_and_head_are_the_network(count: int, network: nn.Cell, maps: np.ndarray, folder: Path) -> None:
    cell, spec = head_of(network, SPEC, count)
    asked = {MAPS: maps, "boxes": boxes(count)}
    head = OnnxEngine(export_onnx(cell, folder / f"head_{count}.onnx", spec, batch=2, example=asked).path)
    wanted = run(network, *CLIPS.values(), asked["boxes"])
    assert wanted.shape == (2, count, 5)
    assert np.ptp(wanted, axis=1).max() > 1e-3 or count == 1  # boxes differ
    np.testing.assert_allclose(head.run(asked), wanted, atol=1e-4 * wanted.std())
    if count > 3:  # filled up with zeros
        some = asked["boxes"].copy()
        some[:, 3:] = 0
        np.testing.assert_allclose(head.run({**asked, "boxes": some})[:, :3], wanted[:, :3], atol=1e-6)


def test_the_backbone_is_convolutions_and_what_joins_them(backbone: OnnxExport, network: nn.Cell) -> None:
    _, spec = backbone_of(network, SPEC)
    assert spec == Spec({name: SPEC.inputs[name] for name in ("slow", "fast")}, (288, 3, 4), MAPS)
    assert set(backbone.operators) == {"Conv", "Relu", "Add", "Concat", "Reshape", "MaxPool", "ReduceMean"}
    assert preflight(backbone.path, soc_version="Ascend310").verdict == "fine"


def test_the_full_size(network: nn.Cell) -> None:
    spec = Spec({"slow": (3, 8, 256, 384), "fast": (3, 32, 256, 384), "boxes": (28, 4)}, (28, 5))
    assert backbone_of(network, spec)[1].output == (288, 16, 24)  # 2304 at width 1
    assert head_of(network, spec)[1] == Spec({MAPS: (288, 16, 24), "boxes": (28, 4)}, (28, 5))


def test_the_head_as_mindir(network: nn.Cell, maps: np.ndarray, folder: Path) -> None:
    cell, spec = head_of(network, SPEC)
    engine = MindirEngine(export_mindir(cell, folder / "head.mindir", spec, batch=2))
    wanted = run(network, *CLIPS.values(), boxes(6))
    np.testing.assert_allclose(engine.run({MAPS: maps, "boxes": boxes(6)}), wanted, atol=1e-4 * wanted.std())


@pytest.mark.parametrize("options", [{"pathways": "slow"}, {"pathways": "fast", "roi": "port"}])
def test_of_other_variants(options: dict[str, Any]) -> None:
    network = create_model("slowfast_r50", **OPTIONS, **options)
    whole = run(network, *CLIPS.values(), boxes(3))
    (backbone, made), (head, _) = backbone_of(network, SPEC), head_of(network, SPEC)
    maps = run(backbone, *CLIPS.values())
    assert maps.shape[1:] == made.output
    np.testing.assert_array_equal(run(head, maps, boxes(3)), whole)


def test_the_parameters_are_the_networks_own(network: nn.Cell) -> None:
    (backbone, _), (head, _) = backbone_of(network, SPEC), head_of(network, SPEC)
    own = {id(one): one.name for one in network.get_parameters()}
    trained = {own[id(one)] for one in head.trainable_params()}
    assert trained == {"head.projection.weight", "head.projection.bias"}
    assert {own[id(one)] for one in backbone.get_parameters()} == set(own.values())
    assert [one.name for one in network.get_parameters()] == list(own.values())


def test_networks_without_such_parts(network: nn.Cell) -> None:
    with pytest.raises(BookError, match="SlowFast: expected SlowFast of task 'detection': other heads take no boxes"):
        backbone_of(create_model("slowfast_r50", **OPTIONS, task="classification"), SPEC)
    with pytest.raises(BookError, match="Dense: expected SlowFast"):
        head_of(nn.Dense(2, 2), SPEC)
    shorter = Spec({**SPEC.inputs, "fast": (3, 6, 41, 64)}, SPEC.output)
    with pytest.raises(BookError, match=r"parts of SlowFast: slow clips .* expected 4 times as many fast frames"):
        backbone_of(network, shorter)
