"""TensorFlow's checkpoints and frozen graphs, read as data: what TensorFlow wrote, and bytes made by the formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import MAGIC, TYPES, block, entry, field, header, node, shape, table, tensor, varint, write_checkpoint

from actionbook.weights import WeightsError, read, read_shapes
from actionbook.weights.checksum import crc32c, masked
from actionbook.weights.snappy import unpack
from actionbook.weights.table import entries

ARRAYS: Mapping[str, np.ndarray[Any, Any]] = {
    "net/conv/weights": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "net/conv/biases": np.array([0.5, -1, 2, 3], np.float32),
    "net/half": np.array([[1.5], [-2]], np.float16),
    "net/flag": np.array([True, False]),
    "net/none": np.zeros((0, 3), np.float64),
    "step": np.array(7, np.int64),
}


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.writeable
        assert found[name].flags.c_contiguous


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


# -- what TensorFlow wrote ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small_tf", "small_tf.index", "small_tf.data-00000-of-00001"])
def test_a_checkpoint_by_any_of_its_names(name: str, data: Path) -> None:
    state = read(data / "tensorflow" / name)
    assert_same(state, arrays(data / "tensorflow" / "small_tf.npz"))
    assert sum(key.endswith("/Momentum") for key in state) == 5
    assert state["learning_rate"].tolist() == 1  # one step of training
    assert state.origin.format == "TensorFlow checkpoint"
    assert read_shapes(data / "tensorflow" / name)["Net/inception/conv_3d/w"] == (1, 3, 3, 3, 4)


def test_a_frozen_graph_has_the_variables_alone(data: Path) -> None:
    state = read(data / "tensorflow" / "small_graph.pb")
    expected = arrays(data / "tensorflow" / "small_tf.npz")
    assert_same(state, {key: expected[key] for key in expected if key.startswith("Net") and "Momentum" not in key})
    assert state.origin.format == "TensorFlow graph"


def test_every_type_of_number(data: Path) -> None:
    """bfloat16 becomes float32; what is no number is named."""
    expected = arrays(data / "tensorflow" / "types_tf.npz")
    state = read(data / "tensorflow" / "types_tf")
    assert_same(state, {key: array for key, array in expected.items() if not key.endswith("_1")})
    assert state.origin.skipped == ("text (string)",)
    assert_same(read(data / "tensorflow" / "types_graph.pb"), expected)  # as they lie, and (_1) one by one


def test_a_variable_in_parts(data: Path) -> None:
    with pytest.raises(WeightsError, match=r"parts_tf\.index: variable 'parts' was saved in parts.*partitioner"):
        read(data / "tensorflow" / "parts_tf")


# -- checkpoints from bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_form_of_an_index(shared: bool, packed: bool, shards: int, tmp_path: Path) -> None:
    many = {**ARRAYS, **{f"net/conv_{i:02d}/weights": np.full(3, i, np.float32) for i in range(30)}}
    write_checkpoint(tmp_path / "m.ckpt", many, shards=shards, per_block=7, shared=shared, packed=packed)
    assert_same(read(tmp_path / "m.ckpt"), many)


def test_big_endian(tmp_path: Path) -> None:
    content = np.arange(3, dtype=">f4").tobytes()
    (tmp_path / "a.data-00000-of-00001").write_bytes(content)
    rows = {b"": header(1, field(2, 1)), b"w": entry(1, (3,), 0, content)}
    (tmp_path / "a.index").write_bytes(table(rows))
    assert_same(read(tmp_path / "a"), {"w": np.arange(3, dtype=np.float32)})


def test_files_that_are_not_there(tmp_path: Path) -> None:
    index = write_checkpoint(tmp_path / "m.ckpt", ARRAYS, shards=2)
    second = tmp_path / "m.ckpt.data-00001-of-00002"
    content = second.read_bytes()
    second.write_bytes(content[:-1])
    with pytest.raises(WeightsError, match=r"m\.ckpt\.index: .* ends at byte \d+ of m\.ckpt\.data-00001-of-00002, whi"):
        read_shapes(index)
    second.unlink()
    with pytest.raises(WeightsError, match=r"numbers are in m\.ckpt\.data-00001-of-00002, which cannot be opened"):
        read(index)
    second.write_bytes(content)
    index.unlink()
    with pytest.raises(WeightsError, match=r"data-00001-of-00002: the numbers of .* nothing without m\.ckpt\.index"):
        read(second)
    with pytest.raises(WeightsError, match=r"m\.ckpt: cannot be opened"):
        read(tmp_path / "m.ckpt")


def test_a_file_called_as_the_checkpoint_goes_first(tmp_path: Path, data: Path) -> None:
    write_checkpoint(tmp_path / "m.ckpt", ARRAYS)
    (tmp_path / "m.ckpt").write_bytes((data / "small.ckpt").read_bytes())
    assert read(tmp_path / "m.ckpt").origin.format == "MindSpore checkpoint"


def test_damage_is_seen_wherever_it_is(tmp_path: Path) -> None:
    index = write_checkpoint(tmp_path / "m.ckpt", ARRAYS)
    shard, content = tmp_path / "m.ckpt.data-00000-of-00001", index.read_bytes()
    # Padding of the footer, the block about the table and what only searching reads are nobody's numbers.
    for place in [*range(0, len(content) - 48 - 80, 3), *range(len(content) - 8, len(content))]:
        index.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        with pytest.raises(WeightsError, match=r"m\.ckpt\.index: "):
            read(index)
    for end in (10, 47, len(content) - 1):
        index.write_bytes(content[:end])
        with pytest.raises(WeightsError):
            read(index)
    index.write_bytes(content)
    raw = bytearray(shard.read_bytes())
    raw[raw.index(ARRAYS["net/conv/weights"].tobytes()) + 5] ^= 1
    shard.write_bytes(raw)
    assert len(read_shapes(index)) == len(ARRAYS)  # nothing is read
    with pytest.raises(WeightsError, match=r"'net/conv/weights' is damaged in m\.ckpt\.data-00000-of-00001: its check"):
        read(index)


def test_more_numbers_than_the_files_have(tmp_path: Path) -> None:
    content = np.zeros(2**20, np.float32).tobytes()
    (tmp_path / "a.data-00000-of-00001").write_bytes(content)
    row = entry(1, (2**20,), 0, content)
    for count, fits in ((16, True), (17, False)):
        (tmp_path / "a.index").write_bytes(table({b"": header(), **{b"%02d" % i: row for i in range(count)}}))
        if fits:
            assert len(read(tmp_path / "a")) == count
        else:
            with pytest.raises(WeightsError, match="far more bytes"):
                read(tmp_path / "a")


FOUR = bytes(4)
INDEXES: dict[str, tuple[bytes, str]] = {
    "no header": (table({b"w": entry(1, (1,), 0, FOUR)}), "no header of a checkpoint"),
    "first format": (table({b"": field(1, b"\x0a\x00")}), "of the first format, before version 0.12"),
    "no shards": (table({b"": header(0)}), "no header"),
    "shards without end": (table({b"": header(2**40)}), "no header"),
    "a shard beyond": (table({b"": header(), b"w": entry(1, (1,), 0, FOUR, shard=1)}), "in a shard beyond the 1"),
    "nothing": (table({b"": header()}), "without variables of numbers"),
    "texts alone": (table({b"": header(), b"w": entry(7, (1,), 0, FOUR)}), r"of numbers; it holds w \(string\)"),
    "another type": (table({b"": header(), b"w": entry(11, (1,), 0, FOUR)}), r"it holds w \(qint8\)"),
    "a type to come": (table({b"": header(), b"w": entry(99, (1,), 0, FOUR)}), r"it holds w \(type 99\)"),
    "sizes": (table({b"": header(), b"w": entry(1, (2,), 0, FOUR)}), r"'w' has 4 bytes, which do not make f4 of.*2"),
    "negative size": (table({b"": header(), b"w": entry(1, (-1,), 0, FOUR)}), "'w' has the shape"),
    "huge size": (table({b"": header(), b"w": entry(1, (2**50,), 0, FOUR)}), "'w' has the shape"),
    "many axes": (table({b"": header(), b"w": entry(1, (1,) * 33, 0, FOUR)}), "'w' has the shape"),
    "no rank": (table({b"": header(), b"w": field(1, 1) + field(2, field(3, 1))}), "'w' has no shape"),
    "negative offset": (table({b"": header(), b"w": entry(1, (1,), -8, FOUR)}), "ends at byte"),
    "a message for a number": (table({b"": header(), b"w": field(1, b"a")}), "damaged"),
    "a name that is no text": (table({b"": header(), b"\xff": entry(1, (1,), 0, FOUR)}), "can't decode"),
    "entry cut": (table({b"": header(), b"w": entry(1, (1,), 0, FOUR)[:-2]}), "leaves its message"),
}


@pytest.mark.parametrize("case", INDEXES)
def test_indexes_that_are_wrong(case: str, tmp_path: Path) -> None:
    content, message = INDEXES[case]
    (tmp_path / "a.index").write_bytes(content)
    (tmp_path / "a.data-00000-of-00001").write_bytes(FOUR)
    with pytest.raises(WeightsError, match=rf"a\.index: .*{message}"):
        read(tmp_path / "a.index")


# -- tables, compression and checksums ---------------------------------------------------------------------------------


def of_block(content: bytes, size: int | None = None, before: bytes = b"") -> bytes:
    """A table with this as its index block, behind `before`; the block about the table is empty."""
    about = block([])
    handles = varint(len(before)) + varint(len(about) - 5) + varint(len(before + about))
    handles += varint(len(content) - 5 if size is None else size)
    return before + about + content + handles.ljust(40, b"\0") + MAGIC


def checked(content: bytes, kind: int = 0) -> bytes:
    whole = content + bytes([kind])
    return whole + masked(crc32c(whole)).to_bytes(4, "little")


TABLES: dict[str, tuple[bytes, str]] = {
    "short": (bytes(20), "its end is missing"),
    "no end": (bytes(80), "its end is missing"),
    "handle without end": (b"\xff" * 40 + MAGIC, "does not end"),
    "block beyond": (of_block(block([]), 2**40), "beyond its end"),
    "checksum": (of_block(block([])[:-1] + b"\0"), "checksum"),
    "unknown compression": (of_block(checked(bytes(8), 4)), r"not known \(4\)"),
    "no restarts": (of_block(checked(b"\1")), "shorter than its restarts"),
    "more restarts": (of_block(checked(b"\xff\xff\xff\x7f")), "shorter than its restarts"),
    "shared of nothing": (of_block(checked(b"\5\0\0" + bytes(8))), "does not fit"),
    "key beyond": (of_block(checked(b"\0\x7f\0" + bytes(8))), "does not fit"),
    "value beyond": (of_block(checked(b"\0\0\x7f" + bytes(8))), "does not fit"),
    "key without end": (of_block(checked(varint(0) + varint(5000) + b"\0" + bytes(5008))), "does not fit"),
    "number without end": (of_block(checked(b"\xff" * 11 + bytes(8))), "does not end"),
    "no handle": (of_block(block([(b"a", b"\xff")])), "truncated"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables_that_are_wrong(case: str) -> None:
    content, message = TABLES[case]
    with pytest.raises(ValueError, match=message):
        list(entries(content))


def test_keys_out_of_order_and_one_block_again_and_again() -> None:
    for rows, places in (([(b"b", b""), (b"a", b"")], 1), ([(b"a", b""), (b"a", b"")], 1), ([(b"a", b"")], 1000)):
        one = block(rows, shared=False)
        index = block([(b"%04d" % i, varint(0) + varint(len(one) - 5)) for i in range(places)])
        found = entries(of_block(index, before=one))
        assert next(found) == rows[0]
        with pytest.raises(ValueError, match="not in order"):
            next(found)


def test_keys_that_grow_are_bounded() -> None:
    """A few bytes each would otherwise make kilobytes."""
    made = bytearray(varint(0) + varint(4095) + b"\0" + b"a" * 4090 + b"00000")
    for i in range(1, 20_000):
        made += varint(4090) + varint(5) + b"\0" + b"%05d" % i
    one = checked(bytes(made) + bytes(4) + b"\1\0\0\0")
    index = block([(b"z", varint(0) + varint(len(one) - 5))])
    with pytest.raises(ValueError, match="its keys have more than"):
        for _ in entries(of_block(index, before=one)):
            pass


def test_snappy() -> None:
    """A literal, copies with offsets of one, two and four bytes, and one that reaches into what it makes."""
    stream = varint(32) + b"\x0cabcd" + b"\x01\x04" + b"\x0e\x04\0" + b"\x0f\x02\0\0\0" + b"\x3e\x01\0"
    assert unpack(stream) == b"abcd" + b"abcd" + b"abcd" + b"cdcd" + b"d" * 16
    assert unpack(varint(61) + b"\xf0\x3c" + bytes(61)) == bytes(61)  # its length in a byte of its own
    assert unpack(b"\0") == b""


def test_snappy_of_another_program(data: Path) -> None:
    folder = data / "tensorflow"
    assert unpack((folder / "small_tf.index.snappy").read_bytes()) == 3 * (folder / "small_tf.index").read_bytes()


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "truncated"),
        (varint(2**32) + b"\0a", "promises 4294967296"),
        (varint(5) + b"\x0cabcd", "does not hold the 5"),
        (varint(3) + b"\x0cabcd", "does not hold the 3"),
        (varint(4) + b"\x0cabc", "truncated"),
        (varint(4) + b"\xfc\xff\xff\xff\xffabcd", "truncated"),
        (varint(8) + b"\x0cabcd\x01\x05", "from outside"),
        (varint(8) + b"\x0cabcd\x01\x00", "from outside"),
        (varint(8) + b"\x0cabcd\x01", "from outside"),
        (varint(8) + b"\x0cabcd\x0e\x04", "from outside"),
    ],
)
def test_snappy_that_is_damaged(stream: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack(stream)


def test_a_bomb_of_copies_stays_small() -> None:
    bomb = varint(64 * 20_000) + b"\0a" + b"\xfe\x01\0" * 20_000
    with pytest.raises(ValueError, match="does not hold"):
        unpack(bomb)
    with pytest.raises(ValueError, match="promises"):
        unpack(varint(2**31) + bomb[3:])


def test_checksums() -> None:
    """The values of RFC 3720, B.4, and of LevelDB's own tests."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"") == 0
    assert masked(0) == 0xA282EAD8
    assert masked(0xFFFFFFFF) == 0xA282EAD7


# -- graphs from bytes -------------------------------------------------------------------------------------------------


def constant(kind: int, sizes: tuple[int, ...], *values: bytes) -> bytes:
    return node("w", "Const", tensor=field(1, kind) + field(2, shape(sizes)) + b"".join(values))


def packed(*numbers: int) -> bytes:
    return b"".join(varint(number % 2**64) for number in numbers)


VALUES: dict[str, tuple[bytes, np.ndarray[Any, Any]]] = {
    "one for all": (constant(1, (2, 2), field(5, np.array([1.5], "<f4").tobytes())), np.full((2, 2), 1.5, "f4")),
    "the last for the rest": (constant(2, (3,), field(6, np.array([1, 2.0]).tobytes())), np.array([1.0, 2, 2])),
    "none": (constant(1, (2,)), np.zeros(2, "f4")),
    "not packed": (constant(1, (2,), b"\x2d\0\0\xc0\x3f", b"\x2d\0\0\0\xc0"), np.array([1.5, -2], "f4")),
    "half": (constant(19, (2,), field(13, packed(0x3E00, 0xC000))), np.array([1.5, -2], "f2")),
    "bfloat16": (constant(14, (2,), field(13, packed(0x3FC0, 0xC000))), np.array([1.5, -2], "f4")),
    "empty content": (constant(1, (0,), field(4, b"")), np.zeros(0, "f4")),
}


@pytest.mark.parametrize("case", VALUES)
def test_numbers_one_by_one(case: str, tmp_path: Path) -> None:
    content, expected = VALUES[case]
    (tmp_path / "a.pb").write_bytes(content)
    assert_same(read(tmp_path / "a.pb"), {"w": expected})


@pytest.mark.parametrize(
    ("kind", "number", "values", "expected"),
    [(3, 7, (3, -4), "i4"), (4, 7, (3, 255), "u1"), (9, 10, (3, -(2**40)), "i8"), (10, 11, (1, 0), "?"),
     (22, 16, (1, 2**32 - 1), "u4"), (23, 17, (1, 2**64 - 1), "u8"), (6, 7, (-128, 127), "i1")],
)  # fmt: skip
def test_whole_numbers_one_by_one(
    kind: int, number: int, values: tuple[int, ...], expected: str, tmp_path: Path
) -> None:
    for given in (field(number, packed(*values)), b"".join(field(number, value) for value in values)):
        (tmp_path / "a.pb").write_bytes(constant(kind, (2,), given) + node("w/read", "Identity", "w"))
        assert_same(read(tmp_path / "a.pb"), {"w": np.array(values, expected)})


def test_constants_that_were_no_variables(tmp_path: Path) -> None:
    """Known by the Identity that was the variable's reading; where there is none, those of floating point."""
    one, axis, other = (tensor(np.ones(2, kind)) for kind in ("f4", "i4", "f8"))
    nodes = node("a", "Const", tensor=one) + node("axis", "Const", tensor=axis) + node("b/c", "Const", tensor=other)
    for more, names in (
        (b"", ["a", "b/c"]),
        (node("a/read", "Identity", "a"), ["a"]),
        (node("MatMul/ReadVariableOp_1", "Identity", "b/c"), ["b/c"]),
        (node("copy", "Identity", "a"), ["a", "b/c"]),
    ):
        (tmp_path / "a.pb").write_bytes(nodes + more)
        assert list(read_shapes(tmp_path / "a.pb")) == names


GRAPHS: dict[str, tuple[bytes, str]] = {
    "no constants": (node("clip", "Placeholder"), "without the numbers of its variables"),
    "no fractions": (node("n", "Const", tensor=tensor(np.ones(2, "i4"))), "without the numbers"),
    "twice": (constant(1, (1,)) * 2, "'w' stands twice"),
    "no value": (node("w", "Const"), "'w' has no value"),
    "sizes": (constant(1, (2,), field(4, bytes(4))), "'w' has 4 bytes"),
    "huge": (constant(1, (2**50,)), "'w' has the shape"),
    "negative": (constant(1, (-1,)), "'w' has the shape"),
    "nested beyond": (node("w", "NoOp") + b"\n\x7f\n\x05", "leaves its message"),
    "cut": (node("clip", "Placeholder") + constant(1, (1,))[:-3], "leaves its message"),
    "too many": (constant(1, (1,), field(5, bytes(8))), "constant 'w' is damaged: 2 numbers for the shape"),
    "half a number": (constant(1, (4,), field(5, bytes(7))), "damaged"),
    "number without end": (constant(3, (1,), field(7, b"\xff" * 11)) + node("w/r", "Identity", "w"), "does not end"),
    "bomb": (constant(1, (2**26,), field(5, bytes(4))), "far more bytes"),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_graphs_that_are_wrong(case: str, tmp_path: Path) -> None:
    content, message = GRAPHS[case]
    (tmp_path / "a.pb").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"a\.pb: .*{message}"):
        read(tmp_path / "a.pb")


def test_types_are_those_of_the_format() -> None:
    from actionbook.weights.tensorflow_types import TYPES as OURS

    assert {np.dtype(name): kind for name, kind in TYPES.items()}.items() <= {
        np.dtype(name): kind for kind, name in OURS.items() if kind != 14
    }.items()
