"""ONNX graphs drawn side by side: what an exporter wrote, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from onnx import ModelProto, NodeProto, helper

from actionbook.results.style import INK, PAPER, QUIET, colour, figure, style

_KINDS = {
    "Conv": 0, "Gemm": 0, "MatMul": 0, "QLinearConv": 0,
    "BatchNormalization": 1,
    "Clip": 2, "Relu": 2, "Sigmoid": 2, "Add": 2, "MaxPool": 2,
    "Reshape": 3, "Transpose": 3, "Gather": 3, "Concat": 3, "Split": 3, "Identity": 3,
}  # fmt: skip
_ROW, _BOX, _WIDTH = 0.30, 0.22, 3.1  # inches: from one box to the next, height and width of a box


def graph_picture(graphs: Sequence[tuple[str, ModelProto]], layers: int = 5) -> Figure:
    """The first `layers` layers of each (title, model), from top to bottom, one column each.

    The layers are those of the first graph, by the names of their weights; the same ones stand beside each other.
    Nodes that only hold a constant stand smaller, at the side.
    """
    names = [name for node in graphs[0][1].graph.node if (name := _layer(node)) is not None][: layers + 1]
    columns = [(title, _before(model, names[layers:])) for title, model in graphs]
    starts, rows = _starts(columns[0][1])
    with style():
        fig, ax = figure(_ROW * rows + 0.55)
        ax.set_axis_off()
        for place, (title, nodes) in enumerate(columns):
            left = 0.75 + place * (_WIDTH + 1.1)
            ax.text(left, 0.32, f"{title}: {len(nodes)} nodes", fontsize=11, weight="bold", color=INK, va="bottom")
            _column(ax, nodes, left, starts)
        ax.set(xlim=(0, 8.2), ylim=(-_ROW * rows, 0.62))
    return fig


def _starts(nodes: Sequence[NodeProto]) -> tuple[dict[str, int], int]:
    """The row at which each layer begins, and the number of rows."""
    starts, row = {}, 0
    for node in nodes:
        if (layer := _layer(node)) is not None:
            starts[layer] = row
        row += node.op_type != "Constant"
    return starts, row


def _column(ax: Axes, nodes: Sequence[NodeProto], left: float, starts: Mapping[str, int]) -> None:
    """One graph; its layers begin at the rows where those of the first graph do."""
    row, constants, bottom = 0, 0, None
    for node in nodes:
        if node.op_type == "Constant":  # drawn beside the node that reads it, which comes next
            constants += 1
            continue
        row = max(row, starts.get(_layer(node) or "", row))
        top = -_ROW * row
        if bottom is not None:
            ax.plot([left + _WIDTH / 2] * 2, [bottom, top], color=QUIET, linewidth=1, zorder=0)
        _box(ax, left, top, _describe(node), colour(_KINDS.get(node.op_type, 4)))
        if constants:
            ax.plot([left - 0.18, left], [top - _BOX / 2] * 2, color=QUIET, linewidth=1)
            ax.plot(left - 0.25, top - _BOX / 2, "s", color=QUIET, markersize=6)
            constants = 0
        bottom, row = top - _BOX, row + 1


def _box(ax: Axes, left: float, top: float, text: str, shade: str) -> None:
    patch = FancyBboxPatch(
        (left, top - _BOX), _WIDTH, _BOX, boxstyle="round,pad=0,rounding_size=0.05", fc=shade, ec="none"
    )
    ax.add_patch(patch)
    ax.text(left + _WIDTH / 2, top - _BOX / 2 - 0.01, text, ha="center", va="center", fontsize=8.5, color=PAPER)


def _before(model: ModelProto, names: Sequence[str]) -> list[NodeProto]:
    """The nodes up to the layer that `names` holds (none: all), without those that only lead on to it."""
    nodes = list(model.graph.node)
    end = next((place for place, node in enumerate(nodes) if _layer(node) in names), len(nodes))
    while end < len(nodes) and nodes[end - 1].op_type in ("Constant", "Reshape"):
        end -= 1
    return nodes[:end]


def _layer(node: NodeProto) -> str | None:
    """The layer that a node computes, by its weight; None for others."""
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return None
    return next((name.removesuffix(".weight") for name in node.input[1:] if name.endswith(".weight")), "")


def _describe(node: NodeProto) -> str:
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Conv":
        kernel = " x ".join(map(str, values["kernel_shape"]))
        groups = values.get("group", 1)
        return f"Conv {kernel}" + (f", {groups} groups" if groups > 1 else "")
    return node.op_type
