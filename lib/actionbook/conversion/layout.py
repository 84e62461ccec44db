"""3-D convolutions computed as 2-D ones, for which runtimes have the faster kernels.

The values of a ``(N, C, T, H, W)`` tensor can be read, without moving any, as ``(N, C*T, H, W)``. A 3-D convolution is
a 2-D convolution on this view, with weights spread along a band: T/kT times the multiplications, which pays for
depthwise ones, and wherever few frames are left, when most taps read nothing but padding. The rewrite keeps for every
tensor the views that exist already and adds a Reshape only where a node needs another. Where T is 1, pointwise
convolutions work on the same view, and no Reshape is left between the layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from actionbook.conversion.bands import MOST, band_weight, group_factor, merge_groups
from actionbook.conversion.fold import is_pointwise
from actionbook.conversion.graph import Graph, Sizes, attributes

View = tuple[int, ...]  # sizes without the batch

DENSE_COST = 0.7
"""A dense convolution is rewritten where the band needs at most this share of its multiplications."""

# One input, one output, every value on its own: they run on whatever view there is.
UNARY = frozenset({"Clip", "Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSigmoid", "Exp", "Sqrt", "Identity"})
BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min"})


def use_2d_convolutions(graph: Graph) -> None:
    """Rewrite depthwise 3-D convolutions as 2-D ones, and pointwise ones of one frame; the rest sees 5-D tensors."""
    shapes = graph.shapes()
    rewriter = _Rewriter(graph, shapes)
    for node in graph.nodes:
        rewriter.visit(node)
    for value in graph.outputs:
        rewriter.restore(value.name)
    graph.nodes = rewriter.nodes
    graph.prune()


@dataclass
class _Rewriter:
    graph: Graph
    shapes: dict[str, Sizes]
    nodes: list[NodeProto] = field(default_factory=list)
    views: dict[str, dict[View, str]] = field(default_factory=dict)  # original tensor -> view -> tensor that holds it

    def visit(self, node: NodeProto) -> None:
        view = self.full_view(node.input[0]) if node.input else None
        out = self.full_view(node.output[0]) if node.output else None
        if view is None or out is None:
            self.keep(node)
        elif node.op_type == "Conv" and len(view) == 4 and self.is_flat(node, view):
            self.pointwise(node, view)
        elif node.op_type == "Conv" and len(view) == 4 and self.pays(node, view):
            self.banded(node, view, out)
        elif node.op_type in UNARY and all(name in self.graph.constants for name in node.input[1:] if name):
            chosen = next(iter(self.known(node.input[0])))
            self.emit(node, [self.get(node.input[0], chosen), *node.input[1:]], chosen)
        elif node.op_type in BINARY and len(node.input) == 2 and self.full_view(node.input[1]) == view:
            first, second = (self.known(name) for name in node.input)
            chosen = next((v for v in first if v in second), next(iter(first)))
            self.emit(node, [self.get(name, chosen) for name in node.input], chosen)
        elif node.op_type in ("Concat", "Split", "Gather") and attributes(node).get("axis", 0) == 1 and len(view) == 4:
            self.channels(node, view)
        elif node.op_type == "ReduceMean" and self.is_global(node, view):
            self.global_mean(node, view)
        else:
            self.keep(node)

    def full_view(self, name: str) -> View | None:
        """Static sizes without the batch, None where unknown or a constant."""
        shape = self.shapes.get(name)
        if shape is None or len(shape) < 2 or name in self.graph.constants:
            return None
        sizes = tuple(size for size in shape[1:] if size is not None)
        return sizes if len(sizes) == len(shape) - 1 else None

    def known(self, name: str) -> dict[View, str]:
        """The views of a tensor that exist at this point."""
        if name not in self.views:
            full = self.full_view(name)
            self.views[name] = {full: name} if full is not None else {}
        return self.views[name]

    def get(self, name: str, view: View) -> str:
        """The tensor that holds `name` in this view, made by a Reshape if there is none yet."""
        known = self.known(name)
        if view not in known:
            self.reshape(name, view, f"{name}.{_label(view)}")
        return known[view]

    def reshape(self, name: str, view: View, target: str) -> None:
        """Append a Reshape that makes `view` of tensor `name` as `target`; 0 keeps the batch, whatever it is."""
        known = self.known(name)
        shape = f"shape.{_label(view)}"
        self.graph.constants[shape] = np.array([0, *view], np.int64)
        self.nodes.append(helper.make_node("Reshape", [next(iter(known.values())), shape], [target]))
        known[view] = target

    def emit(self, node: NodeProto, inputs: list[str], view: View, **changes: Any) -> None:
        """Append `node` on other inputs, with some attributes changed; its output exists in `view`."""
        name = node.output[0]
        tensor = name if view == self.full_view(name) else f"{name}.{_label(view)}"
        values = {**attributes(node), **changes}
        self.nodes.append(helper.make_node(node.op_type, inputs, [tensor], node.name, node.doc_string, **values))
        self.views[name] = {view: tensor}

    def keep(self, node: NodeProto) -> None:
        """Append `node` as it is; its inputs are wanted in their own shape."""
        for name in node.input:
            self.restore(name)
        self.nodes.append(node)

    def restore(self, name: str) -> None:
        """Make sure that tensor `name` exists under its own name."""
        full = self.full_view(name)
        if name not in self.views or full is None or full in self.views[name]:
            return
        self.reshape(name, full, name)

    def is_flat(self, node: NodeProto, view: View) -> bool:
        """Whether a convolution looks at single pixels, and of one frame or in groups; dense ones gain nothing else."""
        return is_pointwise(self.graph, node) and (view[1] == 1 or attributes(node).get("group", 1) > 1)

    def pointwise(self, node: NodeProto, view: View) -> None:
        """Conv3D 1x1x1 -> Conv2D 1x1 on (N, C, T*H, W)."""
        weight = self.graph.constants[node.input[1]]
        name = self.graph.add_constant(f"{node.input[1]}.2d", weight.reshape(*weight.shape[:2], 1, 1))
        inputs = [self.get(node.input[0], (view[0], view[1] * view[2], view[3])), name, *node.input[2:]]
        two = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
        self.emit(node, inputs, (weight.shape[0], view[1] * view[2], view[3]), **two)

    def pays(self, node: NodeProto, view: View) -> bool:
        """Whether the band is small enough: few channels in a group, or few frames in a dense convolution."""
        if not all(name in self.graph.constants for name in node.input[1:]):
            return False
        weight, frames = self.graph.constants[node.input[1]], view[1]
        if attributes(node).get("group", 1) > 1:
            return weight.shape[1] * frames <= MOST
        return frames <= DENSE_COST * weight.shape[2]

    def banded(self, node: NodeProto, view: View, out: View) -> None:
        """Conv3D -> Conv2D on (N, C*T, H, W), in as many groups or fewer."""
        values = attributes(node)
        weight = self.graph.constants[node.input[1]]
        strides, dilations = values.get("strides", [1, 1, 1]), values.get("dilations", [1, 1, 1])
        pads, groups = values.get("pads", [0] * 6), values.get("group", 1)
        band = band_weight(weight, view[1], out[1], stride=strides[0], dilation=dilations[0], pad=pads[0])
        factor = group_factor(groups, band.shape[1], band.shape[0] // groups)
        band = merge_groups(band, groups, factor)
        inputs = [
            self.get(node.input[0], (view[0] * view[1], *view[2:])),
            self.graph.add_constant(f"{node.input[1]}.band", band),
        ]
        if len(node.input) > 2:
            bias = np.repeat(self.graph.constants[node.input[2]], out[1])
            inputs.append(self.graph.add_constant(f"{node.input[2]}.band", bias))
        two = {"kernel_shape": weight.shape[3:], "strides": strides[1:], "dilations": dilations[1:]}
        two["group"] = groups // factor
        self.emit(node, inputs, (out[0] * out[1], *out[2:]), pads=[*pads[1:3], *pads[4:6]], **two)

    def channels(self, node: NodeProto, view: View) -> None:
        """Concat, Split or Gather along the channels, on whatever view its inputs share: channels come first in all."""
        inputs = list(node.input[:1] if node.op_type == "Gather" else node.input)
        full = [self.full_view(name) for name in (*inputs, *node.output)]
        fixed = node.op_type != "Gather" or node.input[1] in self.graph.constants
        if not fixed or any(v is None or v[1:] != view[1:] for v in full):
            self.keep(node)
            return
        channels = {name: v[0] for name, v in zip((*inputs, *node.output), full, strict=True) if v is not None}

        def like(chosen: View, name: str) -> View:
            return (chosen[0] // view[0] * channels[name], *chosen[1:])

        views = [v for v in self.known(inputs[0]) if v[0] % view[0] == 0]
        chosen = next((v for v in views if all(like(v, name) in self.known(name) for name in inputs)), views[0])
        factor = chosen[0] // view[0]
        tensors = [self.get(name, like(chosen, name)) for name in inputs]
        values = attributes(node)
        if node.op_type == "Split":
            values["split"] = [part * factor for part in values["split"]]
        if node.op_type == "Gather":  # below 0 it counts from the end, and so does its block
            order = self.graph.constants[node.input[1]].ravel()[:, np.newaxis] * factor + np.arange(factor)
            tensors.append(self.graph.add_constant(f"{node.input[1]}.x{factor}", order.ravel()))
        outputs = []
        for name in node.output:
            target = like(chosen, name)
            outputs.append(name if target == self.full_view(name) else f"{name}.{_label(target)}")
            self.views[name] = {target: outputs[-1]}
        self.nodes.append(helper.make_node(node.op_type, tensors, outputs, node.name, node.doc_string, **values))

    def is_global(self, node: NodeProto, view: View) -> bool:
        values = attributes(node)
        return values.get("keepdims", 1) == 0 and sorted(values.get("axes", ())) == list(range(2, len(view) + 1))

    def global_mean(self, node: NodeProto, view: View) -> None:
        """A mean over everything but batch and channels runs on any view that keeps the channels apart."""
        known = self.known(node.input[0])
        chosen = next((v for v in known if v[0] == view[0] and len(v) > 1), view)
        tensor = self.get(node.input[0], chosen)
        values: dict[str, Any] = {"axes": list(range(2, len(chosen) + 1)), "keepdims": 0}
        outputs = list(node.output)
        self.nodes.append(helper.make_node("ReduceMean", [tensor], outputs, node.name, node.doc_string, **values))


def _label(view: View) -> str:
    return "x".join(map(str, view))
