"""MINDIR files as data, without MindSpore's loader: their inputs by name, and the shapes that they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError
from mindspore.train.mind_ir_pb2 import AttributeProto, ModelProto, TensorProto

from actionbook.conversion.errors import ConversionError
from actionbook.conversion.graph import Sizes


def read_mindir(path: Path) -> ModelProto:
    """The graph of a MINDIR file, with its weights where it holds them. Raises ConversionError for another file."""
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ConversionError(f"{path}: cannot be read as MINDIR ({error}); export it again") from error
    if not model.graph.output:
        raise ConversionError(f"{path}: holds no graph; another format? Export it again")
    return model


def inputs(model: ModelProto) -> dict[str, Sizes]:
    """Name -> sizes of every input, in order, None for an open one. What stands before a colon is MindSpore's own."""
    return {value.name.rpartition(":")[2]: _sizes(value.tensor[0]) for value in model.graph.input}


def outputs(model: ModelProto) -> list[Sizes]:
    """Sizes of every output, None for an open one; a tuple's one by one."""
    return [_sizes(tensor) for value in model.graph.output for tensor in value.tensor or _tensors(value.attr_info)]


def _sizes(tensor: TensorProto) -> Sizes:
    return tuple(size if size > 0 else None for size in tensor.dims)


def _tensors(value: AttributeProto) -> Iterator[TensorProto]:
    """The tensors of a tuple, which may hold others."""
    yield from value.tensors
    for part in value.values:
        yield from _tensors(part)


def name_inputs(model: ModelProto, names: Sequence[str]) -> None:
    """Give the inputs these names; MindSpore numbers those of a ``construct`` that takes any: inputs0, inputs1."""
    renamed = {
        value.name: f"{value.name.rpartition(':')[0]}:{name}"
        for value, name in zip(model.graph.input, names, strict=True)
    }
    for graph in (model.graph, *model.functions):
        for value in (*graph.input, *graph.output):
            value.name = renamed.get(value.name, value.name)
        for node in graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
