from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from actionbook.conversion import ConversionError
from actionbook.conversion.graph import Graph, attributes, count_operators
from actionbook.conversion.repair import (
    drop_identities,
    make_pads_explicit,
    permute_conv_pads,
    reconnect_output,
    unwrap_batch_norm,
)

RNG = np.random.default_rng(0)
SMALL = st.tuples(*[st.integers(1, 3)] * 3)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, dtype=np.float32)


def test_pads_go_from_pairs_to_begins_then_ends(graph):
    node = helper.make_node("Conv", ["image", "w"], ["class"], kernel_shape=[1, 3, 5], pads=[0, 0, 1, 1, 2, 3])
    repaired = graph([node], (1, 1, 2, 6, 6), (1, 1, 2, 6, 7), w=normal(1, 1, 1, 3, 5))
    permute_conv_pads(repaired)
    assert attributes(repaired.nodes[0])["pads"] == [0, 1, 2, 0, 1, 3]


@settings(max_examples=25)
@given(
    mode=st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]),
    kernel=SMALL,
    stride=SMALL,
    size=st.tuples(*[st.integers(3, 7)] * 3),
)
def test_explicit_pads_give_what_auto_pad_gave(build, kept, *, mode, kernel, stride, size):
    node = helper.make_node("Conv", ["image", "w"], ["class"], kernel_shape=kernel, strides=stride, auto_pad=mode)
    model = build([node], (1, 1, *size), (1, 2, None, None, None), w=normal(2, 1, *kernel))
    assert "auto_pad" not in attributes(kept(model, make_pads_explicit).nodes[0])


def test_a_valid_pool_gets_zero_pads(graph):
    node = helper.make_node("MaxPool", ["image"], ["class"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="VALID")
    repaired = graph([node], (1, 1, 9, 9), (1, 1, 4, 4))
    make_pads_explicit(repaired)
    assert attributes(repaired.nodes[0])["pads"] == [0, 0, 0, 0]


def wrapped_norm(inner: list[int], outer: list[int]) -> tuple[list, dict[str, np.ndarray]]:
    nodes = [
        helper.make_node("Relu", ["image"], ["x"]),
        helper.make_node("Reshape", ["x", "inner"], ["a"]),
        helper.make_node("BatchNormalization", ["a", "gamma", "beta", "mean", "variance"], ["b"], epsilon=1e-3),
        helper.make_node("Reshape", ["b", "outer"], ["class"]),
    ]
    constants = {name: normal(inner[1]) for name in ("gamma", "beta", "mean")}
    shapes = {"inner": np.array(inner), "outer": np.array(outer)}
    return nodes, {**constants, "variance": np.abs(normal(inner[1])) + 0.5, **shapes}


def test_the_reshapes_around_a_batch_norm_go(build, kept):
    nodes, constants = wrapped_norm([2, 3, 8, 5], [2, 3, 4, 2, 5])
    repaired = kept(build(nodes, (2, 3, 4, 2, 5), (2, 3, 4, 2, 5), **constants), unwrap_batch_norm, atol=1e-6)
    assert count_operators(repaired.to_model()) == {"Relu": 1, "BatchNormalization": 1}


def test_reshapes_that_mix_the_channels_stay(build):
    nodes, constants = wrapped_norm([2, 6, 4, 5], [2, 3, 4, 2, 5])  # normalises 6 channels, not the tensor's 3
    repaired = Graph.from_model(build(nodes, (2, 3, 4, 2, 5), (2, 3, 4, 2, 5), **constants))
    unwrap_batch_norm(repaired)
    assert count_operators(repaired.to_model())["Reshape"] == 2


def test_identities_go_in_chains_and_before_the_output(build, kept):
    nodes = [
        helper.make_node("Split", ["image"], ["s0", "s1"], axis=1, split=[1, 2]),
        helper.make_node("Identity", ["s1"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Sub", ["a", "c"], ["d"]),
        helper.make_node("Identity", ["d"], ["class"]),
    ]
    repaired = kept(build(nodes, (2, 3, 4), (2, 2, 4)), drop_identities, atol=0)
    assert count_operators(repaired.to_model()) == {"Split": 1, "Relu": 1, "Sub": 1}


def test_an_identity_from_input_to_output_stays(graph):
    repaired = graph([helper.make_node("Identity", ["image"], ["class"])], (2, 3), (2, 3))
    drop_identities(repaired)
    assert count_operators(repaired.to_model()) == {"Identity": 1}


def test_an_output_without_a_node_is_the_last_tensor(build, run):
    nodes = [
        helper.make_node("Relu", ["image"], ["x"]),
        helper.make_node("Reshape", ["x", "target"], ["77-Default/op"]),
    ]
    repaired = Graph.from_model(build(nodes, (2, 3), (3, 2), target=np.array([3, 2])))
    reconnect_output(repaired)
    image = normal(2, 3)
    np.testing.assert_array_equal(run(repaired.to_model(), image), np.maximum(image, 0).reshape(3, 2))


def test_two_candidates_for_the_output_are_refused(graph):
    nodes = [helper.make_node("Relu", ["image"], ["x"]), helper.make_node("Abs", ["image"], ["y"])]
    with pytest.raises(ConversionError, match="no node makes the output class, and 2 could be meant"):
        reconnect_output(graph(nodes, (2, 3), (2, 3)))
