"""Sorted tables of LevelDB, in which a TensorFlow checkpoint keeps its index: blocks of keys and values.

Laid out as in google/leveldb, doc/table_format.md: at the end a footer with the place of the index block, whose values
are the places of the data blocks. In a block a key shares its beginning with the one before it, except at the restarts
that the block's end lists; they serve searching, and reading from front to end needs only their number. Behind every
block stand the kind of its compression and a checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actionbook.weights.checksum import crc32c, masked
from actionbook.weights.snappy import unpack
from actionbook.weights.wire import Span, varint

MAGIC: Final = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
_FOOTER: Final = 48
_TRAILER: Final = 5
_MAX_KEY: Final = 4096
_MAX_KEYS: Final = 64 * 2**20
"""Bytes of all keys together: since they share beginnings, a few bytes each could make many."""


def entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in the order of the keys. Raises ValueError for a table that is damaged or truncated."""
    if len(data) < _FOOTER or not data.endswith(MAGIC):
        raise ValueError("its end is missing")
    end = len(data) - 8
    place = len(data) - _FOOTER
    for _ in range(2):  # of the block about the table, which has nothing here, and of the index block
        handle, place = _handle(data, place, end)
    last, made = None, 0
    for _, where in _block(data, handle):
        for key, value in _block(data, _handle(where, 0, len(where))[0]):
            if last is not None and key <= last:
                raise ValueError("its keys are not in order")
            made += len(key)
            if made > _MAX_KEYS:
                raise ValueError(f"its keys have more than {_MAX_KEYS} bytes")
            last = key
            yield key, value


def _handle(data: bytes, place: int, end: int) -> tuple[Span, int]:
    """Begin and size of a block, as its begin and end, and the place behind them."""
    begin, place = varint(data, place, end)
    size, place = varint(data, place, end)
    return (begin, begin + size), place


def _block(data: bytes, span: Span) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block."""
    begin, end = span
    if end > len(data) - _FOOTER - _TRAILER:
        raise ValueError("a block that lies beyond its end")
    kind = data[end]
    if masked(crc32c(data[begin : end + 1])) != int.from_bytes(data[end + 1 : end + _TRAILER], "little"):
        raise ValueError(f"the checksum of its block at byte {begin} does not agree")
    if kind > 1:
        raise ValueError(f"a block compressed in a way that is not known ({kind})")
    content = unpack(data[begin:end]) if kind else data[begin:end]
    restarts = int.from_bytes(content[-4:], "little")
    stop = len(content) - 4 - 4 * restarts
    if stop < 0 or len(content) < 4:
        raise ValueError("a block shorter than its restarts")
    key, place = b"", 0
    while place < stop:
        shared, place = varint(content, place, stop)
        own, place = varint(content, place, stop)
        size, place = varint(content, place, stop)
        if shared > len(key) or own + size > stop - place or shared + own > _MAX_KEY:
            raise ValueError("an entry that does not fit its block")
        key = key[:shared] + content[place : place + own]
        place += own + size
        yield key, content[place - size : place]
