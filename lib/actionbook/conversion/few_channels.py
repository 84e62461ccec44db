"""Convolutions of few channels that give a few neighbouring frames at once.

Runtimes compute a 3-D convolution as a product of matrices, of which one has a row for each channel: with eight of them
most of a processor's width is idle. So a few frames become channels, as in `actionbook.models.layers.GroupedConv3d`:
the filters reach over all frames that these need, each with its taps at its own place and zeros elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto, helper

from actionbook.conversion.bands import band_weight
from actionbook.conversion.graph import Graph, Sizes, attributes
from actionbook.models.layers import frames_together

LARGE = 1e9
"""Multiplications of a sample from which on a transposition more is worth it.

Measured on the fast pathway of SlowFast in ONNX Runtime, 2.4 of 74 thousand million: 28 of 510 ms are saved."""


def give_frames_at_once(graph: Graph) -> None:
    """Let large convolutions of few channels work on a few frames at once; a transposition behind puts them in order.

    As many as divide the frames and keep to `layers.AT_ONCE`; one of a convolution with groups, or dilated along time.
    """
    shapes, consumers = graph.shapes(), graph.consumers()
    nodes: list[NodeProto] = []
    moved: set[str] = set()  # outputs of the Relu nodes that stay right behind their convolution
    for node in graph.nodes:
        sizes = _sizes(graph, node, shapes)
        count = frames_together(sizes[1], sizes[0]) if sizes else 1
        if count > 1:
            readers = consumers[node.output[0]]
            follows = readers[:1] if [reader.op_type for reader in readers] == ["Relu"] else []
            nodes += _at_once(graph, [node, *follows], sizes, count)
            moved.update(relu.output[0] for relu in follows)
        elif not moved.intersection(node.output):
            nodes.append(node)
    graph.nodes = nodes
    graph.prune()


def _sizes(graph: Graph, node: NodeProto, shapes: dict[str, Sizes]) -> tuple[int, ...]:
    """(C, T, H, W) of what a large convolution over time gives; of other nodes nothing."""
    if node.op_type != "Conv" or not all(name in graph.constants for name in node.input[1:]):
        return ()
    values, weight = attributes(node), graph.constants[node.input[1]]
    sizes = tuple(size for size in shapes.get(node.output[0], ())[1:] if size is not None)
    if weight.ndim != 5 or weight.shape[2] == 1 or len(sizes) != 4:
        return ()
    apart = values.get("group", 1) > 1 or values.get("dilations", [1])[0] > 1
    return () if apart or math.prod(sizes) * math.prod(weight.shape[1:]) < LARGE else sizes


def _at_once(graph: Graph, chain: list[NodeProto], sizes: tuple[int, ...], count: int) -> list[NodeProto]:
    """What stands for a convolution and perhaps a Relu: (N, C * count, T / count, H, W), then (N, C, T, H, W)."""
    conv, name = chain[0], chain[-1].output[0]
    values, weight = attributes(conv), graph.constants[conv.input[1]]
    (channels, frames, height, width), strides = sizes, values.get("strides", [1, 1, 1])
    reach = weight.shape[2] + (count - 1) * strides[0]
    band = band_weight(weight, reach, count, stride=strides[0], pad=0)
    band = band.reshape(channels * count, weight.shape[1], reach, *weight.shape[3:])
    inputs = [conv.input[0], graph.add_constant(f"{conv.input[1]}.band", band)]
    if len(conv.input) > 2:
        inputs.append(graph.add_constant(f"{conv.input[2]}.band", np.repeat(graph.constants[conv.input[2]], count)))
    values |= {"kernel_shape": [reach, *weight.shape[3:]], "strides": [count * strides[0], *strides[1:]]}
    nodes = [helper.make_node("Conv", inputs, [f"{name}.at_once"], conv.name, conv.doc_string, **values)]
    for relu in chain[1:]:
        positive = [f"{name}.at_once.relu"]
        nodes.append(helper.make_node("Relu", nodes[-1].output, positive, relu.name, relu.doc_string))
    parted = np.array([0, channels, count, frames // count, height * width], np.int64)  # 0 keeps the batch
    whole = np.array([0, channels, frames, height, width], np.int64)
    inside = [nodes[-1].output[0], graph.add_constant(f"{name}.parted.sizes", parted)]
    ordered = [f"{name}.ordered", graph.add_constant(f"{name}.sizes", whole)]
    return [
        *nodes,
        helper.make_node("Reshape", inside, [f"{name}.parted"]),
        helper.make_node("Transpose", [f"{name}.parted"], ordered[:1], perm=[0, 1, 3, 2, 4]),
        helper.make_node("Reshape", ordered, [name]),
    ]
