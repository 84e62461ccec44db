"""An ONNX graph that is easy to rewrite: nodes in a list, constants in a dictionary of arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference

from actionbook.conversion.errors import ConversionError
from actionbook.core.spec import Spec

Sizes = tuple[int | None, ...]
"""A tensor's, as far as they are known."""

SMALL = 64  # values of a constant that could be a shape, bounds or axes


@dataclass
class Graph:
    """A graph under repair. The passes of this package change it in place; `to_model` gives the ONNX model again."""

    nodes: list[NodeProto]  # in topological order
    constants: dict[str, np.ndarray]  # initialisers, and what were Constant nodes
    inputs: list[ValueInfoProto]
    outputs: list[ValueInfoProto]
    opset: int
    ir_version: int

    @classmethod
    def from_model(cls, model: ModelProto) -> Graph:
        """Read a model: Constant nodes become constants, inputs that only name an initialiser are dropped.

        Raises ConversionError for a graph with subgraphs or with more than one operator domain.
        """
        domains = [entry.domain for entry in model.opset_import]
        if domains not in ([""], ["ai.onnx"]):
            raise ConversionError(f"operator sets {domains}: expected one, ONNX's own (ATC refuses more, E16005)")
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        nodes = []
        for node in model.graph.node:
            if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
                raise ConversionError(f"node {node.name} ({node.op_type}) holds a subgraph, which is not supported")
            if node.op_type == "Constant":
                constants[node.output[0]] = numpy_helper.to_array(attributes(node)["value"])
            else:
                nodes.append(node)
        inputs, outputs = model_inputs(model.graph), list(model.graph.output)
        return cls(nodes, constants, inputs, outputs, model.opset_import[0].version, model.ir_version)

    def to_model(self) -> ModelProto:
        """The ONNX model, pruned."""
        self.prune()
        return self._model(
            self.inputs, [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        )

    def _model(self, inputs: list[ValueInfoProto], initialisers: list[TensorProto]) -> ModelProto:
        graph = helper.make_graph(self.nodes, "network", inputs, self.outputs, initialisers)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version, producer_name="actionbook")

    def prune(self) -> None:
        """Remove nodes and constants that no output needs."""
        needed = {value.name for value in self.outputs}
        kept: list[NodeProto] = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in needed}

    def producers(self) -> dict[str, NodeProto]:
        """Tensor name -> the node that makes it."""
        return {name: node for node in self.nodes for name in node.output}

    def consumers(self) -> dict[str, list[NodeProto]]:
        """Tensor name -> the nodes that read it. A graph output counts as read by an unnamed node besides."""
        found: dict[str, list[NodeProto]] = {value.name: [NodeProto()] for value in self.outputs}
        for node in self.nodes:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found

    def shapes(self) -> dict[str, Sizes]:
        """Tensor name -> shape by ONNX shape inference; None stands for a size that is not static.

        Of large constants only shape and type are passed on: inference reads no weights, and copying them takes longer.
        Raises ConversionError where the shapes contradict each other.
        """
        self.prune()
        weights, small = list(self.inputs), []
        for name, value in self.constants.items():
            if value.size > SMALL:
                kind = helper.np_dtype_to_tensor_dtype(value.dtype)
                weights.append(helper.make_tensor_value_info(name, kind, value.shape))
            else:
                small.append(numpy_helper.from_array(value, name))
        light = self._model(weights, small)
        try:
            inferred = shape_inference.infer_shapes(light, strict_mode=True, data_prop=True)
        except shape_inference.InferenceError as error:
            raise ConversionError(f"the ONNX graph's shapes do not fit together: {error}") from error
        shapes: dict[str, Sizes] = {name: value.shape for name, value in self.constants.items()}
        for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
            if (sizes := value_sizes(value)) is not None:
                shapes[value.name] = sizes
        return shapes

    def drop(self, nodes: Iterable[NodeProto]) -> None:
        """Remove nodes (by identity, not by value)."""
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Store a constant under `name`, or under `name` and a number where that is taken; returns the name used."""
        unique, number = name, 1
        while unique in self.constants:
            unique, number = f"{name}.{number}", number + 1
        self.constants[unique] = value
        return unique


def attributes(node: NodeProto) -> dict[str, Any]:
    """A node's attributes as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def set_attribute(node: NodeProto, name: str, value: Any) -> None:
    """Set an attribute, or remove it where `value` is None."""
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    if value is not None:
        kept.append(helper.make_attribute(name, value))
    del node.attribute[:]
    node.attribute.extend(kept)


def read_model(path: Path | str, *, weights: bool = True) -> ModelProto:
    """The model in a file; `weights` False leaves out those in files beside it. Raises ConversionError for no ONNX."""
    try:
        model = onnx.load(path, load_external_data=weights)
    except (OSError, DecodeError, UnicodeDecodeError) as error:  # the last from text in a file of another format
        raise ConversionError(f"{path}: cannot be read as ONNX ({error}); export it again") from error
    if not model.graph.node:
        raise ConversionError(f"{path}: holds no graph; a pointer of Git LFS or another format? Export it again")
    open_sizes(model.graph)
    return model


def model_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that are not merely the names of initialisers."""
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def value_sizes(value: ValueInfoProto) -> Sizes | None:
    """Sizes of an input or output, None for one that is not static; None alone where not even their number is known.

    A size that is left open has a name or nothing in ONNX; some exporters write -1 or 0, which mean the same.
    """
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)


def open_sizes(graph: GraphProto) -> None:
    """Write open sizes of inputs and outputs as ONNX has them, with nothing: shape inference counts with a -1."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.Clear()


def batch_spec(inputs: Mapping[str, Sizes | None]) -> tuple[int | None, Spec]:
    """The batch size of a file with these inputs, None where it is open, and what it takes.

    Raises ConversionError where they have different batch sizes, and SpecError where another size is not static.
    """
    batches = {(sizes or ())[:1] for sizes in inputs.values()}
    if len(batches) != 1 or () in batches:
        raise ConversionError(f"inputs {dict(inputs)}: expected one batch size, first in each")
    ((batch,),) = batches
    return batch, Spec({name: tuple(size or 0 for size in (sizes or ())[1:]) for name, sizes in inputs.items()})


def count_operators(model: ModelProto) -> dict[str, int]:
    """Operator type -> number of nodes, the most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())
