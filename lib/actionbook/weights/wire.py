"""Protobuf messages as data: their fields, one after the other, without a schema and without building anything.

Of the format MindSpore, TensorFlow and Caffe need the same small part (protobuf.dev, "Encoding"). The library
`protobuf` would copy a whole message into memory, a network's weights included, and needs each program's own schema;
here a field of bytes is a place in the file, which is read when it is asked for.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np

from actionbook.weights.stored import MAX_DIMENSIONS, MAX_ELEMENTS, Array

Data: TypeAlias = mmap.mmap | bytes
Span: TypeAlias = tuple[int, int]
"""Begin and end of bytes in the file."""

_MAX_PARTS: Final = 1_000_000
_MAX_NAME: Final = 4096
_WIDTHS: Final = {1: 8, 5: 4}
_VARINT, _BYTES = 0, 2


def fields(data: Data, span: Span) -> Iterator[tuple[int, int | Span]]:
    """The fields of the message at `span`: number, and value of a varint or place of anything else.

    Numbers of four and eight bytes are places too, so that a list of them is one whether it is packed or not.
    Raises ValueError for a field that leaves its message, and for groups, which none of these programs writes.
    """
    place, end = span
    for _ in range(_MAX_PARTS):
        if place >= end:
            return
        key, place = varint(data, place, end)
        if key & 7 == _VARINT:
            value, place = varint(data, place, end)
            yield key >> 3, value
            continue
        size = _WIDTHS.get(key & 7, -1)
        if key & 7 == _BYTES:
            size, place = varint(data, place, end)
        if not 0 <= size <= end - place:
            raise ValueError(f"a field that leaves its message at byte {place}")
        yield key >> 3, (place, place + size)
        place += size
    raise ValueError(f"more than {_MAX_PARTS} parts")


def varint(data: Data, place: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place behind it. Raises ValueError if it has no end."""
    found = 0
    for shift in range(0, 70, 7):
        if place >= end:
            raise ValueError("truncated")
        byte = data[place]
        place += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found & (2**64 - 1), place
    raise ValueError("a number that does not end")


def varints(data: Data, value: int | Span) -> list[int]:
    """The numbers of one field that is repeated, packed or not. Raises ValueError as `varint`."""
    if isinstance(value, int):
        return [value]
    found, (place, end) = list[int](), value
    while place < end:
        if len(found) >= _MAX_PARTS:
            raise ValueError(f"more than {_MAX_PARTS} numbers")
        one, place = varint(data, place, end)
        found.append(one)
    return found


def number(value: int | Span) -> int:
    """The value of a field that must be a number. Raises ValueError for a message or bytes."""
    if not isinstance(value, int):
        raise ValueError("a message where a number was expected")
    return value


def message(value: int | Span) -> Span:
    """The place of a field that must be a message or bytes. Raises ValueError for a number."""
    if isinstance(value, int):
        raise ValueError(f"the number {value} where a message was expected")
    return value


def text(data: Data, value: int | Span) -> str:
    """A name. Raises ValueError (UnicodeDecodeError) for one that is no text, or longer than any name is."""
    start, end = message(value)
    if end - start > _MAX_NAME:
        raise ValueError(f"a name of {end - start} bytes")
    return data[start:end].decode()


def checked_shape(name: str, sizes: list[int]) -> tuple[int, ...]:
    """The sizes as a shape. Raises ValueError for one that no array has; negative ones look like huge ones."""
    if len(sizes) > MAX_DIMENSIONS or math.prod(max(size, 1) for size in sizes) > MAX_ELEMENTS:
        raise ValueError(f"{name[:200]!r} has the shape {sizes[:8]}")
    return tuple(sizes)


def array(data: Data, spans: list[Span], kind: str, shape: tuple[int, ...]) -> Array:
    """The numbers of the NumPy type `kind` (such as ``<f4``) at `spans`: a writable copy in native byte order."""
    raw = data[slice(*spans[0])] if len(spans) == 1 else b"".join(data[start:end] for start, end in spans)
    view = np.frombuffer(raw, kind).reshape(shape)
    return np.array(view, view.dtype.newbyteorder("="))
