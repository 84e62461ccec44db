"""NumPy's own files: `.npz` archives of arrays, and a `.npy` file of one."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.stored import Array, OpenFile, Origin, Stored
from actionbook.weights.torch_files import ZIP_ERRORS


def open_npz(file: IO[bytes], path: Path, stack: ExitStack) -> OpenFile:
    """The arrays of an archive by name, read while `stack` is open; arrays of objects are skipped.

    Raises WeightsError for a damaged file.
    """
    try:
        archive = stack.enter_context(np.load(file, allow_pickle=False))
        found: dict[str, Stored | str] = {}
        for name in archive.files:
            with archive.zip.open(f"{name}.npy") as member:
                found[name] = _entry(member, partial(_from_archive, archive, name, path))
    except ZIP_ERRORS as error:
        raise WeightsError(f"{path}: damaged NumPy archive: {error}. {FETCH_AGAIN}") from error
    arrays = {name: one for name, one in found.items() if isinstance(one, Stored)}
    skipped = [f"{name} ({one})" for name, one in found.items() if isinstance(one, str)]
    if not arrays:
        raise WeightsError(
            f"{path}: no array of numbers; it holds {', '.join(skipped[:5])}. Save each tensor as an array of its own."
        )
    return OpenFile(Origin("NumPy archive", skipped=tuple(skipped)), arrays)


def open_npy(file: IO[bytes], path: Path) -> OpenFile:
    """The one array of a file, called as the file is. Raises WeightsError for a damaged one, or one of objects."""
    try:
        one = _entry(file, partial(_from_file, file, path))
    except ValueError as error:
        raise WeightsError(f"{path}: damaged NumPy file: {error}. {FETCH_AGAIN}") from error
    if isinstance(one, str):
        raise WeightsError(
            f"{path}: a NumPy file of {one}, which NumPy reads only by running what is in it. Load it where you trust "
            "it, and save the arrays in it with `numpy.savez(other, **arrays)`."
        )
    return OpenFile(Origin("NumPy array"), {path.stem: one})


def _entry(member: IO[bytes], read: Any) -> Stored | str:
    """An array by the header of its file; what it is, where it holds no numbers. Raises ValueError."""
    version = np.lib.format.read_magic(member)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = header(member)
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape is {shape}")
    if kind.kind not in "fiucb":
        return "Python objects" if kind.hasobject else f"numbers of type {kind}"
    return Stored(shape, kind.newbyteorder("="), read)


def _from_archive(archive: Any, name: str, path: Path) -> Array:
    try:
        return _native(archive[name])
    except ZIP_ERRORS as error:
        raise WeightsError(f"{path}: array {name!r} is damaged: {error}. {FETCH_AGAIN}") from error


def _from_file(file: IO[bytes], path: Path) -> Array:
    file.seek(0)
    try:
        return _native(np.load(file, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise WeightsError(f"{path}: damaged NumPy file: {error}. {FETCH_AGAIN}") from error


def _native(array: Array) -> Array:
    return np.array(array, array.dtype.newbyteorder("="), order="C")
