"""Depthwise 3-D convolutions computed as 2-D ones, for which runtimes have the faster kernels.

The values of a ``(N, C, T, H, W)`` tensor can be read, without moving any, as ``(N, C*T, H, W)``. A depthwise 3-D
convolution is a grouped 2-D convolution on this view, with weights spread along a band. The rewrite keeps for every
tensor the views that exist already and adds a Reshape only where a node needs another. Where T is 1, pointwise
convolutions work on the same view, and no Reshape is left between the layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from actionbook.conversion.fold import is_pointwise
from actionbook.conversion.graph import Graph, Shape, attributes

View = tuple[int, ...]  # sizes without the batch

BLOCK = 16  # channels in a block of ONNX Runtime's blocked kernels with AVX-512; AVX2's 8 divides it
MOST = 32  # channels that a group may read; the band is mostly zeros, and with more it costs more than it gains

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
    shapes: dict[str, Shape]
    nodes: list[NodeProto] = field(default_factory=list)
    views: dict[str, dict[View, str]] = field(default_factory=dict)  # original tensor -> view -> tensor that holds it

    def visit(self, node: NodeProto) -> None:
        view = self.full_view(node.input[0]) if node.input else None
        out = self.full_view(node.output[0]) if node.output else None
        if view is None or out is None:
            self.keep(node)
        elif node.op_type == "Conv" and len(view) == 4 and view[1] == 1 and is_pointwise(self.graph, node):
            self.pointwise(node, view)
        elif node.op_type == "Conv" and len(view) == 4 and self.is_depthwise(node, view):
            self.depthwise(node, view, out)
        elif node.op_type in UNARY and all(name in self.graph.constants for name in node.input[1:] if name):
            chosen = next(iter(self.known(node.input[0])))
            self.emit(node, [self.get(node.input[0], chosen), *node.input[1:]], chosen)
        elif node.op_type in BINARY and len(node.input) == 2 and self.full_view(node.input[1]) == view:
            first, second = (self.known(name) for name in node.input)
            chosen = next((v for v in first if v in second), next(iter(first)))
            self.emit(node, [self.get(name, chosen) for name in node.input], chosen)
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
        self.nodes.append(helper.make_node(node.op_type, inputs, [tensor], node.name, **values))
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

    def pointwise(self, node: NodeProto, view: View) -> None:
        """Conv3D 1x1x1 on one frame -> Conv2D 1x1 on (N, C, H, W)."""
        weight = self.graph.constants[node.input[1]]
        name = self.graph.add_constant(f"{node.input[1]}.2d", weight.reshape(*weight.shape[:2], 1, 1))
        inputs = [self.get(node.input[0], (view[0], *view[2:])), name, *node.input[2:]]
        two = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
        self.emit(node, inputs, (weight.shape[0], *view[2:]), **two)

    def is_depthwise(self, node: NodeProto, view: View) -> bool:
        """Whether every channel has a filter of its own, and there are few enough frames for a band to pay."""
        if view[1] > MOST or not all(name in self.graph.constants for name in node.input[1:]):
            return False
        weight = self.graph.constants[node.input[1]]
        return attributes(node).get("group", 1) == view[0] and weight.shape[:2] == (view[0], 1)

    def depthwise(self, node: NodeProto, view: View, out: View) -> None:
        """Depthwise Conv3D -> Conv2D on (N, C*T, H, W), a group for each channel or for several."""
        values = attributes(node)
        weight = self.graph.constants[node.input[1]]
        strides, dilations = values.get("strides", [1, 1, 1]), values.get("dilations", [1, 1, 1])
        pads = values.get("pads", [0] * 6)
        band = band_weight(weight, view[1], out[1], stride=strides[0], dilation=dilations[0], pad=pads[0])
        groups = view[0] // group_factor(view[0], view[1], out[1])
        band = merge_groups(band, view[0], groups)
        inputs = [
            self.get(node.input[0], (view[0] * view[1], *view[2:])),
            self.graph.add_constant(f"{node.input[1]}.band", band),
        ]
        if len(node.input) > 2:
            bias = np.repeat(self.graph.constants[node.input[2]], out[1])
            inputs.append(self.graph.add_constant(f"{node.input[2]}.band", bias))
        two = {"group": groups, "kernel_shape": weight.shape[3:], "strides": strides[1:], "dilations": dilations[1:]}
        self.emit(node, inputs, (out[0] * out[1], *out[2:]), pads=[*pads[1:3], *pads[4:6]], **two)

    def is_global(self, node: NodeProto, view: View) -> bool:
        values = attributes(node)
        return values.get("keepdims", 1) == 0 and sorted(values.get("axes", ())) == list(range(2, len(view) + 1))

    def global_mean(self, node: NodeProto, view: View) -> None:
        """A mean over everything but batch and channels runs on any view that keeps the channels apart."""
        known = self.known(node.input[0])
        chosen = next((v for v in known if v[0] == view[0] and len(v) > 1), view)
        tensor = self.get(node.input[0], chosen)
        values: dict[str, Any] = {"axes": list(range(2, len(chosen) + 1)), "keepdims": 0}
        self.nodes.append(helper.make_node("ReduceMean", [tensor], list(node.output), node.name, **values))


def _label(view: View) -> str:
    return "x".join(map(str, view))


def band_weight(
    weight: np.ndarray, frames: int, out_frames: int, *, stride: int = 1, dilation: int = 1, pad: int = 1
) -> np.ndarray:
    """Depthwise weights (C, 1, kT, kH, kW) -> (C * out_frames, frames, kH, kW) of the 2-D convolution.

    Tap k of output frame o reads input frame ``o * stride - pad + k * dilation``; taps beyond the ends read padding
    and are left out; frames that no tap reads get zeros.
    """
    channels, _, taps, height, width = weight.shape
    band = np.zeros((channels, out_frames, frames, height, width), weight.dtype)
    for o in range(out_frames):
        for k in range(taps):
            i = o * stride - pad + k * dilation
            if 0 <= i < frames:
                band[:, o, i] = weight[:, 0, k]
    return band.reshape(channels * out_frames, frames, height, width)


def group_factor(channels: int, frames: int, out_frames: int) -> int:
    """How many channels should share a group of the banded convolution.

    ONNX Runtime has its fast, blocked 2-D kernels for groups that read and write multiples of 16 channels; joining
    channels makes them so, at the price of more zeros. Measured on MobileNetV2-3D: 1.1 to 1.15 times as fast as one
    channel a group. 1 where no factor up to 32 read channels does, or where there is but one frame (truly depthwise).
    """
    if frames == out_frames == 1:
        return 1
    for factor in range(1, MOST // frames + 1):
        if channels % factor == 0 and factor * frames % BLOCK == 0 and factor * out_frames % BLOCK == 0:
            return factor
    return 1


def merge_groups(weight: np.ndarray, channels: int, groups: int) -> np.ndarray:
    """Weights (C*T_out, T, kH, kW) of C groups -> (C*T_out, T * C/groups, kH, kW) of fewer, block-diagonal in each."""
    factor = channels // groups
    total, frames, height, width = weight.shape
    blocks = weight.reshape(groups, factor, total // channels, frames, height, width)
    merged = np.zeros((groups, factor, total // channels, factor, frames, height, width), weight.dtype)
    for i in range(factor):
        merged[:, i, :, i] = blocks[:, i]
    return merged.reshape(total, factor * frames, height, width)
