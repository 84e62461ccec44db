"""Pooling put right. MindSpore's ONNX exporter writes a padded pool as SAME and drops `ceil_mode`: the file no longer
says what was meant. The same network as MINDIR does, so the geometry is read there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from mindspore.train.mind_ir_pb2 import AttributeProto, ModelProto
from onnx import NodeProto

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Graph, Sizes, attributes, set_attribute

POOLS = ("MaxPool", "AveragePool")
_PRIMITIVES = ("MaxPool", "MaxPool3D")


@dataclass(frozen=True)
class Pool:
    """The geometry of one max pool as MindSpore computes it; one entry for each spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    mode: str
    """"VALID", "SAME" or "CALCULATED" (pads as given)."""
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    ceil: bool
    cell: str = ""
    """The network's cell that pools, "" where the network itself does."""


def needs_pools(model: onnx.ModelProto) -> bool:
    """Whether there is a max pool in a fresh export: its padding may not be what it says."""
    return any(node.op_type == "MaxPool" for node in model.graph.node)


def recorded_pools(model: ModelProto) -> list[Pool]:
    """The max pools of a graph as MINDIR has it, in order of execution."""
    primitives = {primitive.name: primitive for primitive in model.primitives}
    pools = []
    for node in model.graph.node:
        primitive = primitives.get(node.op_type.removeprefix("REF::"))
        if primitive is None or primitive.op_type not in _PRIMITIVES:
            continue
        values = {attribute.name: _value(attribute) for attribute in primitive.attribute}
        kernel, strides = tuple(values["kernel_size"][2:]), tuple(values["strides"][2:])
        pads = values.get("pad_list") or (0,) * (2 * len(kernel))
        ceil, cell = bool(values.get("ceil_mode", 0)), _cell(node.domain)
        pools.append(Pool(kernel, strides, values["pad_mode"], pads[0::2], pads[1::2], ceil, cell))
    return pools


def restore_pools(graph: Graph, pools: list[Pool]) -> None:
    """Write the true padding into every MaxPool of a fresh export of the same network.

    A pool that really is SAME keeps `auto_pad`, and one that rounds sizes up gets `ceil_mode`; both are turned into
    explicit pads later, when shapes are known. Raises ConversionError where the two exports do not belong together.
    """
    nodes = [node for node in graph.nodes if node.op_type == "MaxPool"]
    geometry = [_geometry(node) for node in nodes]
    if geometry != [(pool.kernel, pool.strides) for pool in pools]:
        raise ConversionError(
            f"the network's pools have kernels and strides {[(p.kernel, p.strides) for p in pools]}, those of the ONNX "
            f"export {geometry}: their padding cannot be restored"
        )
    for node, pool in zip(nodes, pools, strict=True):
        if pool.mode == "CALCULATED":
            set_attribute(node, "auto_pad", None)
            set_attribute(node, "pads", [*pool.begins, *pool.ends])
        if pool.ceil:
            set_attribute(node, "ceil_mode", 1)
        node.doc_string = pool.cell


def extend_for_ceil(graph: Graph) -> None:
    """Replace `ceil_mode` of max pools by padding at the ends, which gives the same windows; runtimes differ there."""
    nodes = [node for node in graph.nodes if node.op_type == "MaxPool" and attributes(node).get("ceil_mode", 0)]
    shapes = graph.shapes() if nodes else {}
    for node in nodes:
        values = attributes(node)
        rank = len(values["kernel_shape"])
        strides, pads = values.get("strides", [1] * rank), list(values["pads"])
        sizes = shapes.get(node.input[0], ())[2:]
        for axis, size in enumerate(sizes):
            if size is None:
                raise ConversionError(f"node {node.name or node.output[0]!r}: ceil_mode on a size that is not static")
            whole = size + pads[axis] + pads[rank + axis] - values["kernel_shape"][axis]
            pads[rank + axis] += -whole % strides[axis]
            if pads[rank + axis] >= values["kernel_shape"][axis]:
                raise ConversionError(
                    f"node {node.name or node.output[0]!r}: with ceil_mode the last window of axis {axis + 2} sees "
                    "nothing but padding, which ONNX does not have; use a stride of at most kernel - padding there"
                )
        set_attribute(node, "ceil_mode", None)
        set_attribute(node, "pads", pads)


def count_the_padding(graph: Graph) -> None:
    """Make one pool that counts its padding of a mean of what is there, times the share of each window that is there.

    MindSpore has no such 2-D pool that it can export, so a network multiplies (`models.eco.EqualPool`). Pads must be
    explicit and sizes static; elsewhere nothing changes.
    """
    pools = [node for node in graph.nodes if node.op_type == "AveragePool"]
    shapes, consumers = graph.shapes() if pools else {}, graph.consumers()
    gone = []
    for node in pools:
        users = consumers[node.output[0]]
        if len(users) != 1 or users[0].op_type != "Mul":
            continue
        factor = graph.constants.get(next((name for name in users[0].input if name != node.output[0]), ""))
        shares = _shares(node, shapes.get(node.input[0], ())[2:])
        if factor is None or shares is None or factor.shape[-shares.ndim :] != shares.shape:
            continue
        if factor.size == shares.size and np.allclose(factor, shares.astype(factor.dtype), rtol=1e-6, atol=0):
            set_attribute(node, "count_include_pad", 1)
            node.output[0], node.doc_string = users[0].output[0], users[0].doc_string
            gone.append(users[0])
    graph.drop(gone)


def _shares(node: NodeProto, sizes: Sizes) -> np.ndarray | None:
    """What share of each window lies within the tensor, one axis for each size; None where that is not to be known."""
    values = attributes(node)
    kernel, none = values["kernel_shape"], [0] * (2 * len(values["kernel_shape"]))
    pads, ones = values.get("pads", none), [1] * len(kernel)
    mode = values.get("auto_pad", b"NOTSET")
    if (
        len(sizes) != len(kernel)
        or mode != b"NOTSET"
        or any(values.get(k, 0) for k in ("ceil_mode", "count_include_pad"))
    ):
        return None
    shares = np.ones(())
    axes = zip(sizes, kernel, values.get("strides", ones), pads, pads[len(kernel) :], strict=False)
    for size, window, stride, begin, end in axes:
        if size is None:
            return None
        starts = np.arange(0, size + begin + end - window + 1, stride) - begin
        inside = np.minimum(starts + window, size) - np.maximum(starts, 0)
        shares = np.multiply.outer(shares, inside / window)
    return shares


def _geometry(node: NodeProto) -> tuple[tuple[int, ...], tuple[int, ...]]:
    values = attributes(node)
    kernel = tuple(values["kernel_shape"])
    return kernel, tuple(values.get("strides", (1,) * len(kernel)))


def _cell(scope: str) -> str:
    """The cell's name in a scope such as ``Default/network-Net/stem-SequentialCell/2-MaxPool3d/MaxPool3D-op0``."""
    return ".".join(part.rpartition("-")[0] for part in scope.split("/")[2:-1])


def _value(attribute: AttributeProto) -> Any:
    """A MINDIR attribute as a Python value: whole number, text or tuple of whole numbers."""
    if attribute.type == AttributeProto.TUPLE:
        return tuple(value.ints[0] if value.ints else value.i for value in attribute.values)
    return attribute.s.decode() if isinstance(attribute.s, bytes) and attribute.s else attribute.s or attribute.i
