"""MindSpore checkpoints (`.ckpt`) as data, without starting MindSpore: a protobuf message of parameters.

``Checkpoint {repeated Value value = 1}``, ``Value {string tag = 1; TensorProto tensor = 2}`` and
``TensorProto {repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3}``, as its Python package says
in ``mindspore.train.checkpoint_pb2``. A large parameter is several values of one tag, one behind the other. A checksum
may follow: ``crc_num`` and a number of ten bytes.
"""

from __future__ import annotations

import binascii
import math
import mmap
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Final

import numpy as np

from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.stored import Array, OpenFile, Origin, Plain, Stored, from_bfloat16
from actionbook.weights.wire import Data, Span, array, checked_shape, fields, message, text, varints

_TYPES: Final = {
    "Float16": "f2", "Float32": "f4", "Float64": "f8", "BFloat16": "u2", "Bool": "?", "Int8": "i1", "Int16": "i2",
    "Int32": "i4", "Int64": "i8", "UInt8": "u1", "UInt16": "u2", "UInt32": "u4", "UInt64": "u8",
}  # fmt: skip
_CHECKSUM: Final = b"crc_num"
_CHECKSUM_BYTES: Final = len(_CHECKSUM) + 10


def open_mindspore(file: IO[bytes], path: Path, stack: ExitStack) -> OpenFile:
    """The parameters by MindSpore's names, read while `stack` is open; bfloat16 becomes float32 without loss.

    Numbers without an axis are what `save_checkpoint` was given beside the network (epoch): they are metadata.
    Raises WeightsError for a file that is damaged or encrypted.
    """
    data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        found = _parameters(data)
    except (ValueError, IndexError) as error:
        raise WeightsError(f"{path}: a damaged or encrypted MindSpore checkpoint: {error}. {FETCH_AGAIN}") from error
    arrays: dict[str, Stored] = {}
    for name, (kind, shape, spans) in found.items():
        if kind in _TYPES:
            own = np.dtype("f4" if kind == "BFloat16" else _TYPES[kind])
            arrays[name] = Stored(shape, own, partial(_array, data, kind, shape, spans))
    metadata: dict[str, Plain] = {name: arrays.pop(name).read().item() for name in [*arrays] if not arrays[name].shape}
    skipped = tuple(f"{name} ({kind})" for name, (kind, _, _) in found.items() if kind not in _TYPES)
    if not arrays:
        raise WeightsError(f"{path}: a MindSpore checkpoint without parameters of numbers. Save the network again.")
    return OpenFile(Origin("MindSpore checkpoint", skipped=skipped), arrays, metadata)


def _parameters(data: mmap.mmap) -> dict[str, tuple[str, tuple[int, ...], list[Span]]]:
    """Name -> type, shape and the places of its bytes. Raises ValueError or IndexError for a damaged file."""
    end = len(data)
    if data[max(0, end - _CHECKSUM_BYTES) : end - 10] == _CHECKSUM:
        end -= _CHECKSUM_BYTES
        if int.from_bytes(data[-10:], "big") != binascii.crc32(memoryview(data)[:end]):
            raise ValueError("its checksum does not agree")
    found: dict[str, tuple[str, tuple[int, ...], list[Span]]] = {}
    last = None
    for number, value in fields(data, (0, end)):
        if number != 1:
            raise ValueError("not a parameter")
        name, kind, dims = "", "map", list[int]()
        spans: list[Span] = []
        for inner, part in fields(data, message(value)):
            if inner == 1:
                name = text(data, part)
            elif inner == 2:
                kind, dims, content = _tensor(data, message(part))
                spans.append(content)
        if not name:
            raise ValueError("not a parameter")
        shape = () if dims == [0] else checked_shape(name, dims)
        if name in found and (name != last or found[name][:2] != (kind, shape)):
            raise ValueError(f"{name[:200]!r} stands twice")
        found.setdefault(name, (kind, shape, []))[2].extend(spans)
        last = name
    for name, (kind, shape, spans) in found.items():
        size = sum(stop - start for start, stop in spans)
        if kind in _TYPES and size != math.prod(shape) * np.dtype(_TYPES[kind]).itemsize:
            raise ValueError(f"{name[:200]!r} has {size} bytes, which do not make {kind} of shape {shape}")
    return found


def _tensor(data: Data, span: Span) -> tuple[str, list[int], Span]:
    """Type, sizes and place of the bytes of one TensorProto."""
    kind, dims, content = "", list[int](), (0, 0)
    for number, value in fields(data, span):
        if number == 1:
            dims += varints(data, value)
        elif number == 2:
            kind = text(data, value)
        elif number == 3:
            content = message(value)
    return kind, dims, content


def _array(data: Data, kind: str, shape: tuple[int, ...], spans: list[Span]) -> Array:
    found = array(data, spans, f"<{_TYPES[kind]}", shape)
    return from_bfloat16(found) if kind == "BFloat16" else found
