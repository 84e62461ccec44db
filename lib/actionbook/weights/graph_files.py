"""Frozen graphs of TensorFlow (`.pb`): a network whose variables have become constants, as data.

``GraphDef {repeated NodeDef node = 1}``, ``NodeDef {string name = 1; string op = 2; repeated string input = 3;
map<string, AttrValue> attr = 5}``, ``AttrValue {TensorProto tensor = 8}`` and ``TensorProto {DataType dtype = 1;
TensorShapeProto tensor_shape = 2; bytes tensor_content = 4; repeated float float_val = 5; ...}``, as
tensorflow/core/framework says.
"""

from __future__ import annotations

import math
import mmap
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Final

import numpy as np

from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.stored import Array, OpenFile, Origin, Stored, from_bfloat16
from actionbook.weights.tensorflow_types import BFLOAT16, TYPES, numbers, read_shape, result_type, type_name
from actionbook.weights.wire import Data, Span, fields, message, text, varints

_CONTENT, _HALVES = 4, 13
_FIXED: Final = {5: (1,), 6: (2,), 9: (8,), 12: (18,)}
_VARINTS: Final = {7: (3, 4, 5, 6, 17), 10: (9,), 11: (10,), 13: (BFLOAT16, 19), 16: (22,), 17: (23,)}
_FIELD: Final = {kind: number for number, kinds in {**_FIXED, **_VARINTS}.items() for kind in kinds}
"""Type of numbers -> the field that holds them one by one."""


@dataclass
class Constant:
    """A TensorProto: type, shape, and the places of its numbers."""

    kind: int = 0
    shape: tuple[int, ...] = ()
    content: Span | None = None
    values: dict[int, list[int | Span]] = field(default_factory=dict)


def open_graph(file: IO[bytes], path: Path, stack: ExitStack) -> OpenFile:
    """The constants that were variables, by the variables' names, read while `stack` is open.

    A variable is known by the Identity behind it, through which the graph reads it; where all of these have been
    optimised away, every constant of floating point counts. Raises WeightsError for a file that is damaged, or a graph
    without such constants.
    """
    data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        constants, read = _nodes(data)
    except ValueError as error:
        raise WeightsError(f"{path}: a damaged or truncated TensorFlow graph: {error}. {FETCH_AGAIN}") from error
    wanted = {name: one for name, one in constants.items() if name in read} or {
        name: one for name, one in constants.items() if one.kind in TYPES and result_type(one.kind).kind == "f"
    }
    arrays = {
        name: Stored(one.shape, result_type(one.kind), partial(_array, data, one, f"{path}: constant {name[:200]!r}"))
        for name, one in wanted.items()
        if one.kind in TYPES
    }
    if not arrays:
        raise WeightsError(
            f"{path}: a TensorFlow graph without the numbers of its variables. Take the checkpoint that was saved with "
            "it, or freeze it: `tf.compat.v1.graph_util.convert_variables_to_constants`."
        )
    skipped = tuple(f"{name} ({type_name(one.kind)})" for name, one in wanted.items() if one.kind not in TYPES)
    return OpenFile(Origin("TensorFlow graph", skipped=skipped), arrays)


def _nodes(data: Data) -> tuple[dict[str, Constant], set[str]]:
    """The constants by name, and the names of those that an Identity reads. Raises ValueError."""
    constants, read = dict[str, Constant](), set[str]()
    for number, value in fields(data, (0, len(data))):
        if number != 1:
            continue
        name, operator, inputs, attributes = "", "", list[str](), list[Span]()
        for inner, part in fields(data, message(value)):
            if inner == 1:
                name = text(data, part)
            elif inner == 2:
                operator = text(data, part)
            elif inner == 3:
                inputs.append(text(data, part))
            elif inner == 5:
                attributes.append(message(part))
        if operator == "Const":
            if name in constants:
                raise ValueError(f"{name[:200]!r} stands twice")
            constants[name] = _constant(data, attributes, name)
        elif operator == "Identity" and inputs and _reads(name, inputs[0]):
            read.add(inputs[0])
    return constants, read


def _reads(name: str, constant: str) -> bool:
    """Whether an Identity of that name read a variable, as ``<variable>/read`` or ``MatMul/ReadVariableOp`` does."""
    return name.startswith(f"{constant}/") or name.rpartition("/")[2].startswith("ReadVariableOp")


def _constant(data: Data, attributes: list[Span], name: str) -> Constant:
    """The tensor under ``value``."""
    for attribute in attributes:
        entry = dict(fields(data, attribute))
        if 1 in entry and text(data, entry[1]) == "value" and 2 in entry:
            tensor = dict(fields(data, message(entry[2]))).get(8, 0)
            return _tensor(data, message(tensor), name)
    raise ValueError(f"constant {name[:200]!r} has no value")


def _tensor(data: Data, span: Span, name: str) -> Constant:
    found = Constant()
    for number, value in fields(data, span):
        if number == 1 and isinstance(value, int):
            found.kind = value
        elif number == 2:
            found.shape = read_shape(data, message(value), name)
        elif number == _CONTENT:
            found.content = message(value)
        else:
            found.values.setdefault(number, []).append(value)
    if found.kind in TYPES and found.content is not None:
        size, count = found.content[1] - found.content[0], math.prod(found.shape)
        if size and size != count * np.dtype(TYPES[found.kind]).itemsize:
            raise ValueError(f"{name[:200]!r} has {size} bytes, which do not make {TYPES[found.kind]} of {found.shape}")
    return found


def _array(data: Data, one: Constant, what: str) -> Array:
    """The numbers: all as they lie, or one by one, of which the last fills up what is left of the shape."""
    if one.content is not None and one.content[0] < one.content[1]:
        return numbers(data, [one.content], one.kind, one.shape)
    try:
        given = _values(data, one)
    except ValueError as error:
        raise WeightsError(f"{what} is damaged: {error}. {FETCH_AGAIN}") from error
    count = math.prod(one.shape)
    if len(given) > count:
        raise WeightsError(f"{what} is damaged: {len(given)} numbers for the shape {one.shape}. {FETCH_AGAIN}")
    full = np.full(count, given[-1] if len(given) else 0, given.dtype)
    full[: len(given)] = given
    return full.reshape(one.shape)


def _values(data: Data, one: Constant) -> Array:
    """The numbers that are given one by one. Raises ValueError."""
    number = _FIELD[one.kind]
    given = one.values.get(number, [])
    if number in _FIXED:
        spans = [message(value) for value in given]
        size = sum(end - begin for begin, end in spans)
        return numbers(data, spans or [(0, 0)], one.kind, (size // np.dtype(TYPES[one.kind]).itemsize,))
    whole = np.array([each for value in given for each in varints(data, value)], np.uint64)
    if number != _HALVES:
        return whole.astype(np.dtype(TYPES[one.kind]))
    bits = whole.astype(np.uint16)
    return from_bfloat16(bits) if one.kind == BFLOAT16 else bits.view(np.float16)
