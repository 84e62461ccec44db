"""An open batch axis for a graph that was exported with a fixed one."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Graph, Sizes, attributes

BATCH_AXIS = "batch"
# Their constants are weights or bounds, in which no exporter could hide a batch size.
WEIGHTED = frozenset({"Conv", "Gemm", "MatMul", "BatchNormalization", "Clip"})


def may_hold_batch(graph: Graph) -> bool:
    """Whether some node reads a constant that could depend on the batch size (the target of a Reshape, say)."""
    nodes = (node for node in graph.nodes if node.op_type not in WEIGHTED and not _picks_inside(node))
    return any(name in graph.constants for node in nodes for name in node.input)


def _picks_inside(node: NodeProto) -> bool:
    """Whether a node picks channels, frames or pixels by constant numbers, as a channel shuffle does."""
    return node.op_type == "Gather" and attributes(node).get("axis", 0) > 0


def open_batch(graph: Graph, size: int, other: Graph | None = None, other_size: int = 0) -> None:
    """Make the batch axis of `graph`, exported at batch `size`, dynamic; `other` is the same network at another batch.

    The exporter writes the batch into the shapes of Reshape nodes. Comparing two exports shows where: an entry that
    grew in proportion becomes 0 ("as the input's") where it is the batch itself, in first place, else -1 ("the rest").
    `other` may be None where `may_hold_batch` says no. Raises ConversionError where the batch went into anything else.
    """
    if other is not None:
        _open_constants(graph, other, size, other_size)
    for value in (*graph.inputs, *graph.outputs):
        dimension = value.type.tensor_type.shape.dim[0]
        if dimension.dim_value != size:
            raise ConversionError(
                f"{value.name!r}: the first axis is {dimension.dim_value}, expected the batch, {size}"
            )
        dimension.dim_param = BATCH_AXIS


def _open_constants(graph: Graph, other: Graph, size: int, other_size: int) -> None:
    if len(graph.nodes) != len(other.nodes):
        raise ConversionError(
            f"exported at batch {size} the network has {len(graph.nodes)} nodes, at batch {other_size} "
            f"{len(other.nodes)}: export it with a fixed batch"
        )
    shapes, other_shapes = graph.shapes(), other.shapes()
    for node, twin in zip(graph.nodes, other.nodes, strict=True):
        if attributes(node) != attributes(twin):
            raise ConversionError(
                f"node {node.name or node.output[0]!r} ({node.op_type}) depends on the batch size through its "
                "attributes: export the network with a fixed batch"
            )
        for place, (name, twin_name) in enumerate(zip(node.input, twin.input, strict=True)):
            ours, theirs = graph.constants.get(name), other.constants.get(twin_name)
            if ours is None or theirs is None or np.array_equal(ours, theirs):
                continue
            source = shapes.get(node.input[0], ())
            if node.op_type != "Reshape" or place != 1 or ours.shape != theirs.shape:
                raise ConversionError(
                    f"node {node.name or node.output[0]!r} ({node.op_type}) depends on the batch size through its "
                    f"constant {name!r}: export the network with a fixed batch"
                )
            wanted = shapes.get(node.output[0], ()), other_shapes.get(twin.output[0], ())
            target = _open_shape(*wanted, size, other_size, source[:1] == (size,))
            node.input[1] = graph.add_constant(f"{node.output[0]}.shape", target)


def _open_shape(ours: Sizes, theirs: Sizes, size: int, other_size: int, batch_first: bool) -> np.ndarray:
    """The target of a Reshape, free of the batch size; `ours` and `theirs` are what it makes at the two."""
    ours, theirs = (tuple(-1 if length is None else length for length in shape) for shape in (ours, theirs))
    changed = [i for i in range(len(ours)) if ours[i : i + 1] != theirs[i : i + 1]]
    fits = len(ours) == len(theirs) and -1 not in (*ours, *theirs) and len(changed) == 1
    if not fits or ours[changed[0]] * other_size != theirs[changed[0]] * size:
        raise ConversionError(
            f"a Reshape to {list(ours)} at batch {size} and {list(theirs)} at batch {other_size}: "
            "the batch cannot be left open; export the network with a fixed batch"
        )
    target = np.array(ours, np.int64)
    target[changed[0]] = 0 if changed[0] == 0 and ours[0] == size and batch_first else -1
    return target
