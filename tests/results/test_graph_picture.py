"""The picture of a graph before and after repair: every node of the first layers is in it, once."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from actionbook.results.graph_picture import graph_picture


def model(nodes: list, **constants: np.ndarray) -> ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("image", "class")]
    weights = [numpy_helper.from_array(value, name.replace("__", ".")) for name, value in constants.items()]
    return helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], weights))


def conv(name: str, source: str, target: str, groups: int = 1) -> object:
    return helper.make_node("Conv", [source, f"{name}.weight"], [target], kernel_shape=[3, 3, 3], group=groups)


RAW = model([
    conv("a", "image", "1"),
    helper.make_node("Constant", [], ["s"], value=numpy_helper.from_array(np.array([1, 2]))),
    helper.make_node("Reshape", ["1", "s"], ["2"]),
    helper.make_node("BatchNormalization", ["2", "g", "b", "m", "v"], ["3"]),
    helper.make_node("Relu", ["3"], ["4"]),
    conv("b", "4", "5", groups=6),
    helper.make_node("Relu", ["5"], ["6"]),
    conv("c", "6", "class"),
])  # fmt: skip
SHORT = model([
    conv("a", "image", "1"),
    helper.make_node("Relu", ["1"], ["4"]),
    conv("b", "4", "5", groups=6),
    helper.make_node("Relu", ["5"], ["6"]),
    helper.make_node("Reshape", ["6", "s"], ["7"]),
    conv("c", "7", "class"),
])  # fmt: skip


def test_the_first_layers_stand_side_by_side() -> None:
    axes = graph_picture([("raw", RAW), ("short", SHORT)], layers=2).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts[0] == "raw: 7 nodes"  # the constant counts: it is a node
    assert "short: 4 nodes" in texts  # without the Reshape that only leads on to the third layer
    assert texts.count("Conv 3 x 3 x 3, 6 groups") == 2
    assert "Constant" not in texts
    heights = [text.get_position()[1] for text in axes.texts if text.get_text() == "Conv 3 x 3 x 3, 6 groups"]
    assert heights[0] == heights[1]


def test_all_of_a_short_graph() -> None:
    axes = graph_picture([("short", SHORT)], layers=9).axes[0]
    assert axes.texts[0].get_text() == "short: 6 nodes"
    assert len(axes.patches) == 6
