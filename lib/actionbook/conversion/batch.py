"""An open batch axis for a graph that was exported with a fixed one."""

from __future__ import annotations

import numpy as np

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Graph

BATCH_AXIS = "batch"
# Their constants are weights or bounds, in which no exporter could hide a batch size.
WEIGHTED = frozenset({"Conv", "Gemm", "MatMul", "BatchNormalization", "Clip"})


def may_hold_batch(graph: Graph) -> bool:
    """Whether some node reads a constant that could depend on the batch size (the target of a Reshape, say)."""
    nodes = (node for node in graph.nodes if node.op_type not in WEIGHTED)
    return any(name in graph.constants for node in nodes for name in node.input)


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
    shapes = graph.shapes()
    for node, twin in zip(graph.nodes, other.nodes, strict=True):
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
            target = _open_shape(ours, theirs, size, other_size, source[:1] == (size,))
            node.input[1] = graph.add_constant(f"{node.output[0]}.shape", target)


def _open_shape(ours: np.ndarray, theirs: np.ndarray, size: int, other_size: int, batch_first: bool) -> np.ndarray:
    """The target of a Reshape, free of the batch size."""
    target = ours.astype(np.int64)
    changed = np.flatnonzero(ours != theirs)
    if len(changed) != 1 or ours[changed[0]] * other_size != theirs[changed[0]] * size or -1 in ours:
        raise ConversionError(
            f"a Reshape to {ours.tolist()} at batch {size} and {theirs.tolist()} at batch {other_size}: "
            "the batch cannot be left open; export the network with a fixed batch"
        )
    target[changed[0]] = 0 if changed[0] == 0 and ours[0] == size and batch_first else -1
    return target
