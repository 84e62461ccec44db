"""How Python 3 writes bytes with protocol 2, which has no operation for them: as the text of their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from actionbook.core.pickle_reader import Function


@dataclass(frozen=True, slots=True)
class Latin:
    """The bytes that protocol 2 writes as the text of their numbers; decoded once they are wanted."""

    text: str


def _encode(text: Any, encoding: Any = None) -> Latin:
    """`_codecs.encode`: how protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise TypeError("not bytes")
    return Latin(text)


def _bytes() -> bytes:
    """`bytes` without arguments: how protocol 2 writes that there are none."""
    return b""


BYTES_GLOBALS: Final[Mapping[tuple[str, str], Function]] = {
    (module, name): Function(f"{module}.{name}", call)
    for module, name, call in (
        ("_codecs", "encode", _encode),
        ("builtins", "bytes", _bytes),
        ("__builtin__", "bytes", _bytes),
    )
}
"""The globals of such a stream, for `pickle_reader.read_pickle`."""
