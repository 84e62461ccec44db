from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from actionbook.conversion import few_channels
from actionbook.conversion.few_channels import give_frames_at_once
from actionbook.conversion.graph import attributes, count_operators

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, dtype=np.float32)


def convolution(build, channels, frames, kernel, strides=(1, 1, 1), *, bias=True, relu=True, batch=2, **values):
    """A convolution of three channels with "same" padding, and perhaps a Relu."""
    # Sums of some size 1: how they are rounded depends on their order, and is held to 1e-5.
    scale = np.float32(1 / np.sqrt(3 * np.prod(kernel)))
    weights = {"w": scale * normal(channels, 3, *kernel), **({"b": normal(channels)} if bias else {})}
    pads = [size // 2 for size in kernel] * 2
    nodes = [
        helper.make_node("Conv", ["image", *weights], ["x"], kernel_shape=kernel, strides=strides, pads=pads, **values),
        helper.make_node("Relu" if relu else "Sigmoid", ["x"], ["class"]),
    ]
    return build(nodes, (batch, 3, frames, 6, 7), (batch, channels, None, None, None), **weights)


@pytest.fixture
def _all_are_large(monkeypatch):
    monkeypatch.setattr(few_channels, "LARGE", 0)


@pytest.mark.usefixtures("_all_are_large")
@settings(max_examples=40)
@given(
    channels=st.sampled_from([1, 2, 3, 8, 16]),
    frames=st.sampled_from([1, 4, 6, 12, 16]),
    kernel=st.tuples(st.sampled_from([3, 5]), st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(*[st.integers(1, 3)] * 3),
    bias=st.booleans(),
    relu=st.booleans(),
    batch=st.sampled_from([2, "batch"]),
)
def test_any_of_few_channels_is_the_same(build, kept, *, channels, frames, kernel, strides, bias, relu, batch):
    model = convolution(build, channels, frames, kernel, strides, bias=bias, relu=relu, batch=batch)
    graph = kept(model, give_frames_at_once)
    out = -(-frames // strides[0])
    at_once = max(n for n in range(1, min(8, 32 // channels) + 1) if out % n == 0)
    (conv,) = [node for node in graph.nodes if node.op_type == "Conv"]
    assert graph.constants[conv.input[1]].shape[0] == channels * at_once
    assert attributes(conv)["strides"][0] == strides[0] * at_once
    behind = ["Reshape", "Transpose", "Reshape"] if at_once > 1 else []
    operators = [node.op_type for node in graph.nodes]
    assert operators == (["Conv", "Relu", *behind] if relu else ["Conv", *behind, "Sigmoid"])


@pytest.mark.usefixtures("_all_are_large")
@pytest.mark.parametrize(
    ("channels", "kernel", "values"),
    [(17, (3, 3, 3), {}), (4, (1, 3, 3), {}), (6, (3, 3, 3), {"group": 3}), (2, (3, 1, 1), {"dilations": [2, 1, 1]})],
    ids=["enough channels", "one frame", "groups", "frames apart"],
)
def test_others_stay(build, kept, channels, kernel, values):
    weight = normal(channels, 3 // values.get("group", 1), *kernel)
    pads = [values.get("dilations", [1])[0] * (kernel[0] // 2), kernel[1] // 2, kernel[2] // 2] * 2
    node = helper.make_node("Conv", ["image", "w"], ["class"], kernel_shape=kernel, pads=pads, **values)
    model = build([node], (1, 3, 8, 6, 7), (1, channels, 8, 6, 7), w=weight)
    assert count_operators(kept(model, give_frames_at_once).to_model()) == {"Conv": 1}


def test_small_ones_stay(build, kept):
    model = convolution(build, 2, 16, (5, 3, 3))
    assert count_operators(kept(model, give_frames_at_once).to_model()) == {"Conv": 1, "Relu": 1}


@pytest.mark.usefixtures("_all_are_large")
def test_what_two_nodes_read_is_put_into_order_before_both(build, kept):
    model = convolution(build, 2, 8, (3, 3, 3))
    model.graph.node[1].output[0] = "y"
    model.graph.node.append(helper.make_node("Add", ["x", "y"], ["class"]))
    operators = [node.op_type for node in kept(model, give_frames_at_once).nodes]
    assert operators == ["Conv", "Reshape", "Transpose", "Reshape", "Relu", "Add"]
