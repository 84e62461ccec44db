"""MindSpore checkpoints read as data are what MindSpore wrote, and what MindSpore reads."""

from __future__ import annotations

import binascii
import contextlib
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from actionbook.training.checkpoint import save_checkpoint
from actionbook.weights import WeightsError, load, read, read_metadata, read_shapes

ARRAYS = {
    "conv.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "bn.bn2d.gamma": np.array([1.5, -2], np.float16),
}


def test_a_file_of_every_sort(data: Path) -> None:
    """`small.ckpt` has a checksum, a number without an axis, and what was given beside the network."""
    state = read(data / "small.ckpt")
    assert list(state) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(state[name], array, strict=True)
        assert state[name].flags.writeable
    assert read_shapes(data / "small.ckpt") == {name: array.shape for name, array in ARRAYS.items()}
    assert read_metadata(data / "small.ckpt") == {"count": 7, "epoch": 3}
    assert (state.origin.format, state.origin.skipped) == ("MindSpore checkpoint", ("note (str)",))


@pytest.mark.parametrize("kind", [ms.float64, ms.int8, ms.uint16, ms.int64, ms.bool_, ms.bfloat16])
def test_number_types(kind: ms.Type, tmp_path: Path) -> None:
    value = ms.Tensor(np.array([[1.0, 0.0, 3.0]]), ms.float32).astype(kind)
    ms.save_checkpoint([{"name": "w", "data": value}], str(tmp_path / "a.ckpt"))
    found = read(tmp_path / "a.ckpt")["w"]
    expected = value.astype(ms.float32).asnumpy() if kind == ms.bfloat16 else value.asnumpy()
    np.testing.assert_array_equal(found, expected, strict=True)


def test_a_checkpoint_of_a_training_fits_its_network(tmp_path: Path) -> None:
    network = ms.nn.SequentialCell(ms.nn.Dense(3, 2), ms.nn.BatchNorm2d(2))
    save_checkpoint(network, tmp_path / "network.ckpt", epoch=3)
    other = ms.nn.SequentialCell(ms.nn.Dense(3, 2), ms.nn.BatchNorm2d(2))
    assert len(load(other, read(tmp_path / "network.ckpt"), "mindspore").loaded) == 6
    np.testing.assert_array_equal(other[0].weight.asnumpy(), network[0].weight.asnumpy())


def value(tag: bytes, dims: bytes, kind: bytes, content: bytes) -> bytes:
    tensor = dims + b"\x12" + bytes([len(kind)]) + kind + b"\x1a" + bytes([len(content)]) + content
    inner = b"\n" + bytes([len(tag)]) + tag + b"\x12" + bytes([len(tensor)]) + tensor
    return b"\n" + bytes([len(inner)]) + inner


def test_a_parameter_in_slices_and_packed_sizes(tmp_path: Path) -> None:
    halves = np.arange(4, dtype="<f4").tobytes()
    parts = [value(b"w", dims, b"Float32", halves[at : at + 8]) for dims, at in ((b"\x08\x04", 0), (b"\n\x01\x04", 8))]
    (tmp_path / "a.ckpt").write_bytes(b"".join(parts))
    assert read(tmp_path / "a.ckpt")["w"].tolist() == [0, 1, 2, 3]
    (tmp_path / "a.ckpt").write_bytes(parts[0] + value(b"b", b"\x08\x01", b"Float32", bytes(4)) + parts[1])
    with pytest.raises(WeightsError, match="'w' stands twice"):
        read(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (value(b"w", b"\x08\x03", b"Float32", bytes(8)), "'w' has 8 bytes"),
        (value(b"w", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"Float32", bytes(8)), "'w' has the shape"),
        (value(b"w", b"\x08\x01" * 33, b"Float32", bytes(4)), "'w' has the shape"),
        (value(b"w", b"\x08\x02", b"Float32", bytes(8)) + b"\n\x99", "truncated"),
        (value(b"w", b"\x08\x02", b"Float32", bytes(8)) + b"\n\x99\x01", "leaves its message"),
        (value(b"w", b"\x08\x02", b"Float32", bytes(8)) + b"\x0d" + bytes(4), "not a parameter"),
        (value(b"w", b"\x08\x02", b"Float32", bytes(8)) + b"\x10\x05", "not a parameter"),
    ],
)
def test_files_that_are_damaged(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"a\.ckpt: a damaged or encrypted.*{message}.*Fetch the file again"):
        read(tmp_path / "a.ckpt")


def test_a_file_cut_or_changed_anywhere_is_refused(data: Path, tmp_path: Path) -> None:
    content, path = (data / "small.ckpt").read_bytes(), tmp_path / "a.ckpt"
    checksum = binascii.crc32(content[:-17])
    assert content[-10:] == checksum.to_bytes(10, "big")
    for place in range(len(content) - 17):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(WeightsError, match=r"a\.ckpt: "):
            read(path)
    for end in range(80, len(content) - 1):
        path.write_bytes(content[:end])
        with contextlib.suppress(WeightsError):  # cut between two parameters: those before it
            assert list(read(path)) == list(ARRAYS)[: len(read(path))]
