"""Readable names for nodes and tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from onnx import NodeProto

from actionbook.conversion.graph import Graph

LAYERS = ("Conv", "Gemm", "MatMul")  # operators with weights
WEIGHT = re.compile(r"\.weight(\.\d+)?$")  # with a number where two layers share it and it was folded apart
LONGEST_SHAPE = 6  # of a tensor with its groups or frames apart


def mark_cells(nodes: Iterable[NodeProto]) -> None:
    """Write into `doc_string` the name of the network's cell whose output the node's output is, from its parameters.

    Convolutions, batch norms and dense layers have them; pools get theirs in `pools.restore_pools`. Scopes in node
    names are no help: MindSpore gives those of the first of several equal cells to all.
    """
    for node in nodes:
        if node.op_type in (*LAYERS, "BatchNormalization") and node.input[1].endswith((".weight", ".gamma")):
            node.doc_string = stem(node.input[1])


def stem(parameter: str) -> str:
    """The name of the cell that a parameter belongs to; `nn.BatchNorm3d` keeps its own in a cell ``bn2d``."""
    return parameter.rpartition(".")[0].removesuffix(".bn2d")


def tidy_names(graph: Graph) -> None:
    """Name nodes after the network's cells, tensors after the nodes that make them, and merge equal small constants.

    A convolution or dense layer takes its weight's name (``features.3.conv.0``), other nodes that of the layer before
    with the operator appended (``features.3.conv.0/Clip``). Names of the graph's inputs and outputs stay.
    """
    graph.prune()  # what nothing reads shall not take a name
    _merge_constants(graph)
    fixed = {value.name for value in (*graph.inputs, *graph.outputs)}
    taken = fixed | set(graph.constants)  # a cell may be called as they are
    names: dict[str, str] = {}
    layer = "network"
    for node in graph.nodes:
        weight = next((name for name in node.input[1:] if WEIGHT.search(name)), None)
        if weight is not None and node.op_type in LAYERS:
            layer = WEIGHT.sub("", weight)
        name = layer if weight is not None else f"{layer}/{node.op_type}"
        node.name = _free(name, taken)
        for i, tensor in enumerate(node.input):
            node.input[i] = names.get(tensor, tensor)
        for i, tensor in enumerate(node.output):
            if tensor not in fixed:
                names[tensor] = node.name if i == 0 else _free(f"{node.name}.output{i}", taken)
                node.output[i] = names[tensor]


def _free(name: str, taken: set[str]) -> str:
    """`name`, with a number behind it where it is taken; takes it."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}.{number}", number + 1
    taken.add(free)
    return free


def _merge_constants(graph: Graph) -> None:
    """Let equal small constants (bounds of activations, shapes) be one; give each of the others its weight's name."""
    kept: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    renamed: dict[str, str] = {}
    constants: dict[str, np.ndarray] = {}
    taken: set[str] = set()
    for old, value in graph.constants.items():
        plain = _plain(old, value)
        key = (str(value.dtype), value.shape, value.tobytes())
        small = value.ndim <= 1 and plain.startswith(("scalar.", "shape."))
        if small and key in kept:
            renamed[old] = kept[key]
            continue
        name = _free(plain, taken)
        if small:
            kept[key] = name
        renamed[old] = name
        constants[name] = value
    for node in graph.nodes:
        for i, tensor in enumerate(node.input):
            node.input[i] = renamed.get(tensor, tensor)
    graph.constants = constants


def _plain(name: str, value: np.ndarray) -> str:
    """A constant's name without the marks that the passes put on it."""
    plain = re.sub(r"\.(folded|merged|2d|band)(?=\.|$)", "", name)
    if "/" not in plain and not plain.isdigit():  # else a name of MindSpore's own
        return plain
    if value.size == 1:
        return f"scalar.{value.item():g}"
    shape = value.ndim == 1 and value.dtype.kind == "i" and value.size <= LONGEST_SHAPE
    return f"shape.{'x'.join(map(str, value))}" if shape else "constant"
