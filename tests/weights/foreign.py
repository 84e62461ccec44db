"""Files of TensorFlow and Caffe written from bytes, as their formats are specified: what the readers are held to.

Nothing of the library is used here, and where a format leaves a choice (shared beginnings of keys, packed numbers,
compression) both can be written.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
TYPES = {"f4": 1, "f8": 2, "i4": 3, "u1": 4, "i2": 5, "i1": 6, "c8": 8, "i8": 9, "b1": 10, "u2": 17, "f2": 19}


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a number as a varint, text or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % 2**64)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def fixed32(number: int, value: int) -> bytes:
    """One field of four bytes."""
    return varint(number << 3 | 5) + struct.pack("<I", value)


def checksum(data: bytes) -> int:
    """CRC-32C a byte at a time, masked."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _BYTES[(value ^ byte) & 255] ^ value >> 8
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) % 2**32


def _divided(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_BYTES = [_divided(byte) for byte in range(256)]


def literal(data: bytes) -> bytes:
    """A Snappy stream that copies nothing."""
    made = varint(len(data))
    for at in range(0, len(data), 60):
        part = data[at : at + 60]
        made += bytes([(len(part) - 1) << 2]) + part
    return made


# -- checkpoints of TensorFlow -----------------------------------------------------------------------------------------


def block(entries: list[tuple[bytes, bytes]], *, shared: bool = True, packed: bool = False) -> bytes:
    """A block of a sorted table with its trailer; restarts at every fourth key, or at every one if not `shared`."""
    made, restarts, last = bytearray(), [], b""
    for number, (key, value) in enumerate(entries):
        common = 0
        if number % (4 if shared else 1) == 0:
            restarts.append(len(made))
        else:
            while common < min(len(key), len(last)) and key[common] == last[common]:
                common += 1
        made += varint(common) + varint(len(key) - common) + varint(len(value)) + key[common:] + value
        last = key
    restarts = restarts or [0]
    made += b"".join(struct.pack("<I", place) for place in [*restarts, len(restarts)])
    content = (literal(bytes(made)) if packed else bytes(made)) + bytes([packed])
    return content + struct.pack("<I", checksum(content))


def table(entries: Mapping[bytes, bytes], *, per_block: int = 10, shared: bool = True, packed: bool = False) -> bytes:
    """A sorted table of several blocks."""
    made, index, rows = b"", list[tuple[bytes, bytes]](), sorted(entries.items())
    for at in range(0, len(rows), per_block):
        one = block(rows[at : at + per_block], shared=shared, packed=packed)
        index.append((rows[min(at + per_block, len(rows)) - 1][0], varint(len(made)) + varint(len(one) - 5)))
        made += one
    about, places = block([]), block(index)
    handles = varint(len(made)) + varint(len(about) - 5)
    handles += varint(len(made) + len(about)) + varint(len(places) - 5)
    return made + about + places + handles.ljust(40, b"\0") + MAGIC


def shape(sizes: tuple[int, ...]) -> bytes:
    """A TensorShapeProto."""
    return b"".join(field(2, field(1, size)) for size in sizes)


def entry(kind: int, sizes: tuple[int, ...], offset: int, data: bytes, shard: int = 0) -> bytes:
    """A BundleEntryProto; zeros are left out, as TensorFlow does."""
    numbers = b"".join(field(number, value) for number, value in ((3, shard), (4, offset)) if value)
    return field(1, kind) + field(2, shape(sizes)) + numbers + field(5, len(data)) + fixed32(6, checksum(data))


def header(shards: int = 1, *extra: bytes) -> bytes:
    """A BundleHeaderProto."""
    return field(1, shards) + b"".join(extra) + field(3, field(1, 1))


def write_checkpoint(prefix: Path, arrays: Mapping[str, Array], *, shards: int = 1, **options: Any) -> Path:
    """A checkpoint, its arrays dealt out to the shards in turn; returns the path of its index."""
    data, rows = [b""] * shards, {b"": header(shards)}
    for number, (name, array) in enumerate(sorted(arrays.items())):
        raw, shard = array.tobytes(), number % shards
        rows[name.encode()] = entry(TYPES[array.dtype.str[1:]], array.shape, len(data[shard]), raw, shard)
        data[shard] += raw
    for number, content in enumerate(data):
        prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{shards:05d}").write_bytes(content)
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(table(rows, **options))
    return index


# -- frozen graphs -----------------------------------------------------------------------------------------------------


def node(name: str, operator: str, *inputs: str, tensor: bytes | None = None) -> bytes:
    """A NodeDef as a field of its graph."""
    content = field(1, name) + field(2, operator) + b"".join(field(3, one) for one in inputs)
    if tensor is not None:
        content += field(5, field(1, "dtype") + field(2, field(6, 1)))
        content += field(5, field(1, "value") + field(2, field(8, tensor)))
    return field(1, content)


def tensor(array: Array) -> bytes:
    """A TensorProto with all numbers as they lie."""
    return field(1, TYPES[array.dtype.str[1:]]) + field(2, shape(array.shape)) + field(4, array.tobytes())


def write_graph(path: Path, arrays: Mapping[str, Array]) -> Path:
    """A frozen graph: a placeholder, each array with the Identity that reads it, and constants that were none."""
    made = node("clip_holder", "Placeholder") + node("2DNet/Mean/axis", "Const", tensor=tensor(np.array([1], "i4")))
    for name, array in arrays.items():
        made += node(name, "Const", tensor=tensor(array)) + node(f"{name}/read", "Identity", name)
    made += node("2DNet/Const", "Const", tensor=tensor(np.zeros(3, "f4"))) + node("output", "Identity", "2DNet/Const")
    path.write_bytes(made + field(4, field(1, 1087)))
    return path


# -- Caffe -------------------------------------------------------------------------------------------------------------


def blob(array: Array, *, old: bool = False) -> bytes:
    """A BlobProto; the old form has four axes."""
    if old:
        sizes = (1,) * (4 - array.ndim) + array.shape
        return b"".join(field(axis, size) for axis, size in enumerate(sizes, 1)) + field(5, array.tobytes())
    number = 8 if array.dtype == np.float64 else 5
    return field(number, array.tobytes()) + field(7, field(1, b"".join(varint(size) for size in array.shape)))


def write_caffe(path: Path, arrays: Mapping[str, Array], *, old: bool = False) -> Path:
    """A model of blobs ``<layer>.<number>``, those of a layer beside each other; batch norms have (1, C)."""
    layers: dict[str, list[bytes]] = {}
    for name, array in sorted(arrays.items()):
        layer = name.rpartition(".")[0]
        norm = layer.endswith("_bn")
        layers.setdefault(layer, []).append(blob(array[np.newaxis] if norm else array, old=old))
    made = field(1, "o3d")
    for name, blobs in layers.items():
        if old:
            made += field(2, field(2, "data") + field(3, name) + field(4, name) + b"".join(field(6, b) for b in blobs))
        else:
            made += field(100, field(1, name) + field(2, "Convolution") + b"".join(field(7, b) for b in blobs))
    path.write_bytes(made)
    return path
