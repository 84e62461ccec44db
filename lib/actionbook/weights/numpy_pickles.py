"""How NumPy pickles its types, numbers and arrays: as records first, as arrays when they are wanted.

An array is rebuilt from its shape, number type and bytes by our own code. Arrays of objects, texts, dates and records
are placeholders: they are no weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from actionbook.core.pickle_bytes import BYTES_GLOBALS, Latin
from actionbook.core.pickle_reader import Function, Settable
from actionbook.core.placeholders import Placeholder
from actionbook.weights.errors import WeightsError
from actionbook.weights.stored import MAX_DIMENSIONS, MAX_ELEMENTS, Array

_ARRAYS: Final = frozenset({"numpy.ndarray", "numpy.memmap", "numpy.matrix"})


class NumpyType(Settable):
    """`numpy.dtype` of a plain number; its state tells the byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[fiu][1248]|b1|c8|c16", code):
            raise TypeError("not a number type")
        self.type = np.dtype(code).newbyteorder("<")

    def set_state(self, state: Any) -> None:
        """State: (version, byte order, ...)."""
        order = state[1]
        if order not in ("<", ">", "|"):
            raise ValueError("not a byte order")
        self.type = self.type.newbyteorder(order)


class NumpyArray(Settable):
    """An array as the pickle describes it, not yet checked."""

    def __init__(self, kind: Any, *_: Any) -> None:
        if not isinstance(kind, Placeholder) or kind.name not in _ARRAYS:
            raise TypeError("not an array")
        self.state: Any = None

    def set_state(self, state: Any) -> None:
        """State: ([version,] shape, type, whether the first axis runs fastest, bytes)."""
        self.state = state

    @property
    def is_numeric(self) -> bool:
        """Whether it holds plain numbers."""
        return isinstance(self.state, tuple) and len(self.state) in (4, 5) and isinstance(self.state[-3], NumpyType)

    def checked(self, what: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and number type, once it is known that there are as many bytes. Raises WeightsError."""
        *_, shape, kind, _order, data = self.state
        raw = data.text if isinstance(data, Latin) else data
        if (
            not isinstance(shape, tuple)
            or len(shape) > MAX_DIMENSIONS
            or not all(isinstance(size, int) and 0 <= size <= MAX_ELEMENTS for size in shape)
            or not isinstance(raw, bytes | bytearray | str)
            or math.prod(shape) * kind.type.itemsize != len(raw)
        ):
            raise WeightsError(
                f"{what}: its bytes do not fit its shape. The file is damaged; fetch it again and compare its sha256."
            )
        return shape, kind.type

    def array(self, what: str) -> Array:
        """A writable, contiguous copy in native byte order. Raises WeightsError."""
        shape, kind = self.checked(what)
        data = self.state[-1]
        text = data.text if isinstance(data, Latin) else data
        try:
            raw = text.encode("latin-1") if isinstance(text, str) else text
        except UnicodeEncodeError as error:
            raise WeightsError(f"{what}: its bytes are not bytes. The file is damaged; fetch it again.") from error
        order: Any = "F" if self.state[-2] else "C"
        view: Array = np.ndarray(shape, kind, raw, order=order)
        return np.array(view, kind.newbyteorder("="), order="C")


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> NumpyArray:
    """`numpy.core.numeric._frombuffer`, of protocol 5."""
    made = NumpyArray(Placeholder("numpy.ndarray"))
    made.set_state((shape, kind, order == "F", data))
    return made


def _scalar(kind: Any, data: Any) -> int | float | bool | complex:
    """`numpy.core.multiarray.scalar` as a Python number."""
    text = data.text if isinstance(data, Latin) else data
    raw = text.encode("latin-1") if isinstance(text, str) and len(text) <= 16 else text
    if not isinstance(kind, NumpyType) or not isinstance(raw, bytes) or len(raw) != kind.type.itemsize:
        raise TypeError("not a number")
    number: int | float | bool | complex = np.frombuffer(raw, kind.type)[0].item()
    return number


def _tuple(items: Any) -> tuple[Any, ...]:
    """`tuple` of a tuple: how Paddle 2 writes a parameter, (name, array)."""
    if not isinstance(items, tuple):
        raise TypeError("not a tuple")
    return items


def _table() -> dict[tuple[str, str], Function]:
    calls: dict[tuple[str, str], Callable[..., Any]] = {("numpy", "dtype"): NumpyType}
    calls |= {(builtins, "tuple"): _tuple for builtins in ("builtins", "__builtin__")}
    for core in ("numpy.core", "numpy._core"):  # before and since NumPy 2
        calls[f"{core}.multiarray", "scalar"] = _scalar
        calls[f"{core}.multiarray", "_reconstruct"] = NumpyArray
        calls[f"{core}.numeric", "_frombuffer"] = _from_buffer
    return {**BYTES_GLOBALS, **{key: Function(".".join(key), call) for key, call in calls.items()}}


NUMPY_GLOBALS: Final[Mapping[tuple[str, str], Any]] = _table()
