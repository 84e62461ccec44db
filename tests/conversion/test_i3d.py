"""I3D's SAME padding through ONNX and MINDIR: at even and odd sizes, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn
from onnx import ModelProto, TensorProto, helper, numpy_helper

from actionbook.conversion import OnnxExport, export_mindir, export_onnx, layer_differences, preflight
from actionbook.conversion.graph import Graph, attributes, model_shapes
from actionbook.conversion.padding import padding_table
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


@pytest.fixture(scope="module", params=[(ODD, 1, {}), (EVEN, 2, PORT)], ids=["odd", "even-flow-port"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Cell, OnnxExport, ModelProto]:
    shape, batch, options = request.param
    made = network(shape[0], **options)
    export = export_onnx(made, tmp_path_factory.mktemp("i3d") / "i3d.onnx", shape, batch=batch)
    return made, export, onnx.load(export.path)


def same_pads(sizes: tuple[int, ...], kernel: list[int], strides: list[int]) -> list[int]:
    """TensorFlow's rule: begins, then ends."""
    totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, kernel, strides, strict=True)]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def test_the_table_of_pads_sees_a_wrong_one(exported: tuple[nn.Cell, OnnxExport, ModelProto], tmp_path: Path) -> None:
    _, export, _ = exported
    table = padding_table(export.path)
    assert table.same.all()
    assert set(table.operator) == {"Conv", "MaxPool"}
    model = onnx.load(export.path)
    node = next(n for n in model.graph.node if n.op_type == "MaxPool")
    pads = next(a for a in node.attribute if a.name == "pads")
    pads.ints[:] = [*pads.ints[3:], *pads.ints[:3]]  # the odd elements at the beginning
    pads.ints[1] += 1
    onnx.save(model, tmp_path / "wrong.onnx")
    wrong = padding_table(tmp_path / "wrong.onnx")
    assert (~wrong.same).sum() == 1


def test_pads_are_written_out_and_follow_the_rule(exported: tuple[nn.Cell, OnnxExport, ModelProto]) -> None:
    _, _, model = exported
    shapes = model_shapes(model)
    seen = set()
    for node in model.graph.node:
        values = attributes(node)
        if node.op_type not in ("Conv", "MaxPool"):
            continue
        assert not {"auto_pad", "ceil_mode"} & values.keys()
        sizes = shapes[node.input[0]][2:]
        expected = same_pads(sizes, values["kernel_shape"], values["strides"])
        if len(sizes) == 3:
            assert values["pads"] == expected, node.name
        seen.add((node.op_type, len(sizes), tuple(values["kernel_shape"]), tuple(values["strides"]), tuple(expected)))
    unequal = {entry for entry in seen if entry[4][: entry[1]] != entry[4][entry[1] :]}
    assert len(unequal) >= 3  # the rule's two sides differ somewhere in every file
    assert {entry[2] for entry in seen if entry[0] == "MaxPool"} == {(1, 3, 3), (3, 3, 3), (2, 2, 2)}


def test_every_layer_is_that_of_the_network(exported: tuple[nn.Cell, OnnxExport, ModelProto]) -> None:
    made, export, model = exported
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)[1:]
    table = layer_differences(made, export.path, np.random.default_rng(2).standard_normal(shape, dtype=np.float32))
    assert table.operator.value_counts().to_dict() == {"Conv": 58, "MaxPool": 13}
    assert {"MaxPool3d_2a_3x3", "Mixed_4f.b3a", "Mixed_5c.b2b.bn", "logits.conv3d"} <= set(table.cell)
    assert table.relative.max() < 1e-4


def test_nodes_and_preflight(exported: tuple[nn.Cell, OnnxExport, ModelProto]) -> None:
    _, export, model = exported
    reshapes = export.operators.get("Reshape", 0)
    counts = (430, 143) if "Slice" in export.operators else (424, 139)  # the authors' head and the port's
    assert (export.raw_nodes, export.nodes - reshapes) == counts
    assert export.nodes <= 0.36 * export.raw_nodes
    assert export.operators["Conv"] == 58
    assert export.operators["MaxPool"] == 13
    assert export.relative_difference < 3e-5
    assert preflight(model, cann="8.0", soc_version="Ascend310P3").verdict == "fine"


def test_a_pool_that_looks_elsewhere_is_found(exported: tuple[nn.Cell, OnnxExport, ModelProto], tmp_path: Path) -> None:
    made, _, model = exported
    copy = ModelProto()
    copy.CopyFrom(model)
    node = next(node for node in copy.graph.node if list(attributes(node).get("kernel_shape", [])) == [1, 3, 3])
    pads = next(attribute for attribute in node.attribute if attribute.name == "pads")
    begins, ends = list(pads.ints[:3]), list(pads.ints[3:])
    pads.ints[:] = [*ends, *begins] if begins != ends else [0, 0, 0, 0, 2, 2]
    onnx.save(copy, tmp_path / "moved.onnx")
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)[1:]
    clip = np.random.default_rng(2).standard_normal(shape, dtype=np.float32)
    table = layer_differences(made, tmp_path / "moved.onnx", clip)
    assert next(iter(table.cell[table.relative > 1e-2])) == "MaxPool3d_2a_3x3"


def test_mindir(exported: tuple[nn.Cell, OnnxExport, ModelProto], tmp_path: Path) -> None:
    made, _, model = exported
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)[1:]
    clips = Tensor(np.random.default_rng(3).standard_normal((1, *shape), dtype=np.float32))
    graph = nn.GraphCell(ms.load(str(export_mindir(made, tmp_path / "i3d.mindir", shape, batch=1))))
    ms.set_context(mode=ms.PYNATIVE_MODE)  # quicker than to compile the network once more
    expected = made(clips).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(graph(clips).asnumpy(), expected, atol=1e-4 * expected.std())


def test_casts_of_constants_are_made_once() -> None:
    nodes = [
        helper.make_node("Cast", ["half"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["image", "cast"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["double"], ["class"], to=TensorProto.FLOAT),
    ]
    value = helper.make_tensor_value_info
    ends = [value("image", TensorProto.FLOAT, (2,))], [value("class", TensorProto.FLOAT, (2,))]
    made = helper.make_graph(nodes, "test", *ends, [numpy_helper.from_array(np.array(0.5), "half")])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 11)], ir_version=4)
    graph = Graph.from_model(model)
    fold_casts(graph)
    assert [node.op_type for node in graph.nodes] == ["Mul", "Cast", "Cast"]
    assert graph.constants["cast"].dtype == np.float32
    session = onnxruntime.InferenceSession(graph.to_model().SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["class"], {"image": np.array([3, -4], np.float32)})[0]
    np.testing.assert_array_equal(found, np.array([1.5, -2], np.float32))
