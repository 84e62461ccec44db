"""Which nodes of an ONNX graph will Ascend's ATC accept? Answered from lists and limits, without ATC.

ATC itself has the last word. The lists are in ``ascend_operators.yaml``, the rules in `preflight_rules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd
from onnx import GraphProto, ModelProto, NodeProto, shape_inference

from actionbook.conversion.ascend_operators import Verdict, ascend_operators, holds, soc_family
from actionbook.conversion.graph import Sizes, attributes, model_inputs, open_sizes, read_model, value_sizes
from actionbook.conversion.preflight_rules import ONNX_DOMAINS, RULES, Finding, NodeFacts, Target

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # the worst last
GRAPH = "(graph)"


@dataclass(frozen=True)
class Row:
    """The judgement on one node, one input (operator "(input)") or the graph as a whole (node "(graph)")."""

    node: str
    operator: str
    verdict: Verdict
    why: str  # "" where there is nothing to say
    remedy: str


@dataclass(frozen=True)
class Preflight:
    """What ATC of one CANN release can be expected to say of an ONNX graph for one chip."""

    rows: tuple[Row, ...]  # the graph, its inputs, then its nodes in order
    cann: str
    release: str  # the operator list that covers `cann`
    soc: str
    family: str
    opset: int

    @property
    def verdict(self) -> Verdict:
        """The worst of all rows."""
        return max((row.verdict for row in self.rows), key=VERDICTS.index)

    @property
    def counts(self) -> dict[Verdict, int]:
        """Verdict -> number of rows."""
        return {verdict: sum(row.verdict == verdict for row in self.rows) for verdict in VERDICTS}

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        return f"CANN {self.cann}, {self.soc}: {counts}"

    def summary(self) -> pd.DataFrame:
        """One row for each distinct operator, verdict and reason, the worst first, then as in the graph.

        Columns operator, verdict, nodes (how many), first (the first one's name), why, remedy.
        """
        groups: dict[tuple[str, Verdict, str, str], list[str]] = {}
        for row in self.rows:
            groups.setdefault((row.operator, row.verdict, row.why, row.remedy), []).append(row.node)
        ordered = sorted(groups.items(), key=lambda group: -VERDICTS.index(group[0][1]))
        rows = [(key[0], key[1], len(nodes), nodes[0], *key[2:]) for key, nodes in ordered]
        return pd.DataFrame(rows, columns=["operator", "verdict", "nodes", "first", "why", "remedy"])


def preflight(model: ModelProto | Path | str, *, cann: str = "8.0", soc_version: str = "Ascend310P3") -> Preflight:
    """Judge every node of an ONNX graph (or file) for a CANN release and a chip: fine, risky or refused.

    `cann` is a release such as "5.1.RC2" or "8.0"; its first two numbers choose the operator list. `soc_version` is
    what ATC is given (Ascend310P3, Ascend910B3). An open batch (a name, nothing, -1 or 0) is fine, as ATC is told the
    batch; other sizes that are not static are refused. Weights in external files are not read. Raises ConversionError
    for an unknown release or chip, and for a file that cannot be read as ONNX.
    """
    facts = ascend_operators()
    release, family = facts.release_of(cann), soc_family(soc_version)
    if isinstance(model, ModelProto):
        given, model = model, ModelProto()
        model.CopyFrom(given)
        open_sizes(model.graph)
    else:
        model = read_model(model, weights=False)
    opset = max((entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS), default=0)
    target = Target(facts, cann, release, family, opset)
    model = _inferred(model)
    rows = [_row(GRAPH, f"opset {opset}", [*_opset(target), *_domains(model), *_layouts(model.graph)])]
    rows += [_row(value.name, "(input)", _input(value_sizes(value))) for value in model_inputs(model.graph)]
    for node in _nodes(model.graph, {}, {}):
        rows.append(_row(node.name, node.operator, [found for rule in RULES for found in rule(node, target)]))
    return Preflight(tuple(rows), cann, release, soc_version, family, opset)


def _inferred(model: ModelProto) -> ModelProto:
    """The model with the shapes and types that can be inferred; as it is where its operators are foreign to ONNX."""
    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        return model


def _row(node: str, operator: str, findings: list[Finding] | Iterator[Finding]) -> Row:
    """One row of several findings: the worst verdict; the reasons and remedies one after the other, each once."""
    found = sorted(findings, key=lambda finding: -VERDICTS.index(finding.verdict))
    why = "; ".join(dict.fromkeys(finding.why for finding in found))
    remedy = "; ".join(dict.fromkeys(finding.remedy for finding in found if finding.remedy))
    return Row(node, operator, found[0].verdict if found else "fine", why, remedy)


def _opset(target: Target) -> Iterator[Finding]:
    opsets = target.facts.releases[target.release].opsets
    first, last = opsets.stated
    stated = f"opset {first}" if first == last else f"opsets {first} to {last}"
    if not holds((opsets.mentioned,), target.opset):
        why = f"opset {target.opset}: CANN {target.cann} reads {stated} (E16002, E19010)"
        yield Finding("refused", why, "export with opset 11, which every release reads")
    elif not holds((opsets.stated,), target.opset):
        why = (
            f"opset {target.opset}: CANN {target.cann} promises {stated}; only single operators' pages or code say more"
        )
        yield Finding("risky", why, "export with opset 11, which every release reads")


def _domains(model: ModelProto) -> Iterator[Finding]:
    if len(model.opset_import) != 1:
        found = ", ".join(repr(entry.domain) for entry in model.opset_import) or "none"
        yield Finding("refused", f"operator sets {found}: one is allowed (E16005)", "save it with ONNX's own set only")


def _layouts(graph: GraphProto) -> Iterator[Finding]:
    ranks = {len(value_sizes(value) or ()) for value in model_inputs(graph)}
    if not ranks:
        yield Finding("refused", "the graph has no input (E16001)", "export it with its input")
    elif len(ranks) > 1:
        why = f"inputs of {' and '.join(map(str, sorted(ranks)))} axes have no layout in common"
        yield Finding("fine", why, "give ATC --input_format=ND")


def _input(shape: Sizes | None) -> Iterator[Finding]:
    if shape is None or None in shape[1:]:
        why = f"shape {shape}: sizes besides the batch are not static (E11005)"
        yield Finding("refused", why, "export with static sizes, or give ATC all of them with --input_shape")
    elif shape and shape[0] is None:
        yield Finding("fine", "the batch is open", "give ATC the batch with --input_shape")
    if shape is not None and len(shape) > 5:
        yield Finding("fine", f"{len(shape)} axes have no named layout", "give ATC --input_format=ND")


def _nodes(graph: GraphProto, shapes: dict[str, Sizes | None], types: dict[str, int]) -> Iterator[NodeFacts]:
    """The facts of all nodes, those of subgraphs after the node that holds them; these also see the outer tensors."""
    values = (*graph.value_info, *graph.input, *graph.output)
    shapes = {**shapes, **{v.name: value_sizes(v) for v in values}}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    types = {**types, **{v.name: v.type.tensor_type.elem_type for v in values}}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        yield _facts(node, shapes, types)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type else ():
                yield from _nodes(inner, shapes, types)


def _facts(node: NodeProto, shapes: dict[str, Sizes | None], types: dict[str, int]) -> NodeFacts:
    outputs = [name for name in node.output if name]
    return NodeFacts(
        name=node.name or (outputs[0] if outputs else node.op_type),
        operator=node.op_type,
        domain=node.domain,
        values=attributes(node),
        shapes=tuple(shapes.get(name) for name in node.input),
        dtypes=frozenset(types.get(name, 0) for name in (*node.input, *outputs)),
        outputs=len(outputs),
    )
