"""The padding of an exported network's 3-D layers, beside the rule that TensorFlow calls SAME."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from actionbook.conversion.graph import Graph, attributes, read_model


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after an axis so that ceil(size / stride) positions result; an odd element goes to the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def padding_table(path: Path | str) -> pd.DataFrame:
    """Every 3-D convolution and pool of an ONNX file that needs padding, in order: one row each.

    Columns: operator; input, kernel and stride (T, H, W); pads as the file says them (three begins, three ends); same,
    whether these are explicit and those of `same_padding`. Raises ConversionError for a file that is not ONNX.
    """
    graph = Graph.from_model(read_model(path))
    shapes = graph.shapes()
    rows = []
    for node in graph.nodes:
        values = attributes(node)
        kernel, size = values.get("kernel_shape", []), (shapes.get(node.input[0]) or ())[2:]
        if len(kernel) != 3 or len(size) != 3 or max(kernel) == 1:
            continue
        stride, pads = values.get("strides", [1, 1, 1]), list(values.get("pads", [0] * 6))
        wanted = [same_padding(n, k, s) for n, k, s in zip((n or 0 for n in size), kernel, stride, strict=True)]
        same = values.get("auto_pad", b"NOTSET") == b"NOTSET" and pads == [w[i] for i in (0, 1) for w in wanted]
        rows.append((node.op_type, tuple(size), tuple(kernel), tuple(stride), pads, same))
    return pd.DataFrame(rows, columns=["operator", "input", "kernel", "stride", "pads", "same"])
