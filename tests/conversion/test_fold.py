from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from actionbook.conversion.fold import fold_batch_norm, merge_pointwise
from actionbook.conversion.graph import Graph, count_operators

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, dtype=np.float32)


def norm_constants(channels: int) -> dict[str, np.ndarray]:
    names = {name: normal(channels) for name in ("gamma", "beta", "mean")}
    return {**names, "variance": np.abs(normal(channels)) + 0.5}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 4])
def test_folding_keeps_the_values(build, kept, bias, group):
    weights = {"w": normal(4, 4 // group, 3, 3, 3), **({"b": normal(4)} if bias else {})}
    nodes = [
        helper.make_node("Conv", ["image", *weights], ["x"], kernel_shape=[3, 3, 3], pads=[1] * 6, group=group),
        helper.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["class"], epsilon=1e-3),
    ]
    model = build(nodes, (2, 4, 3, 5, 5), (2, 4, 3, 5, 5), **weights, **norm_constants(4))
    graph = kept(model, fold_batch_norm, rtol=1e-4, atol=1e-4)
    assert count_operators(graph.to_model()) == {"Conv": 1}
    assert set(graph.constants) == {"w.folded.weight", "w.folded.bias"}


def test_shared_weights_are_folded_apart(build, kept):
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["x"], kernel_shape=[1, 1]),
        helper.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["y"]),
        helper.make_node("Conv", ["y", "w"], ["class"], kernel_shape=[1, 1]),
    ]
    model = build(nodes, (1, 3, 4, 4), (1, 3, 4, 4), w=normal(3, 3, 1, 1), **norm_constants(3))
    graph = kept(model, fold_batch_norm)
    assert count_operators(graph.to_model()) == {"Conv": 2}


def test_two_batch_norms_are_folded_one_after_the_other(build, kept):
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["x"], kernel_shape=[1, 1], doc_string="conv"),
        helper.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["y"], doc_string="one"),
        helper.make_node("BatchNormalization", ["y", "gamma", "beta", "mean", "variance"], ["class"], doc_string="two"),
    ]
    model = build(nodes, (1, 3, 4, 4), (1, 3, 4, 4), w=normal(3, 3, 1, 1), **norm_constants(3))
    graph = kept(model, fold_batch_norm, rtol=1e-4)
    assert [(node.op_type, node.doc_string) for node in graph.nodes] == [("Conv", "two")]


def test_a_convolution_that_is_read_elsewhere_keeps_its_norm(build):
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["x"], kernel_shape=[1, 1]),
        helper.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["y"]),
        helper.make_node("Add", ["x", "y"], ["class"]),
    ]
    graph = Graph.from_model(build(nodes, (1, 3, 4, 4), (1, 3, 4, 4), w=normal(3, 3, 1, 1), **norm_constants(3)))
    fold_batch_norm(graph)
    assert count_operators(graph.to_model())["BatchNormalization"] == 1


@pytest.mark.parametrize(("middle", "left"), [(4, 1), (2, 2)])
def test_pointwise_neighbours_become_one_unless_it_is_a_bottleneck(build, kept, middle, left):
    """With 4 between: 8*24 = 192 against 8*4 + 4*24 = 128 multiplications, 1.5 times."""
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["x"], kernel_shape=[1, 1, 1]),
        helper.make_node("Conv", ["x", "w2", "b2"], ["class"], kernel_shape=[1, 1, 1]),
    ]
    constants = {"w1": normal(middle, 8, 1, 1, 1), "b1": normal(middle), "w2": normal(24, middle, 1, 1, 1)}
    model = build(nodes, (2, 8, 2, 3, 3), (2, 24, 2, 3, 3), **constants, b2=normal(24))
    assert count_operators(kept(model, merge_pointwise).to_model()) == {"Conv": left}
