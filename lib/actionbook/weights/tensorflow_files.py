"""TensorFlow checkpoints (`name.index`, `name.data-00000-of-00001`, ...) as data, without TensorFlow.

The index is a sorted table (see `table`): under the empty key ``BundleHeaderProto {int32 num_shards = 1; Endianness
endianness = 2}``, under each variable's name ``BundleEntryProto {DataType dtype = 1; TensorShapeProto shape = 2; int32
shard_id = 3; int64 offset = 4; int64 size = 5; fixed32 crc32c = 6; repeated TensorSliceProto slices = 7}``, as
tensorflow/core/protobuf/tensor_bundle.proto says. The shards are the numbers, one array behind the other.
"""

from __future__ import annotations

import math
import mmap
import re
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

import numpy as np

from actionbook.weights.checksum import crc32c, masked
from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.stored import Array, OpenFile, Origin, Stored
from actionbook.weights.table import entries
from actionbook.weights.tensorflow_types import TYPES, numbers, read_shape, result_type, type_name
from actionbook.weights.wire import Data, Span, fields, message, number

_SHARD: Final = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")
_MAX_INDEX: Final = 64 * 2**20
_MAX_SHARDS: Final = 99_999


@dataclass(frozen=True)
class Entry:
    """One variable in the index."""

    name: str
    kind: int
    shape: tuple[int, ...]
    shard: int
    span: Span
    checksum: int


def index_of(path: Path) -> Path:
    """The index of the checkpoint that `path` means by its name without endings or by a shard; else `path` itself.

    Raises WeightsError for a shard whose index is not there.
    """
    if not path.name:
        return path
    shard = _SHARD.fullmatch(path.name)
    index = path.with_name(f"{shard[1] if shard else path.name}.index")
    if index.is_file() and (shard or not path.is_file()):
        return index
    if shard and path.is_file():
        raise WeightsError(
            f"{path}: the numbers of a TensorFlow checkpoint, which say nothing without {index.name} beside them. "
            "Put that file there: it was saved with this one."
        )
    return path


def open_tensorflow(file: IO[bytes], path: Path, stack: ExitStack) -> OpenFile:
    """The variables of the checkpoint whose index is open, read while `stack` is; bfloat16 becomes float32.

    What holds no numbers, such as the texts that TensorFlow 2 keeps beside its variables, is skipped. Raises
    WeightsError for an index that is damaged, a shard that is missing or too short, and a variable in parts.
    """
    content = file.read(_MAX_INDEX + 1)
    try:
        if len(content) > _MAX_INDEX:
            raise ValueError(f"it has more than {_MAX_INDEX} bytes")
        shards, order, found = _index(content, path)
    except ValueError as error:
        raise WeightsError(
            f"{path}: a damaged or truncated index of a TensorFlow checkpoint: {error}. {FETCH_AGAIN}"
        ) from error
    held = {shard: _shard(path, shard, shards, stack) for shard in sorted({one.shard for one in found})}
    arrays, skipped = dict[str, Stored](), list[str]()
    for one in found:
        name, data = held[one.shard]
        if one.span[1] > len(data):
            raise WeightsError(
                f"{path}: {one.name[:200]!r} ends at byte {one.span[1]} of {name}, which has {len(data)}. {FETCH_AGAIN}"
            )
        if one.kind in TYPES:
            arrays[one.name] = Stored(one.shape, result_type(one.kind), partial(_array, data, one, order, path, name))
        else:
            skipped.append(f"{one.name} ({type_name(one.kind)})")
    if not arrays:
        held_instead = ", ".join(skipped[:5]) or "nothing"
        raise WeightsError(
            f"{path}: a TensorFlow checkpoint without variables of numbers; it holds {held_instead}. "
            "Save the network's variables, as float32."
        )
    size = len(content) + sum(len(data) for _, data in held.values())
    return OpenFile(Origin("TensorFlow checkpoint", skipped=tuple(skipped)), arrays, nbytes=size)


def _index(content: bytes, path: Path) -> tuple[int, str, list[Entry]]:
    """Number of shards, byte order, and the variables. Raises ValueError, and WeightsError for what is not read."""
    table = entries(content)
    key, header = next(table, (b"none", b""))
    said = dict(fields(header, (0, len(header)))) if key == b"" else {}
    if isinstance(said.get(1), tuple):
        raise WeightsError(
            f"{path}: a TensorFlow checkpoint of the first format, before version 0.12. Restore it there once and save "
            "it with `tf.train.Saver(write_version=tf.train.SaverDef.V2)`."
        )
    shards = said.get(1, 0)
    if not isinstance(shards, int) or not 0 < shards <= _MAX_SHARDS:
        raise ValueError("no header of a checkpoint at its beginning")
    # The parts of a variable stand under keys that begin with a zero; the variable itself follows, and says so.
    found = [_entry(key, value, path) for key, value in table if not key.startswith(b"\0")]
    if any(one.shard >= shards for one in found):
        raise ValueError(f"a variable in a shard beyond the {shards} that there are")
    return shards, ">" if said.get(2) else "<", found


def _entry(key: bytes, value: bytes, path: Path) -> Entry:
    name, said = key.decode(), dict(fields(value, (0, len(value))))
    if 7 in said:
        raise WeightsError(
            f"{path}: variable {name[:200]!r} was saved in parts, for several machines. Restore it in one program "
            "without a partitioner, and save it again."
        )
    kind, shard, offset, size = (number(said.get(place, 0)) for place in (1, 3, 4, 5))
    shape = read_shape(value, message(said[2]), name) if 2 in said else ()
    if kind in TYPES and size != math.prod(shape) * np.dtype(TYPES[kind]).itemsize:
        raise ValueError(f"{name[:200]!r} has {size} bytes, which do not make {TYPES[kind]} of shape {shape}")
    checksum = int.from_bytes(value[slice(*message(said.get(6, (0, 0))))], "little")
    return Entry(name, kind, shape, shard, (offset, offset + size), checksum)


def _shard(index: Path, shard: int, shards: int, stack: ExitStack) -> tuple[str, Data]:
    """Name and contents of one shard."""
    path = index.with_name(f"{index.name.removesuffix('.index')}.data-{shard:05d}-of-{shards:05d}")
    try:
        file = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise WeightsError(
            f"{index}: its numbers are in {path.name}, which cannot be opened ({error.strerror}). "
            "Put that file beside it: it was saved with this one."
        ) from error
    if not path.stat().st_size:  # nothing can be mapped
        return path.name, b""
    return path.name, stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _array(data: Data, one: Entry, order: str, path: Path, name: str) -> Array:
    if masked(crc32c(memoryview(data)[slice(*one.span)])) != one.checksum:
        raise WeightsError(f"{path}: {one.name[:200]!r} is damaged in {name}: its checksum differs. {FETCH_AGAIN}")
    return numbers(data, [one.span], one.kind, one.shape, order)
