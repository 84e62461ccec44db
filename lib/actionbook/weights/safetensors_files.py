"""Files of the format safetensors, through the library of that name: a header in JSON, then the arrays' bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from actionbook.core.files import atomic_path
from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.stored import Array, OpenFile, Origin, Stored, from_bfloat16

_TYPES: Final = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U64": "u8", "U32": "u4",
    "U16": "u2", "U8": "u1", "BOOL": "?", "C64": "c8", "BF16": "f4",
}  # fmt: skip


def open_safetensors(path: Path, stack: ExitStack) -> OpenFile:
    """The arrays by name, read while `stack` is open; bfloat16 becomes float32 without loss.

    Raises WeightsError for a damaged file, and for numbers of a type that NumPy does not have.
    """
    try:
        file = stack.enter_context(safe_open(path, framework="np"))
    except SafetensorError as error:
        raise WeightsError(f"{path}: damaged or truncated safetensors file: {error}. {FETCH_AGAIN}") from error
    arrays: dict[str, Stored] = {}
    for name in file.keys():  # noqa: SIM118 (no mapping)
        entry = file.get_slice(name)
        kind, shape = entry.get_dtype(), tuple(entry.get_shape())
        if kind not in _TYPES:
            raise WeightsError(
                f"{path}: tensor {name!r} holds {kind}, which NumPy does not have. Save it as float32 or float16."
            )
        read = partial(_from_bits, path, name, shape) if kind == "BF16" else partial(_native, file, name)
        arrays[name] = Stored(shape, np.dtype(_TYPES[kind]), read)
    if not arrays:
        raise WeightsError(f"{path}: a safetensors file without tensors. Save `model.state_dict()`.")
    return OpenFile(Origin("safetensors"), arrays, dict(file.metadata() or {}))


def write_safetensors(path: Path | str, state: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays by name, in one step: an earlier file stays if that fails.

    `metadata` are texts about them. Raises WeightsError for an array that holds no numbers, or if it cannot be written.
    """
    wrong = [name for name, array in state.items() if array.dtype.kind not in "fiucb"]
    if wrong:
        raise WeightsError(f"{path}: {wrong[0]!r} holds {state[wrong[0]].dtype}, not numbers; leave it out")
    # The library takes the bytes as they lie: of a transposed array they would be those of another one.
    whole = {name: np.asarray(array, order="C") for name, array in state.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(whole, temporary, dict(metadata or {}))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written: {error}. Make room, or choose another folder") from error


def _native(file: Any, name: str) -> Array:
    return np.array(file.get_tensor(name), order="C")


def _from_bits(path: Path, name: str, shape: tuple[int, ...]) -> Array:
    """A bfloat16 tensor, which the library does not give to NumPy; it has checked that header and file agree."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        begin, end = json.loads(file.read(length))[name]["data_offsets"]
        file.seek(8 + length + begin)
        return from_bfloat16(np.frombuffer(file.read(end - begin), "<u2").reshape(shape))
