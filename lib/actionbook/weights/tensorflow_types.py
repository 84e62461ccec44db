"""What TensorFlow's checkpoints and graphs say alike: the types of numbers, and shapes."""

from __future__ import annotations

from typing import Final

import numpy as np

from actionbook.weights.stored import Array, from_bfloat16
from actionbook.weights.wire import Data, Span, array, checked_shape, fields, message

BFLOAT16: Final = 14
TYPES: Final = {
    1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 8: "c8", 9: "i8", 10: "?", BFLOAT16: "u2", 17: "u2",
    18: "c16", 19: "f2", 22: "u4", 23: "u8",
}  # fmt: skip
"""DataType of tensorflow/core/framework/types.proto -> NumPy's type of the stored numbers (bfloat16: of its bits)."""
_OTHERS: Final = {7: "string", 11: "qint8", 12: "quint8", 13: "qint32", 15: "qint16", 16: "quint16", 20: "resource"}


def result_type(kind: int) -> np.dtype[np.generic]:
    """NumPy's type of the array that is made of such numbers: bfloat16 becomes float32."""
    return np.dtype("f4" if kind == BFLOAT16 else TYPES[kind])


def type_name(kind: int) -> str:
    """What a type that cannot be read is called."""
    return _OTHERS.get(kind, f"type {kind}")


def read_shape(data: Data, span: Span, name: str) -> tuple[int, ...]:
    """The shape in a TensorShapeProto (repeated Dim dim = 2, int64 size = 1; bool unknown_rank = 3) of array `name`.

    Raises ValueError for one that no array has.
    """
    sizes = []
    for number, value in fields(data, span):
        if number == 2:
            size = [one for inner, one in fields(data, message(value)) if inner == 1 and isinstance(one, int)]
            sizes.append(size[-1] if size else 0)
        elif number == 3 and value:
            raise ValueError(f"{name[:200]!r} has no shape")
    return checked_shape(name, sizes)


def numbers(data: Data, spans: list[Span], kind: int, shape: tuple[int, ...], order: str = "<") -> Array:
    """A writable copy of the numbers at `spans`, which make `shape`; `order` is that of their bytes."""
    found = array(data, spans, f"{order}{TYPES[kind]}", shape)
    return from_bfloat16(found) if kind == BFLOAT16 else found
