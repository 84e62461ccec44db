"""The operations of a pickle stream without its long texts and bytes, which are passed over and asked for later."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

MAX_READ: Final = 256
"""Bytes of the longest text that is read; longer ones become a `Span`."""
_COUNTED: Final[Mapping[str, int]] = {"BINUNICODE": 4, "BINUNICODE8": 8, "BINBYTES": 4, "BINBYTES8": 8, "BINSTRING": 4}
"""Operations whose argument begins with its length, in so many bytes, and may be long."""


_OPERATIONS: Final = {operation.code.encode("latin-1"): operation for operation in pickletools.opcodes}


@dataclass(frozen=True, slots=True)
class Span:
    """A long text, or long bytes, of a stream: where they lie in it."""

    start: int
    stop: int
    text: bool
    """Whether they are text, in UTF-8."""


def passing_over(stream: IO[bytes]) -> Iterator[tuple[pickletools.OpcodeInfo, Any, None]]:
    """As `pickletools.genops`, but with a `Span` for each long text and long bytes.

    Raises ValueError where a span goes beyond the end of the stream, and as `genops` does.
    """
    place = stream.tell()
    stream.seek(0, 2)
    end = stream.tell()
    stream.seek(place)
    while True:
        code = stream.read(1)
        operation = _OPERATIONS.get(code)
        if operation is None:
            raise ValueError(f"opcode {code!r} unknown" if code else "pickle exhausted before seeing STOP")
        place, digits = stream.tell(), _COUNTED.get(operation.name, 0)
        length = int.from_bytes(stream.read(digits), "little")
        if length > MAX_READ:
            start, stop = place + digits, place + digits + length
            if stop > end:
                raise ValueError(f"{length} bytes are said to follow, {end - start} do")
            stream.seek(stop)
            yield operation, Span(start, stop, operation.name.startswith("BINUNICODE")), None
        else:
            stream.seek(place)
            yield operation, None if operation.arg is None else operation.arg.reader(stream), None
