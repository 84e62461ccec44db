"""Readable names for nodes and tensors."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from actionbook.conversion.graph import Graph


def tidy_names(graph: Graph) -> None:
    """Name nodes after the network's cells, tensors after the nodes that make them, and merge equal small constants.

    A convolution or dense layer takes its weight's name (``features.3.conv.0``), other nodes that of the layer before
    with the operator appended (``features.3.conv.0/Clip``). Names of the graph's inputs and outputs stay.
    """
    _merge_constants(graph)
    fixed = {value.name for value in (*graph.inputs, *graph.outputs)}
    names: dict[str, str] = {}
    used: Counter[str] = Counter()
    layer = "network"
    for node in graph.nodes:
        weight = next((name for name in node.input[1:] if name.endswith(".weight")), None)
        if weight is not None and node.op_type in ("Conv", "Gemm", "MatMul"):
            layer = weight.removesuffix(".weight")
        name = layer if weight is not None else f"{layer}/{node.op_type}"
        used[name] += 1
        node.name = name if used[name] == 1 else f"{name}.{used[name]}"
        for i, tensor in enumerate(node.input):
            node.input[i] = names.get(tensor, tensor)
        for i, tensor in enumerate(node.output):
            if tensor not in fixed:
                names[tensor] = node.name if i == 0 else f"{node.name}.output{i}"
                node.output[i] = names[tensor]


def _merge_constants(graph: Graph) -> None:
    """Let equal small constants (bounds of activations, shapes) be one; give each of the others its weight's name."""
    kept: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    renamed: dict[str, str] = {}
    constants: dict[str, np.ndarray] = {}
    for old, value in graph.constants.items():
        plain = _plain(old, value)
        key = (str(value.dtype), value.shape, value.tobytes())
        small = value.ndim <= 1 and plain.startswith(("scalar.", "shape."))
        if small and key in kept:
            renamed[old] = kept[key]
            continue
        name, number = plain, 2
        while name in constants:
            name, number = f"{plain}.{number}", number + 1
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
    if "/" in plain or plain[:1].isdigit():  # MindSpore's internal names
        return f"scalar.{value.item():g}" if value.size == 1 else f"shape.{'x'.join(map(str, value.ravel()))}"
    return plain
