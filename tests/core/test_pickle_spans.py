"""Pickles whose long texts and bytes are passed over: the rest is read as ever, and spans say where the others lie."""

from __future__ import annotations

import io
import mmap
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.pickle_reader import PickleError, read_pickle
from actionbook.core.pickle_spans import MAX_READ, Span


def read(stream: Any) -> Any:
    return read_pickle(stream, {}, lambda _: None, "file", spans=True)


def mapped(path: Path, content: bytes) -> mmap.mmap:
    path.write_bytes(content)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


VALUE = {"a": [1, 2.5, None, True, 2**70, "视频" * 40], "b": ("x" * MAX_READ, b"y" * MAX_READ, -3, b"")}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_what_is_short_is_read_as_ever(protocol: int) -> None:
    content = pickle.dumps(VALUE, protocol)
    assert read(io.BytesIO(content)) == read_pickle(io.BytesIO(content), {}, lambda _: None, "file") == VALUE


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_spans_say_where_long_values_lie(protocol: int, tmp_path: Path) -> None:
    text, data = "视频é" * 200, bytes(range(256)) * 400
    content = pickle.dumps([text, data, "short", text], protocol)
    with mapped(tmp_path / "a.pkl", content) as stream:
        first, second, third, again = read(stream)
        assert (type(first), first.text, second.text, third) == (Span, True, False, "short")
        assert again is first  # from the memo
        assert stream[first.start : first.stop].decode() == text
        assert stream[second.start : second.stop] == data
        assert stream.tell() == len(content)


def test_strings_of_python_2_are_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 2
    with mapped(tmp_path / "a.pkl", b"\x80\x02T" + struct.pack("<i", len(data)) + data + b".") as stream:
        span = read(stream)
        assert (stream[span.start : span.stop], span.text) == (data, False)


LONG = struct.pack("<I", MAX_READ + 1)
DAMAGED = {
    "beyond the end": b"\x80\x03B" + struct.pack("<I", 2**32 - 1) + b"abc.",
    "of 8 bytes beyond the end": b"\x80\x04\x8e" + struct.pack("<Q", 2**64 - 1) + b"abc.",
    "a length below 0": b"\x80\x02T" + struct.pack("<i", -5) + b"abc.",
    "up to the end": b"\x80\x03B" + LONG + b"a" * (MAX_READ + 1),
    "half a length": b"\x80\x03B\x01\x02",
    "one byte short": b"\x80\x03B" + LONG + b"a" * MAX_READ,
    "a long number": b"\x80\x02\x8b" + LONG + b"a" * MAX_READ,
    "no operation": b"\x80\x03\xff.",
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_streams(what: str, tmp_path: Path) -> None:
    for stream in (io.BytesIO(DAMAGED[what]), mapped(tmp_path / "a.pkl", DAMAGED[what])):
        with pytest.raises(PickleError, match=r"^file: damaged or truncated pickle") as caught:
            read(stream)
        assert caught.value.damaged


def test_the_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.dumps(b"a" * 5000, 3)
    with pytest.raises(PickleError, match="or 4000 bytes"):
        read_pickle(io.BytesIO(content), {}, lambda _: None, "file", 4000, spans=True)
    monkeypatch.setattr("actionbook.core.pickle_reader.MAX_OPERATIONS", 2)
    with pytest.raises(PickleError, match="longer than 2 operations"):
        read(io.BytesIO(content))
