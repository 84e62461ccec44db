"""The rules by which a node of an ONNX graph is judged before it meets ATC: one function, one rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from onnx import TensorProto

from actionbook.conversion.ascend_operators import AscendOperators, Opsets, Range, Verdict, holds, shown_opsets
from actionbook.conversion.graph import Sizes

ONNX_DOMAINS = ("", "ai.onnx")
EXPLICIT = "write explicit pads (export_onnx does)"


@dataclass(frozen=True)
class NodeFacts:
    """What the rules look at of one node."""

    name: str
    operator: str
    domain: str
    values: dict[str, Any]  # attributes
    shapes: tuple[Sizes | None, ...]  # of the inputs; None where not known
    dtypes: frozenset[int]  # onnx.TensorProto's, of inputs and outputs
    outputs: int  # that have a name

    @property
    def windows(self) -> int | None:
        """Number of the kernel's spatial axes, None where there is no kernel or its shape is not known."""
        if "kernel_shape" in self.values:
            return len(self.values["kernel_shape"])
        return self.rank - 2 if self.rank is not None and self.operator in ("Conv", "ConvTranspose") else None

    @property
    def rank(self) -> int | None:
        """Axes of the first input: the kernel's and two where it is written, as ATC goes by it, else the tensor's."""
        if "kernel_shape" in self.values:
            return len(self.values["kernel_shape"]) + 2
        if "perm" in self.values:
            return len(self.values["perm"])
        return len(self.shapes[0]) if self.shapes and self.shapes[0] is not None else None

    @property
    def kernel(self) -> Sizes:
        """The kernel's spatial sizes, from the weights where the attribute is left out; () where unknown."""
        if "kernel_shape" in self.values:
            return tuple(self.values["kernel_shape"])
        weight = self.shapes[1] if self.operator == "Conv" and len(self.shapes) > 1 else None
        return weight[2:] if weight is not None else ()

    @property
    def auto_pad(self) -> str:
        """The attribute, or ONNX's default."""
        return str(self.values.get("auto_pad", b"NOTSET").decode())


@dataclass(frozen=True)
class Target:
    """The release of CANN and the chip that a graph is judged for."""

    facts: AscendOperators
    cann: str  # as asked for
    release: str  # the list that covers it
    family: str
    opset: int  # of the graph

    @cached_property
    def accepted(self) -> dict[str, Opsets]:
        """The release's list: operator -> opsets, none where the list does not say for which."""
        return self.facts.accepted(self.release)

    @cached_property
    def elsewhere(self) -> dict[str, list[str]]:
        """Operator -> the other lists that have it."""
        found: dict[str, list[str]] = {}
        for name, release in self.facts.releases.items():
            if name != self.release and release.operators.between is None:
                for operator in self.facts.accepted(name):
                    found.setdefault(operator, []).append(name)
        return found


@dataclass(frozen=True)
class Finding:
    """Something that speaks against a node; `verdict` "fine" is a remark."""

    verdict: Verdict
    why: str
    remedy: str


Findings = Iterator[Finding]
NodeRule = Callable[[NodeFacts, Target], Findings]


def listed(node: NodeFacts, target: Target) -> Findings:
    """The operator must be on the release's list, for the graph's opset where the list says for which."""
    opsets = target.accepted.get(node.operator)
    bounds = target.facts.releases[target.release].opsets.mentioned
    remedy = target.facts.remedy_for(node.operator)
    if node.domain not in ONNX_DOMAINS:
        yield Finding("refused", f"domain {node.domain!r}: a custom operator needs a plugin of its own", remedy)
    elif opsets is not None:
        # An opset outside the release's range is said once, for the graph, and not again at every node.
        if holds((bounds,), target.opset) and not holds(opsets, target.opset):
            why = f"registered for opsets {shown_opsets(opsets)}, the graph has {target.opset}"
            yield Finding("refused", why, f"export with one of these opsets, or: {remedy}")
    elif node.operator in target.elsewhere:
        others = " and ".join(target.elsewhere[node.operator])
        yield Finding(
            "risky", f"not on the list for CANN {target.cann}, but on that of {others}", f"try it, or: {remedy}"
        )
    else:
        yield Finding("refused", "on no list of operators that ATC accepts (E16002, E19010)", remedy)


def ranks(node: NodeFacts, target: Target) -> Findings:
    """Tensors of more or fewer axes than the operator takes."""
    for rule in target.facts.ranks:
        if rule.concerns(node.operator, target.release):
            least, most = rule.accepted
            if node.rank is None:
                yield _unknown_rank()
            elif not least <= node.rank <= most:
                yield Finding(rule.otherwise, f"{node.rank} axes: {rule.why}", rule.remedy)


def _unknown_rank() -> Finding:
    why = "the shape of its input is not known, so its limits are not checked"
    return Finding("risky", why, "write static shapes into the graph")


def ranges(node: NodeFacts, target: Target) -> Findings:
    """Strides, dilations, kernels, pads and widths outside what the hardware takes."""
    for rule in target.facts.ranges:
        if node.windows == rule.windows and rule.concerns(node.operator, target.release):
            yield from _outside(node, rule)


def _outside(node: NodeFacts, rule: Range) -> Findings:
    axes = {"all": range(rule.windows), "depth": range(1), "plane": range(rule.windows - 2, rule.windows)}[rule.axes]
    where = {"all": "", "depth": " along the depth", "plane": " along height and width"}[rule.axes]
    for value, (least, most) in rule.limits.items():
        if value == "width":
            sizes: Sizes = node.shapes[0][-1:] if node.shapes and node.shapes[0] else ()
        else:
            given = node.kernel if value == "kernel_shape" else tuple(node.values.get(value, ()))
            # Pads come as all begins, then all ends: two entries for each axis.
            sizes = tuple(size for i, size in enumerate(given) if i % rule.windows in axes)
        wrong = sorted({size for size in sizes if size is not None and not least <= size <= most})
        if wrong:
            allowed = f"only {least}" if least == most else f"{least} to {most}"
            why = f"{value} {', '.join(map(str, wrong))}{where}: {allowed} is taken"
            yield Finding(rule.otherwise, why, "split the layer, or choose values within")


def auto_pad(node: NodeFacts, target: Target) -> Findings:
    """`auto_pad` on 5-D tensors, which ATC refuses, ignores or misreads."""
    for rule in target.facts.auto_pad:
        if node.windows == 3 and rule.concerns(node.operator, target.release) and node.auto_pad not in rule.accepted:
            yield Finding(rule.otherwise, f"auto_pad {node.auto_pad} on a 5-D tensor: {rule.effect}", EXPLICIT)


def conv_groups(node: NodeFacts, target: Target) -> Findings:
    """Grouped and depthwise 3-D convolutions, of which documents and experience say different things."""
    group = node.values.get("group", 1)
    if node.operator == "Conv" and node.windows == 3 and group > 1:
        known = target.facts.families[target.family].conv3d_groups
        why = f"5-D Conv with group > 1: older documentation of Conv3D demands 1 [D]; {known}"
        yield Finding("risky", why, "export with depthwise='banded', which computes it as a 2-D convolution")


def conv_form(node: NodeFacts, target: Target) -> Findings:
    """ATC tells 2-D from 3-D convolutions by their attributes, not by their weights (conv_onnx_plugin.cpp)."""
    if node.operator == "Conv" and not any(v in node.values for v in ("kernel_shape", "strides", "dilations", "pads")):
        why = "none of kernel_shape, strides, dilations and pads is written: ATC cannot tell 2-D from 3-D"
        yield Finding("refused", why, "write kernel_shape and pads (export_onnx does)")


def pools(node: NodeFacts, target: Target) -> Findings:
    """5-D pools that the chip's operator repository marks as unsupported."""
    for pool in target.facts.pools:
        if node.operator == pool.operator and node.windows == 3 and target.family in pool.families:
            yield Finding("risky", f"5-D {node.operator}: {pool.why}", "use ReduceMean, or two 2-D pools")


def max_pool(node: NodeFacts, target: Target) -> Findings:
    """What the MaxPool plugin does not take (max_pool_onnx_plugin.cpp)."""
    if node.operator != "MaxPool":
        return
    if node.outputs > 1:
        yield Finding("refused", "the second output, Indices, is not supported", "use the first output only")
    if node.values.get("storage_order", 0) != 0:
        yield Finding("refused", "storage_order 1: only 0 is supported", "use row-major order")
    if node.auto_pad != "NOTSET" and any(node.values.get("pads", ())):
        yield Finding("risky", "auto_pad and pads together: one of them is ignored", EXPLICIT)
    limit = target.facts.max_pool
    if node.windows == 2 and target.family not in limit.exempt:
        area, stride = math.prod(node.values["kernel_shape"]), max(node.values.get("strides", (1,)))
        if area > limit.kernel_product or stride > limit.stride:
            why = f"a window above {limit.kernel_product} places or a stride above {limit.stride} runs on the AI CPU"
            yield Finding("risky", f"{why}, slowly", "pool in two steps")


def pad(node: NodeFacts, target: Target) -> Findings:
    """Pad on 5-D tensors is known to work with constants only."""
    mode = node.values.get("mode", b"constant").decode()
    if node.operator == "Pad" and mode != "constant":
        if node.rank is None:
            yield _unknown_rank()
        elif node.rank >= 5:
            why = f"mode {mode} on {node.rank} axes: only constant is known to work"
            yield Finding("risky", why, "pad with a constant")


def roi_align(node: NodeFacts, target: Target) -> Findings:
    """RoiAlign is taken; before opset 16 the half-pixel offset cannot be written."""
    if node.operator == "RoiAlign" and target.opset < 16:
        why = "before opset 16 boxes are read without the half-pixel offset (output_half_pixel)"
        yield Finding("fine", why, "shift the boxes by half a pixel where the network was trained with the offset")


def dtypes(node: NodeFacts, target: Target) -> Findings:
    """64-bit floating point, which the AI Core does not compute."""
    if TensorProto.DOUBLE in node.dtypes:
        why = "float64: the AI Core computes in 16 and 32 bits; ATC may find no kernel (EZ3002) or use the AI CPU"
        yield Finding("risky", why, "cast to float32 before export")


RULES: tuple[NodeRule, ...] = (
    listed,
    ranks,
    ranges,
    auto_pad,
    conv_groups,
    conv_form,
    pools,
    max_pool,
    pad,
    roi_align,
    dtypes,
)
