"""SlowFast through ONNX and MINDIR: three inputs, boxes by matrix products, every rule and pathway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn

from actionbook.conversion import (
    OnnxExport,
    export_mindir,
    export_onnx,
    first_difference,
    layer_differences,
    preflight,
    quantise,
    store_half,
)
from actionbook.core.difference import difference
from actionbook.core.spec import Spec
from actionbook.models import create_model
from actionbook.models.forward import graph_mode
from actionbook.models.roi_align import RULES, RoIAlign
from actionbook.weights import export_state, load
from actionbook.weights.golden import rule_made

SIZES = {"slow": (3, 2, 32, 48), "fast": (3, 8, 32, 48), "boxes": (3, 4)}
SPEC = Spec(SIZES, (3, 5))
SCALES = {"branch2.c_bn.weight": 0.25}


@pytest.fixture(autouse=True, scope="module")
def _pynative() -> Iterator[None]:
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)  # each network is run a few times: compiling takes longer
    yield
    ms.set_context(mode=mode)


def network(**options: Any) -> nn.Cell:
    made = create_model("slowfast_r50", num_classes=5, width=0.125, depth=14, **options)
    load(made, rule_made([(k, a.shape) for k, a in export_state(made, "pyslowfast").items()], SCALES), "pyslowfast")
    return made


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    """Three samples; the last box of each is padding."""
    made = SPEC.random(3, seed=2)
    corners = np.random.default_rng(2).uniform((0, 0), (47, 31), (3, 3, 2, 2))
    made["boxes"] = np.sort(corners, axis=2).reshape(3, 3, 4).astype(np.float32)
    made["boxes"][:, 2] = 0
    return made


def run_onnx(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["class"], arrays)[0]


class Exported(NamedTuple):
    network: nn.Cell
    expected: np.ndarray
    export: OnnxExport


@pytest.fixture(scope="module")
def exported(batch: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The small network with an open batch."""
    made = network()
    export = export_onnx(made, tmp_path_factory.mktemp("slowfast") / "net.onnx", SPEC, example=batch)
    return Exported(made, made(*map(Tensor, batch.values())).asnumpy(), export)


def test_an_open_batch(exported: Exported, batch: dict[str, np.ndarray], tmp_path: Path) -> None:
    model, operators = onnx.load(exported.export.path), exported.export.operators
    assert [value.name for value in model.graph.input] == list(SIZES)
    assert {entry.version for entry in model.opset_import} == {11}
    assert not {"RoiAlign", "Gather", "BatchNormalization"} & set(operators)
    assert operators["MatMul"] == 2  # rows, then columns, of both pathways at once
    for size in (1, 2, 3):
        found = run_onnx(exported.export.path, {name: array[:size] for name, array in batch.items()})
        assert difference(found, exported.expected[:size]).relative < 1e-4
    half = store_half(exported.export.path, tmp_path / "half.onnx")
    assert difference(run_onnx(half, batch), exported.expected).relative < 1e-2


def test_in_8_bits_boxes_stay_as_exact_as_they_are(
    exported: Exported, batch: dict[str, np.ndarray], tmp_path: Path
) -> None:
    small = quantise(exported.export.path, tmp_path / "int8.onnx", batch)
    operators = [node.op_type for node in onnx.load(small).graph.node]
    assert "Conv" not in operators
    assert operators.count("MatMul") == 2
    found = run_onnx(small, batch)
    assert difference(found, exported.expected).relative < 1
    moved = {**batch, "boxes": batch["boxes"] + np.float32(0.25)}
    assert np.abs(run_onnx(small, moved) - found).max() > 0  # a quarter of a pixel is no step of 8 bits


def test_every_layer_agrees(exported: Exported, batch: dict[str, np.ndarray]) -> None:
    sample = {name: array[0] for name, array in batch.items()}
    assert first_difference(layer_differences(exported.network, exported.export.path, sample)) is None


@pytest.mark.parametrize("cann", ["5.1.RC2", "8.0"])
def test_ascend_reads_every_operator(cann: str, exported: Exported) -> None:
    found = preflight(exported.export.path, cann=cann)
    assert [(row.operator, row.why) for row in found.rows if row.verdict != "fine"] == []


def test_a_pathway_that_is_not_looked_at_is_still_an_input(batch: dict[str, np.ndarray], tmp_path: Path) -> None:
    export = export_onnx(network(pathways="slow"), tmp_path / "net.onnx", SPEC, batch=3, example=batch)
    assert export.relative_difference < 1e-4
    assert [value.name for value in onnx.load(export.path).graph.input] == list(SIZES)


@pytest.mark.parametrize("rule", RULES)
def test_boxes_of_every_rule(rule: str, batch: dict[str, np.ndarray], tmp_path: Path) -> None:
    """RoIAlign alone, as ONNX and as MINDIR."""
    layer, spec = RoIAlign(7, 1 / 16, rule), Spec({"x": (4, 2, 3), "boxes": (3, 4)}, (3, 7, 7, 4))
    arrays = {**spec.random(3), "boxes": batch["boxes"]}
    inputs = [Tensor(array) for array in arrays.values()]
    export = export_onnx(layer, tmp_path / "roi.onnx", spec, batch=3, example=arrays)
    assert export.max_abs_difference < 1e-5
    assert [row.why for row in preflight(export.path).rows if row.verdict != "fine"] == []
    graph = nn.GraphCell(ms.load(str(export_mindir(layer, tmp_path / "roi.mindir", spec, batch=3))))
    with graph_mode():
        np.testing.assert_allclose(graph(*inputs).asnumpy(), layer(*inputs).asnumpy(), atol=1e-5)
