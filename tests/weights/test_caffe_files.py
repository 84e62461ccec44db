"""Caffe's models read as data: what the library protobuf wrote by Caffe's messages, and bytes made by the format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import blob, field, varint, write_caffe

from actionbook.weights import WeightsError, read, read_shapes


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.writeable


def test_a_model(data: Path) -> None:
    """Layers without blobs are none; derivatives are left out; float64 stays."""
    with np.load(data / "caffe" / "small.npz") as file:
        expected = dict(file)
    state = read(data / "caffe" / "small.caffemodel")
    assert_same(state, expected)
    assert state.origin.format == "Caffe model"
    assert read_shapes(data / "caffe" / "small.caffemodel")["conv1_bn.0"] == (1, 4)


def test_a_model_of_the_older_form(data: Path) -> None:
    with np.load(data / "caffe" / "small.npz") as file:
        expected = {name: file[name] for name in ("conv1.0", "conv1.1", "fc8.0", "fc8.1")}
    whole = {name: array.reshape((1,) * (4 - array.ndim) + array.shape) for name, array in expected.items()}
    assert_same(read(data / "caffe" / "old.caffemodel"), whole)


@pytest.mark.parametrize("old", [False, True])
def test_numbers_in_several_pieces_and_a_file_without_a_name(old: bool, tmp_path: Path) -> None:
    raw = np.arange(4, dtype="<f4").tobytes()
    size = field(1, 1) + field(2, 1) + field(3, 1) + field(4, 4) if old else field(7, field(1, 4))
    one = field(5, raw[:8]) + b"\x2d" + raw[8:12] + field(5, raw[12:]) + size
    (tmp_path / "a").write_bytes(field(100, field(1, "conv") + field(7, one)))
    assert_same(read(tmp_path / "a"), {"conv.0": np.arange(4, dtype=np.float32).reshape((1, 1, 1, 4) if old else 4)})


def test_an_input_before_the_layers(tmp_path: Path) -> None:
    path = write_caffe(tmp_path / "a", {"conv.0": np.ones((2, 3), np.float32)})
    content = path.read_bytes().removeprefix(field(1, "o3d"))
    path.write_bytes(field(1, "") + field(3, "data") + content)
    assert list(read(path)) == ["conv.0"]


ONE = np.ones(2, np.float32)


def layer(*blobs: bytes, name: str = "conv") -> bytes:
    return field(100, field(1, name) + b"".join(field(7, one) for one in blobs))


FILES: dict[str, tuple[bytes, str]] = {
    "no blobs": (layer(), r"no blobs.*\.caffemodel"),
    "the oldest form": (field(2, field(4, "conv") + field(1, field(50, blob(ONE)))), "no blobs.*upgrade_net_proto_bin"),
    "twice": (layer(blob(ONE)) * 2, "two layers with blobs are called 'conv'"),
    "sizes": (layer(field(5, bytes(8)) + field(7, field(1, 3))), r"'conv\.0' has 8 bytes, which do not make f4.*3"),
    "no numbers": (layer(field(7, field(1, 3))), r"'conv\.0' has 0 bytes"),
    "numbers of another sort": (layer(field(7, field(1, 2)) + field(12, bytes(4))), r"'conv\.0' has 0 bytes"),
    "huge": (layer(field(5, bytes(8)) + field(7, field(1, varint(2**60)))), r"'conv\.0' has the shape"),
    "negative": (layer(field(5, bytes(8)) + field(7, field(1, -1))), r"'conv\.0' has the shape"),
    "many axes": (layer(field(5, bytes(8)) + field(7, field(1, b"\1" * 33))), r"'conv\.0' has the shape"),
    "beyond its layer": (field(100, field(1, "conv") + b"\x3a\x7f\x2a"), "leaves its message"),
    "cut": (layer(blob(ONE))[:-1], "leaves its message"),
    "a group": (layer(blob(ONE)) + b"\x0b", "leaves its message"),
    "a number for a layer": (layer(blob(ONE)) + field(100, 5), "the number 5"),
    "a name that is no text": (layer(blob(ONE)) + field(100, field(1, b"\xff") + field(7, blob(ONE))), "can't decode"),
    "a long name": (layer(blob(ONE)) + layer(blob(ONE), name="a" * 5000), "a name of 5000 bytes"),
    "sizes without end": (layer(field(7, field(1, b"\xff" * 11))), "does not end"),
}


@pytest.mark.parametrize("case", FILES)
def test_models_that_are_wrong(case: str, tmp_path: Path) -> None:
    content, message = FILES[case]
    (tmp_path / "a.caffemodel").write_bytes(field(1, "net") + content)
    with pytest.raises(WeightsError, match=rf"a\.caffemodel: .*{message}"):
        read(tmp_path / "a.caffemodel")


@pytest.mark.parametrize(
    "content",
    [b'name: "ECO"\nlayer {\n', b"# a comment\n\nlayers {\n  bottom", b"input: 'data'\n", b"input_shape { dim: 1"],
)
def test_a_description_in_text(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "deploy.prototxt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"deploy\.prototxt: a Caffe network in text.*\.caffemodel"):
        read(tmp_path / "deploy.prototxt")
