"""I3D's SAME padding through ONNX and MINDIR: at even and odd sizes, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np
import onnx
import pytest
from mindspore import Tensor, nn
from onnx import ModelProto, TensorProto, helper

from actionbook.conversion import OnnxExport, export_mindir, export_onnx, layer_differences, preflight
from actionbook.conversion.graph import Graph, attributes
from actionbook.conversion.padding import padding_table, same_padding
from actionbook.conversion.repair import fold_casts
from actionbook.core.runtime import set_device
from actionbook.models import create_model
from actionbook.weights import export_state, load
from actionbook.weights.golden import rule_made

# Odd and even in turns, on every level: 17 frames become 9, 5 and 3; 57 rows 29, 15, 8, 4 and 2; 61 columns 31, 16, ...
ODD, EVEN = (3, 17, 57, 61), (2, 16, 64, 48)


@pytest.fixture(autouse=True, scope="module")
def _graph_mode() -> None:
    set_device("CPU")


def network(channels: int, **options: Any) -> nn.Cell:
    made = create_model("i3d", num_classes=5, in_channels=channels, width=0.125, **options)
    tensors = [(name, array.shape) for name, array in export_state(made, "piergiaj").items()]
    load(made, rule_made(tensors), "piergiaj")
    return made


PORT = {"head": "max", "eps": 1e-5}


class Exported(NamedTuple):
    network: nn.Cell
    shape: tuple[int, ...]
    export: OnnxExport
    model: ModelProto


@pytest.fixture(scope="module", params=[(ODD, 1, {}), (EVEN, 2, PORT)], ids=["odd", "even-flow-port"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    shape, batch, options = request.param
    made = network(shape[0], **options)
    export = export_onnx(made, tmp_path_factory.mktemp("i3d") / "i3d.onnx", shape, batch=batch)
    return Exported(made, shape, export, onnx.load(export.path))


def test_pads_are_written_out_and_follow_the_rule(exported: Exported, tmp_path: Path) -> None:
    assert [same_padding(size, 3, 2) for size in (7, 8)] == [(1, 1), (0, 1)]  # TensorFlow's rule
    table = padding_table(exported.export.path)
    assert table.same.all()
    assert set(table.operator) == {"Conv", "MaxPool"}
    assert set(table.kernel[table.operator == "MaxPool"]) == {(1, 3, 3), (3, 3, 3), (2, 2, 2)}
    unequal = [tuple(map(str, row[1:])) for row in table.itertuples() if row.pads[:3] != row.pads[3:]]
    assert len(set(unequal)) >= 3  # the rule's two sides differ somewhere in every file
    model = onnx.load(exported.export.path)
    assert not [node.name for node in model.graph.node if {"auto_pad", "ceil_mode"} & attributes(node).keys()]
    node = next(n for n in model.graph.node if n.op_type == "MaxPool")
    pads = next(a for a in node.attribute if a.name == "pads")
    pads.ints[:] = [*pads.ints[3:], *pads.ints[:3]]  # the odd elements at the beginning
    pads.ints[1] += 1
    onnx.save(model, tmp_path / "wrong.onnx")
    wrong = padding_table(tmp_path / "wrong.onnx")
    assert (~wrong.same).sum() == 1


def test_every_layer_is_that_of_the_network(exported: Exported) -> None:
    clip = np.random.default_rng(2).standard_normal(exported.shape, dtype=np.float32)
    table = layer_differences(exported.network, exported.export.path, clip)
    assert table.operator.value_counts().to_dict() == {"Conv": 58, "MaxPool": 13}
    assert {"MaxPool3d_2a_3x3", "Mixed_4f.b3a", "Mixed_5c.b2b.bn", "logits.conv3d"} <= set(table.cell)
    assert table.relative.max() < 1e-4


def test_nodes_and_preflight(exported: Exported) -> None:
    export = exported.export
    reshapes = export.operators.get("Reshape", 0)
    counts = (430, 143) if "Slice" in export.operators else (424, 139)  # the authors' head and the port's
    assert (export.raw_nodes, export.nodes - reshapes) == counts
    assert export.nodes <= 0.36 * export.raw_nodes
    assert export.operators["Conv"] == 58
    assert export.operators["MaxPool"] == 13
    assert export.relative_difference < 3e-5
    assert preflight(exported.model, cann="8.0", soc_version="Ascend310P3").verdict == "fine"


def test_a_pool_that_looks_elsewhere_is_found(exported: Exported, tmp_path: Path) -> None:
    copy = ModelProto()
    copy.CopyFrom(exported.model)
    node = next(node for node in copy.graph.node if list(attributes(node).get("kernel_shape", [])) == [1, 3, 3])
    pads = next(attribute for attribute in node.attribute if attribute.name == "pads")
    begins, ends = list(pads.ints[:3]), list(pads.ints[3:])
    pads.ints[:] = [*ends, *begins] if begins != ends else [0, 0, 0, 0, 2, 2]
    onnx.save(copy, tmp_path / "moved.onnx")
    clip = np.random.default_rng(2).standard_normal(exported.shape, dtype=np.float32)
    table = layer_differences(exported.network, tmp_path / "moved.onnx", clip)
    assert next(iter(table.cell[table.relative > 1e-2])) == "MaxPool3d_2a_3x3"


def test_mindir(exported: Exported, tmp_path: Path) -> None:
    made, shape, *_ = exported
    clips = Tensor(np.random.default_rng(3).standard_normal((1, *shape), dtype=np.float32))
    graph = nn.GraphCell(ms.load(str(export_mindir(made, tmp_path / "i3d.mindir", shape, batch=1))))
    ms.set_context(mode=ms.PYNATIVE_MODE)  # quicker than to compile the network once more
    expected = made(clips).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(graph(clips).asnumpy(), expected, atol=1e-4 * expected.std())


def test_a_constant_that_is_cast_to_two_types_stays(
    build: Callable[..., ModelProto], kept: Callable[..., Graph]
) -> None:
    nodes = [
        helper.make_node("Cast", ["double"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["double"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["again"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["image", "single"], ["scaled"]),
        helper.make_node("Add", ["scaled", "again"], ["class"]),
    ]
    graph = kept(build(nodes, (2,), (2,), double=np.array(0.1)), fold_casts, atol=0)
    assert [node.op_type for node in graph.nodes] == ["Mul", "Add"]
    kinds = [str(graph.constants[node.input[1]].dtype) for node in graph.nodes]
    assert kinds == ["float32", "float32"]
    assert graph.constants[graph.nodes[1].input[1]] == np.float32(np.float16(0.1))


def test_casts_of_constants_are_made_once(build: Callable[..., ModelProto], kept: Callable[..., Graph]) -> None:
    nodes = [
        helper.make_node("Cast", ["half"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["image", "cast"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["double"], ["class"], to=TensorProto.FLOAT),
    ]
    graph = kept(build(nodes, (2,), (2,), half=np.array(0.5)), fold_casts, atol=0)
    assert [node.op_type for node in graph.nodes] == ["Mul", "Cast", "Cast"]
    assert graph.constants["half"].dtype == np.float32  # a weight keeps the name by which its layer is known
