"""Predictions in a file: float32 numbers to the last bit, and small, since formats of one network say nearly the same.

The four bytes of every number lie in four planes (lowest first), each after an exclusive or with the same byte of the
network's own prediction; of the network itself they lie as they are. Where two agree there is nothing but zeros.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path

_KEY, _HEADER = "planes", 1024
"""Name of the one array in the file; more bytes than NumPy's header of an array takes."""
_BITS = np.dtype("<u4")


def write_planes(path: Path, rows: np.ndarray, reference: np.ndarray | None = None) -> None:
    """Write predictions float32 (rows, classes), beside those of the network (None: they are the network's)."""
    bits = np.ascontiguousarray(rows, "<f4").view(_BITS)
    if reference is not None:
        bits = bits ^ np.ascontiguousarray(reference, "<f4").view(_BITS)
    planes = bits.view(np.uint8).reshape(*rows.shape, 4).transpose(2, 0, 1)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **{_KEY: np.ascontiguousarray(planes)})


def read_planes(path: Path, shape: tuple[int, int], reference: np.ndarray | None = None) -> np.ndarray:
    """What `write_planes` has written, float32 of `shape`. Raises BookError for a file that holds anything else.

    Nothing is unpacked that is larger than that, and nothing is executed.
    """
    size = 4 * int(np.prod(shape))
    try:
        with zipfile.ZipFile(path) as file:
            held = {info.filename: info.file_size for info in file.infolist()}
        if list(held) != [f"{_KEY}.npy"] or not size <= held[f"{_KEY}.npy"] <= size + _HEADER:
            raise ValueError(f"holds {held or 'nothing'}")
        with np.load(path, allow_pickle=False) as arrays:
            planes = arrays[_KEY]
        if planes.dtype != np.uint8 or planes.shape != (4, *shape):
            raise ValueError(f"holds {planes.dtype} {planes.shape}")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise BookError(f"{path.name}: expected four planes of {shape[0]} x {shape[1]} bytes; {error}") from error
    bits = np.ascontiguousarray(planes.transpose(1, 2, 0)).view(_BITS)[..., 0]
    if reference is not None:
        bits = bits ^ np.ascontiguousarray(reference, "<f4").view(_BITS)
    return np.asarray(bits.view("<f4"))
