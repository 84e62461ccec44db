from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from actionbook.conversion.graph import Graph, attributes, count_operators
from actionbook.conversion.layout import use_2d_convolutions

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, dtype=np.float32)


def ranks(graph: Graph) -> list[int]:
    """Axes of the kernels of the convolutions."""
    return [len(attributes(node)["kernel_shape"]) for node in graph.nodes if node.op_type == "Conv"]


@settings(max_examples=40)
@given(
    channels=st.sampled_from([2, 3, 8]),
    frames=st.integers(1, 8),
    kernel=st.tuples(*[st.integers(1, 3)] * 3),
    stride=st.tuples(*[st.integers(1, 3)] * 3),
    dilation=st.tuples(*[st.integers(1, 2)] * 3),
    pads=st.tuples(*[st.integers(0, 2)] * 6),
    bias=st.booleans(),
)
def test_any_depthwise_convolution_is_the_same_in_2d(
    build, kept, *, channels, frames, kernel, stride, dilation, pads, bias
):
    extent = (kernel[0] - 1) * dilation[0] + 1
    if frames + pads[0] + pads[3] < extent:  # no output frame at all
        return
    weights = {"w": normal(channels, 1, *kernel), **({"b": normal(channels)} if bias else {})}
    values = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pads, "group": channels}
    nodes = [
        helper.make_node("Conv", ["image", *weights], ["x"], **values),
        helper.make_node("Relu", ["x"], ["class"]),
    ]
    model = build(nodes, (2, channels, frames, 6, 7), (2, channels, None, None, None), **weights)
    assert ranks(kept(model, use_2d_convolutions)) == [2]


def residual(build, frames: int):
    """expand 1x1x1, Clip, depthwise, Clip, project 1x1x1, added to the input; then the mean."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], kernel_shape=[1, 1, 1]),
        helper.make_node("Clip", ["a", "low", "high"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], kernel_shape=[3, 3, 3], pads=[1] * 6, group=8),
        helper.make_node("Clip", ["c", "low", "high"], ["d"]),
        helper.make_node("Conv", ["d", "w3"], ["e"], kernel_shape=[1, 1, 1]),
        helper.make_node("Add", ["image", "e"], ["f"]),
        helper.make_node("ReduceMean", ["f"], ["class"], axes=[2, 3, 4], keepdims=0),
    ]
    weights = {"w1": normal(8, 4, 1, 1, 1), "w2": normal(8, 1, 3, 3, 3), "w3": normal(4, 8, 1, 1, 1)}
    bounds = {"low": np.float32(0).reshape(()), "high": np.float32(6).reshape(())}
    return build(nodes, ("batch", 4, frames, 5, 5), ("batch", 4), **weights, **bounds)


def test_a_block_with_frames_needs_two_reshapes(build, kept):
    assert count_operators(kept(residual(build, 4), use_2d_convolutions).to_model())["Reshape"] == 2


def test_a_block_of_one_frame_is_2d_throughout(build, kept):
    graph = kept(residual(build, 1), use_2d_convolutions)
    assert count_operators(graph.to_model())["Reshape"] == 1  # the input's
    assert set(ranks(graph)) == {2}


def test_many_frames_stay_3d(build, kept):
    node = helper.make_node("Conv", ["image", "w"], ["class"], kernel_shape=[3, 1, 1], pads=[1, 0, 0] * 2, group=2)
    model = build([node], (1, 2, 33, 2, 2), (1, 2, 33, 2, 2), w=normal(2, 1, 3, 1, 1))
    assert count_operators(kept(model, use_2d_convolutions).to_model()) == {"Conv": 1}


def channel_operations(build, frames: int):
    """Split, a banded convolution on one half, Concat, and a shuffle that also counts from the end."""
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["a"], kernel_shape=[3, 3, 3], pads=[1] * 6, group=4, doc_string="a"),
        helper.make_node("Split", ["a"], ["b", "c"], axis=1, split=[1, 3]),
        helper.make_node("Conv", ["c", "w1"], ["d"], kernel_shape=[1, 1, 1], group=3, doc_string="d"),
        helper.make_node("Concat", ["b", "d", "c"], ["e"], axis=1),
        helper.make_node("Gather", ["e", "order"], ["f"], axis=1),
        helper.make_node("ReduceMean", ["f"], ["class"], axes=[3, 4], keepdims=0),
    ]
    constants = {"w0": normal(4, 1, 3, 3, 3), "w1": normal(3, 1, 1, 1, 1), "order": np.array([6, 0, -2, 3, 1, 2, 4])}
    return build(nodes, (2, 4, frames, 5, 5), (2, 7, frames), **constants)


@pytest.mark.parametrize("frames", [1, 3])
def test_channels_are_split_joined_and_picked_on_any_view(build, kept, frames):
    graph = kept(channel_operations(build, frames), use_2d_convolutions)
    assert ranks(graph) == [2, 2]
    assert [node.doc_string for node in graph.nodes if node.op_type == "Conv"] == ["a", "d"]


def test_channels_picked_by_what_is_computed_stay_as_they_are(build, kept):
    nodes = [
        helper.make_node("ArgMax", ["image"], ["place"], axis=1, keepdims=0),
        helper.make_node("Reshape", ["place", "flat"], ["order"]),
        helper.make_node("Gather", ["image", "order"], ["class"], axis=1),
    ]
    kept(build(nodes, (1, 2, 2, 1, 1), (1, 2, 2, 1, 1), flat=np.array([-1])), use_2d_convolutions, atol=0)


@pytest.mark.parametrize(("frames", "rank"), [(1, 2), (2, 2), (3, 3)])
def test_dense_convolutions_go_2d_where_frames_are_few(build, kept, frames, rank):
    node = helper.make_node("Conv", ["image", "w", "b"], ["class"], kernel_shape=[3] * 3, pads=[1, 0, 2, 1, 1, 0])
    model = build([node], (2, 3, frames, 5, 5), (2, 4, frames, 4, 5), w=normal(4, 3, 3, 3, 3), b=normal(4))
    assert ranks(kept(model, use_2d_convolutions)) == [rank]
