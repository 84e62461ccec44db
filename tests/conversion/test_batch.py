from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from actionbook.conversion import ConversionError
from actionbook.conversion.batch import may_hold_batch, open_batch
from actionbook.conversion.graph import Graph


def shuffled(build, batch: int):
    """A channel shuffle and frames folded into the batch, as exported at one batch size."""
    targets = {"split": [batch, 2, 3, 2, 4], "merge": [batch, 6, 2, 4], "fold": [batch * 6, 2, 4], "back": [batch, 48]}
    nodes = [
        helper.make_node("Reshape", ["image", "split"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["b", "merge"], ["c"]),
        helper.make_node("Reshape", ["c", "fold"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Reshape", ["e", "back"], ["class"]),
    ]
    constants = {name: np.array(target) for name, target in targets.items()}
    return build(nodes, (batch, 6, 2, 4), (batch, 48), **constants)


def test_reshapes_follow_the_batch(build, run):
    image = np.random.default_rng(0).standard_normal((5, 6, 2, 4), dtype=np.float32)
    graph = Graph.from_model(shuffled(build, 2))
    assert may_hold_batch(graph)
    open_batch(graph, 2, Graph.from_model(shuffled(build, 3)), 3)
    for batch in (1, 3, 5):
        np.testing.assert_array_equal(run(graph.to_model(), image[:batch]), run(shuffled(build, batch), image[:batch]))


def test_a_batch_hidden_in_a_constant_is_refused(build):
    def graph(batch: int) -> Graph:
        node = helper.make_node("Concat", ["image", "zeros"], ["class"], axis=1)
        return Graph.from_model(build([node], (batch, 3), (batch, 5), zeros=np.zeros((batch, 2), np.float32)))

    with pytest.raises(ConversionError, match=r"'zeros'.*fixed batch"):
        open_batch(graph(2), 2, graph(3), 3)


def test_a_batch_multiplied_by_itself_is_refused(build):
    def graph(batch: int) -> Graph:
        node = helper.make_node("Reshape", ["image", "target"], ["class"])
        target = [batch, batch, 36 // batch]
        return Graph.from_model(build([node], (batch, 36), target, target=np.array(target)))

    with pytest.raises(ConversionError, match="Reshape to"):
        open_batch(graph(2), 2, graph(3), 3)


def test_weights_hold_no_batch(build):
    node = helper.make_node("Conv", ["image", "w"], ["class"], kernel_shape=[1, 1])
    graph = Graph.from_model(build([node], (2, 3, 4, 4), (2, 2, 4, 4), w=np.ones((2, 3, 1, 1), np.float32)))
    assert not may_hold_batch(graph)
    open_batch(graph, 2)
    assert graph.inputs[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_shuffle_of_channels_holds_no_batch(build):
    node = helper.make_node("Gather", ["image", "order"], ["class"], axis=1)
    assert not may_hold_batch(Graph.from_model(build([node], (2, 3, 4), (2, 3, 4), order=np.array([2, 0, 1]))))
    node = helper.make_node("Gather", ["image", "order"], ["class"], axis=0)
    assert may_hold_batch(Graph.from_model(build([node], (2, 3, 4), (2, 3, 4), order=np.array([1, 0]))))


def test_a_target_with_a_size_left_open_follows_the_batch_too(build, run):
    def graph(batch: int) -> Graph:
        nodes = [
            helper.make_node("Reshape", ["image", "fold"], ["a"]),  # two frames folded into the batch
            helper.make_node("ReduceMean", ["a"], ["b"], axes=[2], keepdims=0),
            helper.make_node("Reshape", ["b", "unfold"], ["class"]),
        ]
        targets = {"fold": np.array([2 * batch, 3, -1]), "unfold": np.array([batch, 2, -1])}
        return Graph.from_model(build(nodes, (batch, 2, 3, 5), (batch, 2, 3), **targets))

    image = np.random.default_rng(0).standard_normal((5, 2, 3, 5), dtype=np.float32)
    opened = graph(2)
    open_batch(opened, 2, graph(3), 3)
    for batch in (1, 4, 5):
        np.testing.assert_allclose(run(opened.to_model(), image[:batch]), image[:batch].mean(3), atol=1e-6)


def test_a_batch_hidden_in_an_attribute_is_refused(build):
    def graph(batch: int) -> Graph:
        nodes = [
            helper.make_node("Split", ["image"], ["a", "b"], axis=0, split=[1, batch - 1]),
            helper.make_node("Add", ["b", "one"], ["c"]),
            helper.make_node("Concat", ["a", "c"], ["class"], axis=0),
        ]
        return Graph.from_model(build(nodes, (batch, 3), (batch, 3), one=np.ones(3, np.float32)))

    with pytest.raises(ConversionError, match=r"\(Split\) depends on the batch size through its attributes"):
        open_batch(graph(2), 2, graph(3), 3)
