from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from actionbook.conversion import ConversionError, export_onnx
from actionbook.conversion.preflight import Preflight, preflight
from actionbook.models import create_model

CLIP = (1, 4, 8, 16, 16)
RELEASES = ("5.0.4", "6.0.1", "7.0", "8.0", "8.2")


def graph(
    nodes: list[NodeProto], shape: tuple[int | str, ...] = CLIP, *, opset: int = 11, dtype: int = TensorProto.FLOAT
) -> ModelProto:
    """A model that reads ``x``; the output's shape is left open."""
    out = helper.make_tensor_value_info(nodes[-1].output[0], dtype, None)
    body = helper.make_graph(nodes, "test", [helper.make_tensor_value_info("x", dtype, shape)], [out])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)


OPSETS = [
    ("5.0.4", {8: "refused", 9: "risky", 10: "risky", 11: "fine", 12: "risky", 13: "risky", 14: "refused"}),
    ("6.0.1", {10: "refused", 11: "fine", 12: "refused", 17: "refused"}),
    ("7.0", {8: "refused", 9: "fine", 18: "fine", 19: "refused"}),
    ("8.0", {7: "refused", 8: "risky", 10: "risky", 11: "fine", 15: "fine", 16: "risky", 18: "risky", 19: "refused"}),
    ("8.2", {7: "refused", 8: "risky", 10: "risky", 11: "fine", 18: "fine", 19: "refused", 99: "refused"}),
]


@pytest.mark.parametrize(("cann", "verdicts"), OPSETS)
def test_the_opset_is_one_row_for_the_graph(cann, verdicts):
    for opset, verdict in verdicts.items():
        found = preflight(graph([helper.make_node("Relu", ["x"], ["y"])], opset=opset), cann=cann)
        assert [row.verdict for row in found.rows] == [verdict, "fine", "fine"], opset
        assert found.rows[0].node == "(graph)"
        assert found.rows[0].operator == f"opset {opset}"
        assert found.verdict == verdict
        assert found.opset == opset
        assert ("opset 11" in found.rows[0].remedy) == (verdict != "fine")


def test_other_domains_are_refused():
    node = helper.make_node("Relu", ["x"], ["y"], "node", domain="ai.onnx.contrib")
    found = preflight(graph([node]))
    assert [row.verdict for row in found.rows] == ["fine", "fine", "refused"]
    assert "'ai.onnx.contrib'" in found.rows[2].why
    model = graph([helper.make_node("Relu", ["x"], ["y"], "node", domain="ai.onnx")])
    assert preflight(model).verdict == "fine"
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    assert [row.verdict for row in preflight(model).rows] == ["refused", "fine", "fine"]
    assert "E16005" in preflight(model).rows[0].why


@pytest.mark.parametrize(
    ("shape", "verdict", "why", "remedy"),
    [
        ((1, 3, 8, 48, 48), "fine", "", ""),
        (("batch", 3, 8, 48, 48), "fine", "the batch is open", "--input_shape"),
        ((1, 3, "frames", 48, 48), "refused", "E11005", "--input_shape"),
        (("batch", 3, 8, "height", "width"), "refused", "E11005", "--input_shape"),
        ((-1, 3, 8, 48, 48), "fine", "the batch is open", "--input_shape"),
        ((0, 3, 8, 48, 48), "fine", "the batch is open", "--input_shape"),
        ((1, 3, -1, 48, 48), "refused", "shape (1, 3, None, 48, 48)", "--input_shape"),
        (None, "refused", "E11005", "--input_shape"),
        ((1, 10, 3, 8, 48, 48), "fine", "no named layout", "--input_format=ND"),
    ],
)
def test_shapes_of_the_input(shape, verdict, why, remedy):
    found = preflight(graph([helper.make_node("Relu", ["x"], ["y"])], shape))
    assert (found.rows[1].node, found.rows[1].operator) == ("x", "(input)")
    assert found.rows[1].verdict == found.verdict == verdict
    assert why in found.rows[1].why
    assert remedy in found.rows[1].remedy


@pytest.mark.parametrize("batch", ["batch", -1, 0])
def test_what_follows_an_open_batch_is_known(batch, tmp_path):
    """The pool's width is too large for the chip, whatever stands for the batch; the model stays as it is."""
    nodes = [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1, 2], strides=[1, 1, 2])]
    nodes.append(helper.make_node("Conv", ["y", "w"], ["z"], kernel_shape=[1, 1, 1], pads=[0] * 6))
    model = graph(nodes, (batch, 4, 8, 16, 16384))
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, (2, 4, 1, 1, 1), [0.0] * 8))
    given = model.SerializeToString()
    onnx.save(model, tmp_path / "net.onnx")
    for found in (preflight(model), preflight(tmp_path / "net.onnx")):
        assert [row.verdict for row in found.rows[:2]] == ["fine", "fine"]
        assert "width 8192: 1 to 4096 is taken" in found.rows[3].why
        assert not any("-1" in row.why for row in found.rows)
    assert model.SerializeToString() == given


def test_a_graph_without_input_is_refused():
    model = graph([helper.make_node("Relu", ["x"], ["y"])])
    model.graph.initializer.append(helper.make_tensor("x", TensorProto.FLOAT, (1,), [0.0]))
    found = preflight(model)
    assert [row.verdict for row in found.rows] == ["refused", "fine"]
    assert "E16001" in found.rows[0].why


def test_nodes_of_subgraphs_are_judged_too():
    def branch(operator: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{operator}.out", TensorProto.FLOAT, None)
        values = {"kernel_shape": [1, 4, 4]} if operator == "AveragePool" else {}
        node = helper.make_node(operator, ["x"], [out.name], operator, **values)
        return helper.make_graph([node], operator, [], [out])

    node = helper.make_node("If", ["x"], ["y"], "if", then_branch=branch("AveragePool"), else_branch=branch("Gelu"))
    found = preflight(graph([node]))
    verdicts = {row.node: row.verdict for row in found.rows[2:]}
    assert verdicts == {"if": "fine", "AveragePool": "risky", "Gelu": "refused"}


def test_files(tmp_path):
    path = tmp_path / "网络 #1.onnx"
    model = graph([helper.make_node("Gelu", ["x"], ["y"])])
    onnx.save(model, path)
    assert preflight(path) == preflight(str(path)) == preflight(model)
    (tmp_path / "text.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:-5])
    (tmp_path / "empty.onnx").touch()
    for name in ("text.onnx", "cut.onnx", "empty.onnx", "absent.onnx"):
        with pytest.raises(ConversionError, match=rf"{name}: .*[Ee]xport it again"):
            preflight(tmp_path / name)


def test_unknown_releases_and_chips_are_errors():
    model = graph([helper.make_node("Relu", ["x"], ["y"])])
    with pytest.raises(ConversionError, match=r"CANN release '4\.0'.*lists: 5\.0\.4"):
        preflight(model, cann="4.0")
    with pytest.raises(ConversionError, match="did you mean 'Ascend310P3'"):
        preflight(model, soc_version="310P3")


def test_rows_and_summary():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "first"),
        helper.make_node("Gelu", ["a"], ["b"]),
        helper.make_node("AveragePool", ["b"], ["c"], "pool", kernel_shape=[1, 2, 2]),
        helper.make_node("Gelu", ["c"], ["d"], "last"),
        helper.make_node("Relu", ["d"], ["e"], "second"),
    ]
    found = preflight(graph(nodes))
    assert isinstance(found, Preflight)
    assert (found.cann, found.release, found.soc, found.family) == ("8.0", "8.0", "Ascend310P3", "310P")
    assert found.counts == {"fine": 4, "risky": 1, "refused": 2}
    assert [row.node for row in found.rows] == ["(graph)", "x", "first", "b", "pool", "last", "second"]
    summary = found.summary()
    rows = list(zip(summary.operator, summary.verdict, summary.nodes, summary["first"], strict=True))
    assert rows == [
        ("Gelu", "refused", 2, "b"),
        ("AveragePool", "risky", 1, "pool"),
        ("opset 11", "fine", 1, "(graph)"),
        ("(input)", "fine", 1, "x"),
        ("Relu", "fine", 2, "first"),
    ]


@st.composite
def legal_nodes(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    """An operator with attributes that every release takes on 5-D tensors, whatever their sizes."""
    operator = draw(st.sampled_from(["Conv", "MaxPool", "Relu", "Sigmoid", "Add", "Mul", "Transpose", "Pad"]))
    if operator == "Conv":
        kernel = [draw(st.sampled_from([1, 3, 255])), 1, draw(st.sampled_from([1, 3, 7]))]
        strides = [draw(st.sampled_from([1, 2, 63])) for _ in range(3)]
        dilations = [1, draw(st.sampled_from([1, 2, 255])), 1]
        return operator, {
            "kernel_shape": kernel,
            "pads": [k // 2 for k in kernel] * 2,
            "strides": strides,
            "dilations": dilations,
        }
    if operator == "MaxPool":
        return operator, {"kernel_shape": [3] * 3, "pads": [1] * 6, "strides": [draw(st.integers(1, 3))] * 3}
    return operator, {"perm": [0, 1, 4, 3, 2]} if operator == "Transpose" else {}


ILLEGAL = {
    "Conv": [
        {"strides": [1, 64, 1]},
        {"dilations": [1, 256, 1]},
        {"pads": [0, 0, 0, 0, 0, 256]},
        {"kernel_shape": [1, 1, 256], "pads": [0, 0, 128] * 2},
        {"group": 2},
        {"auto_pad": "SAME_LOWER"},
    ],
    "MaxPool": [{"storage_order": 1}, {"auto_pad": "SAME_LOWER"}, {"kernel_shape": [1] * 4}],
    "Pad": [{"mode": "edge"}],
}


def chain(nodes: list[tuple[str, dict[str, object]]]) -> ModelProto:
    made, weights, inputs = [], [], {"Conv": 2, "Add": 2, "Mul": 2, "Pad": 2}
    for i, (operator, values) in enumerate(nodes):
        extra = {"Conv": [f"w{i}"], "Pad": ["p"]}.get(operator, [f"t{i}"])
        names = [f"t{i}", *extra][: inputs.get(operator, 1)]
        made.append(helper.make_node(operator, names, [f"t{i + 1}"], f"n{i}", **values))
        if operator == "Conv":
            shape = (4, 4, *values["kernel_shape"])
            weights.append(numpy_helper.from_array(np.zeros(shape, np.float32), f"w{i}"))
    model = graph([helper.make_node("Identity", ["x"], ["t0"], "start"), *made])
    model.graph.initializer.extend([*weights, numpy_helper.from_array(np.zeros(10, np.int64), "p")])
    return model


@settings(max_examples=60)
@given(st.lists(legal_nodes(), min_size=1, max_size=6), st.sampled_from(RELEASES), st.data())
def test_legal_graphs_are_fine_and_one_fault_changes_one_row(nodes, cann, data):
    before = preflight(chain(nodes), cann=cann)
    assert before.counts == {"fine": len(nodes) + 3, "risky": 0, "refused": 0}
    place = data.draw(st.integers(0, len(nodes) - 1))
    operator, values = nodes[place]
    changes = data.draw(st.sampled_from([*ILLEGAL.get(operator, []), None]))
    fault = ("Gelu", values) if changes is None else (operator, values | changes)
    after = preflight(chain([*nodes[:place], fault, *nodes[place + 1 :]]), cann=cann)
    changed = [i for i, rows in enumerate(zip(before.rows, after.rows, strict=True)) if rows[0] != rows[1]]
    assert changed == [place + 3]
    assert after.rows[place + 3].verdict != "fine"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    network = create_model("mobilenetv2_3d", num_classes=5, width=0.2)
    folder = tmp_path_factory.mktemp("exports")
    return {
        form: export_onnx(network, folder / f"{form}.onnx", (3, 8, 48, 48), batch=1, depthwise=form).path
        for form in ("banded", "grouped")
    }


@pytest.mark.parametrize("cann", ["5.1.RC2", "6.0.1", "7.0", "8.0", "9.0"])
@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310P3", "Ascend910A", "Ascend910B3"])
def test_the_books_own_exports(exports, cann, soc):
    banded = preflight(exports["banded"], cann=cann, soc_version=soc)
    assert banded.counts == {"fine": 113, "risky": 0, "refused": 0}
    grouped = preflight(exports["grouped"], cann=cann, soc_version=soc)
    assert grouped.counts == {"fine": 83, "risky": 17, "refused": 0}
    groups = {n.name: next(a.i for a in n.attribute if a.name == "group") for n in convolutions(exports["grouped"])}
    risky = {row.node for row in grouped.rows if row.verdict == "risky"}
    assert risky == {name for name, group in groups.items() if group > 1}


def convolutions(path) -> list[NodeProto]:
    return [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]
