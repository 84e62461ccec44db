"""Snappy, in which older TensorFlows compressed a checkpoint's index (google/snappy, format_description.txt)."""

from __future__ import annotations

from typing import Final

from actionbook.weights.wire import varint

_MAX_GROWTH: Final = 32
"""Three bytes at the least say a copy of 64: no stream grows further."""


def unpack(data: bytes) -> bytes:
    """The bytes in a stream: first their number, then what is new, and copies of what is already there.

    Raises ValueError for a stream that is damaged or promises more than it can hold.
    """
    size, place = varint(data, 0, len(data))
    if size > _MAX_GROWTH * len(data):
        raise ValueError(f"a compressed block of {len(data)} bytes promises {size}")
    made = bytearray()
    while place < len(data):
        tag = data[place]
        place += 1
        length, kind = (tag >> 2) + 1, tag & 3
        if kind == 0:  # new bytes; long ones say their number behind the tag
            if length > 60:
                width = length - 60
                length, place = int.from_bytes(data[place : place + width], "little") + 1, place + width
            if length > len(data) - place:
                raise ValueError("a compressed block that is truncated")
            made += data[place : place + length]
            place += length
        else:
            width = (1, 2, 4)[kind - 1]
            offset = int.from_bytes(data[place : place + width], "little")
            if kind == 1:
                length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | offset
            place += width
            if not 0 < offset <= len(made) or place > len(data):
                raise ValueError("a compressed block with a copy from outside of it")
            begin = len(made) - offset
            while length:  # a copy may reach into what it makes
                part = made[begin : begin + min(length, offset)]
                made += part
                length -= len(part)
        if len(made) > size:
            break
    if len(made) != size:
        raise ValueError(f"a compressed block that does not hold the {size} bytes it promises")
    return bytes(made)
