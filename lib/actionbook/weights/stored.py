"""What every reader of weight files gives: arrays that can be listed before they are read, and where they came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from actionbook.weights.errors import WeightsError

Array: TypeAlias = npt.NDArray[Any]
Plain: TypeAlias = str | int | float | bool | None

MAX_ELEMENTS: Final = 2**40
MAX_DIMENSIONS: Final = 32  # NumPy's own limit before version 2
# bfloat16 doubles; tied weights, the master copies of some trainers and compressed archives repeat what is stored.
_MAX_GROWTH: Final = 8
_MIN_RESULT_BYTES: Final = 64 * 2**20


@dataclass(frozen=True)
class Origin:
    """Where the arrays of a state dict were in their file, and what lay there beside them."""

    format: str
    """What the file is, such as ``PyTorch`` or ``safetensors``."""
    under: str = ""
    """The keys that lead to the state dict, as ``'model'['state_dict']``; empty for the file's top level."""
    others: tuple[str, ...] = ()
    """Keys of dictionaries of about as many arrays, such as averaged weights."""
    skipped: tuple[str, ...] = ()
    """Entries of the state dict that are no tensors, with their kinds."""
    beside: tuple[str, ...] = ()
    """What lies outside the state dict and was not built, with the names of its classes."""

    @property
    def place(self) -> str:
        """Format and keys in a few words."""
        return f"{self.format}, under {self.under}" if self.under else self.format


@dataclass(frozen=True)
class Stored:
    """One array in an open file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """Of the array that `read` gives."""
    read: Callable[[], Array]
    """A writable, contiguous copy in native byte order; raises WeightsError for a damaged file."""

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class OpenFile:
    """The table of contents of a weight file, while it is open."""

    origin: Origin
    arrays: Mapping[str, Stored]
    metadata: Mapping[str, Plain] = field(default_factory=dict)
    """Plain values beside the arrays, such as epoch and accuracy."""
    nbytes: int | None = None
    """Bytes of all files that it is made of; None: of the one that was opened."""


class Weights(dict[str, Array]):
    """Arrays by name, with the place that they came from."""

    def __init__(self, arrays: Mapping[str, Array], origin: Origin) -> None:
        super().__init__(arrays)
        self.origin = origin


def read_all(file: OpenFile, path: Path) -> Weights:
    """All arrays of an open file. Raises WeightsError for arrays far larger than the file, before they are made."""
    size = path.stat().st_size if file.nbytes is None else file.nbytes
    if sum(one.nbytes for one in file.arrays.values()) > max(_MAX_GROWTH * size, _MIN_RESULT_BYTES):
        raise WeightsError(
            f"{path}: its arrays unfold to far more bytes than the file has. Fetch the file again; if it is meant so, "
            "save each array whole and uncompressed."
        )
    return Weights({name: one.read() for name, one in file.arrays.items()}, file.origin)


def from_bfloat16(bits: Array) -> Array:
    """float32 of the same values; `bits` are the numbers as uint16: the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
